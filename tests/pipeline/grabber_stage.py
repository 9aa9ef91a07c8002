"""A stage for tests of grabbers: a timeline, a stepped clock, and a grabber in its own thread."""

from __future__ import annotations

import math
from typing import cast

import pytest

from capture.clock import SteppedClock
from capture.media import Pixels, Rectangle
from capture.pipeline.frame_grabber import FrameGrabber
from capture.pipeline.sound_grabber import SoundGrabber
from capture.pixels.part_converter import PartConverter
from capture.pixels.yuv_part import YuvPart
from capture.threads.worker import Worker
from capture.timing.timeline import Timeline

__all__ = ["AS_GRABBED", "EPOCH_S", "LIMIT_S", "STEP_S", "GrabberStage", "part_of"]

EPOCH_S = 64.0

#: A binary fraction adds up without rounding, so the clock reaches moments exactly.
STEP_S = 1 / 64

LIMIT_S = 30.0


def part_of(pixels: Pixels) -> YuvPart:
    """Return a part with `pixels` in place of its planes."""
    return YuvPart([pixels], Rectangle(0, 0, pixels.shape[1], pixels.shape[0]), None)


class _AsGrabbed:
    def grabbed(self, pixels: Pixels, left: int, top: int, *, is_awaited: bool) -> YuvPart:
        return part_of(pixels)

    def close(self) -> None:
        pass


#: A converter for grabbers, which converts nothing.
AS_GRABBED = cast(PartConverter, _AsGrabbed())


class GrabberStage:
    """A timeline, a stepped clock, and a grabber in its own thread."""

    def __init__(self, duration_s: float = math.inf) -> None:
        self.clock = SteppedClock(EPOCH_S)
        self.timeline = Timeline(EPOCH_S, duration_s)

    def start(self, grabber: FrameGrabber | SoundGrabber) -> None:
        self.grabber = grabber
        self.worker = Worker("grabber", grabber.run)
        self.worker.start()
        self.settle()

    def settle(self) -> None:
        """Wait until the thread waits on the clock again, or has ended."""
        for _ in range(round(LIMIT_S / 0.05)):
            if self.worker.join(0):
                return
            try:
                self.clock.await_waiters(1, timeout_s=0.05)
            except AssertionError:
                continue
            return
        pytest.fail("the grabber is not waiting on the clock")

    def until(self, at_s: float) -> None:
        """Advance to `at_s` after the epoch, step by step."""
        while self.clock.now_s() < EPOCH_S + at_s:
            self.jump(STEP_S)

    def jump(self, by_s: float) -> None:
        """Advance in one step, as if the thread did not get to run meanwhile."""
        self.clock.advance(by_s)
        self.settle()

    def pause(self) -> None:
        self._command(self.timeline.pause)

    def resume(self) -> None:
        self._command(self.timeline.resume)

    def stop(self) -> None:
        self._command(self.timeline.stop)
        self.end()

    def _command(self, command: object) -> None:
        assert callable(command)
        command(self.clock.now_s())
        self.grabber.wake()
        self.settle()

    def end(self) -> None:
        assert self.worker.join(LIMIT_S)
