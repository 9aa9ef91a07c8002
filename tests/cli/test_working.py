"""What takes over a second says on the terminal that it is at work, and leaves nothing behind."""

from __future__ import annotations

import argparse
import sys
from io import StringIO

import pytest
from running import eventually

from capture.cli import working as module
from capture.cli.live_line import as_done
from capture.cli.working import working


class Screen(StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHOWN_AFTER_S", 0.001)
    monkeypatch.setattr(module, "_INTERVAL_S", 0.001)
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_shows_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with working(argparse.Namespace(quiet=False), "checking talk.mp4"):
        eventually(lambda: "… checking talk.mp4, 0 s so far" in screen.getvalue(), "the line")
    assert screen.getvalue().endswith("\r\x1b[J")


def test_the_line_has_the_share_and_the_time_left_where_they_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    with working(argparse.Namespace(quiet=False), "checking talk.mp4") as on_progress:
        on_progress(0.04)
        eventually(lambda: "… checking talk.mp4, 4%\r" in screen.getvalue().replace("\x1b[J", ""), "the share")
        on_progress(0.5)
        eventually(lambda: "… checking talk.mp4, 50%, 0 s left" in screen.getvalue(), "the time left")


@pytest.mark.parametrize(
    ("waited_s", "share", "state"),
    [
        (3.0, 0.0, "3 s so far"),
        (3.0, 0.049, "5%"),
        (3.0, 0.25, "25%, 9 s left"),
        (100.0, 0.25, "25%, 5 min left"),
        (9.0, 1.0, "100%, 0 s left"),
    ],
)
def test_the_time_left_follows_from_the_time_passed(waited_s: float, share: float, state: str) -> None:
    assert as_done(waited_s, share) == state


@pytest.mark.parametrize(("kind", "quiet"), [(StringIO, False), (Screen, True)])
def test_a_log_and_a_quiet_call_show_nothing(
    kind: type[StringIO], quiet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = kind()
    monkeypatch.setattr(sys, "stderr", stream)
    with working(argparse.Namespace(quiet=quiet), "checking talk.mp4"):
        pass
    assert stream.getvalue() == ""
