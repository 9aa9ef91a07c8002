"""The thread of a source: what it keeps for a recording that begins at once."""

from __future__ import annotations

from typing import NoReturn

import pytest
from running import eventually

from capture.clock import MonotonicClock
from capture.errors import DisplayLostError, NotReadyError
from capture.pipeline.device_thread import DeviceThread
from capture.sources.pattern import PatternFrames


class Kept(PatternFrames):
    """A screen that keeps its first picture, and counts the calls of `idle`."""

    idles = 0

    def settle(self) -> bool:
        return True

    def idle(self) -> None:
        self.idles += 1


class Dying(PatternFrames):
    """A screen whose display goes while it is opened, or later while it settles."""

    def __init__(self, *, at_open: bool) -> None:
        super().__init__(MonotonicClock())
        self._at_open = at_open

    def open(self) -> None:
        super().open()
        if self._at_open:
            raise DisplayLostError("the display is gone")

    def settle(self) -> NoReturn:
        raise DisplayLostError("the display is gone")


class Broken(PatternFrames):
    def settle(self) -> NoReturn:
        raise OSError("no more memory")


def opened(source: PatternFrames) -> DeviceThread:
    device = DeviceThread("screen", source, lambda name, error: None, idle=source.idle)
    device.open()
    device.await_opened()
    return device


def test_a_source_may_keep_nothing() -> None:
    device = opened(PatternFrames(MonotonicClock()))
    device.settle()
    assert device.await_settled() is False
    device.close()
    assert device.join(30)


def test_a_source_that_keeps_a_picture_is_looked_after_often() -> None:
    source = Kept(MonotonicClock())
    device = opened(source)
    device.settle()
    assert device.await_settled() is True
    # Once a second would take too long.
    eventually(lambda: source.idles > 20, "the changes to be noticed")
    device.close()
    assert device.join(30)


def test_a_failure_to_keep_is_raised_where_it_is_waited_for() -> None:
    device = opened(Broken(MonotonicClock()))
    device.settle()
    with pytest.raises(OSError, match="no more memory"):
        device.await_settled()
    device.close()
    assert device.join(30)


@pytest.mark.parametrize("at_open", [True, False])
def test_a_source_that_is_lost_before_anything_is_recorded_is_not_ready(at_open: bool) -> None:
    device = DeviceThread("screen", Dying(at_open=at_open), lambda name, error: None)
    device.open()
    if not at_open:
        device.await_opened()
        device.settle()
    with pytest.raises(NotReadyError, match="the display is gone: see capture doctor"):
        (device.await_opened if at_open else device.await_settled)()
    device.close()
    assert device.join(30)
