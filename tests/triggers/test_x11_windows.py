"""The start with the first window: only one that can be seen counts, and waiting for it has a limit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from running import eventually
from stage import BLACK, Pane

from capture.errors import CaptureError, NotReadyError, RecordingError
from capture.events import Command
from capture.session import session as session_module
from capture.session.session import Session
from capture.settings.record_settings import RecordSettings
from capture.triggers.windows import WindowTrigger
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)


class Heard:
    """What a trigger sent and reported."""

    def __init__(self) -> None:
        self.sent: list[tuple[Command, str]] = []
        self.failures: list[CaptureError] = []

    def send(self, command: Command, given_by: str, **_: Any) -> None:
        self.sent.append((command, given_by))


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def trigger(sound_desk: VirtualDesk, heard: Heard) -> Iterator[WindowTrigger]:
    """A trigger on a desk without a window."""
    opened = WindowTrigger(heard.failures.append)
    yield opened
    opened.stop()


def test_the_first_window_that_can_be_seen_starts_the_recording(
    trigger: WindowTrigger, heard: Heard, sound_desk: VirtualDesk
) -> None:
    trigger.start(heard.send)
    with (
        Pane(sound_desk.environment, "tiny", (0, 0, 1, 1), BLACK) as tiny,
        Pane(sound_desk.environment, "hidden", (0, 0, 100, 100), BLACK) as hidden,
    ):
        eventually(lambda: heard.sent, "the start")
        assert heard.sent == [(Command.START, "window")]
        # Only the first.
        hidden.show(False)
        hidden.show(True)
        tiny.resize(100, 100)
    trigger.stop()
    assert (len(heard.sent), heard.failures) == (1, [])


def test_a_window_that_grows_after_it_was_mapped_counts(
    trigger: WindowTrigger, heard: Heard, sound_desk: VirtualDesk
) -> None:
    trigger.start(heard.send)
    with Pane(sound_desk.environment, "growing", (0, 0, 1, 1), BLACK) as pane:
        pane.move(5, 5)
        assert heard.sent == []
        pane.resize(100, 100)
        eventually(lambda: heard.sent, "the start")


def test_a_window_that_is_there_already_counts(trigger: WindowTrigger, heard: Heard, sound_desk: VirtualDesk) -> None:
    with Pane(sound_desk.environment, "early", (0, 0, 100, 100), BLACK):
        trigger.start(heard.send)
        eventually(lambda: heard.sent, "the start")


def test_without_a_display_the_recording_fails(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    trigger = WindowTrigger(heard.failures.append)
    trigger.start(heard.send)
    trigger.stop()
    assert [type(failure) for failure in heard.failures] == [NotReadyError]


@pytest.mark.usefixtures("sound_desk")
def test_a_recording_without_a_window_fails_after_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "WindowTrigger", partial(WindowTrigger, limit_s=0.2))
    session = Session(RecordSettings(tmp_path / "out.mkv", wait_for_window=True, audio=()))
    assert session.run() is None
    assert isinstance(session.error, RecordingError)
    assert str(session.error) == (
        "no window appeared within 0.2 s: see what the program printed, or drop --wait-for-window"
    )
    assert list(tmp_path.iterdir()) == []
