"""What takes over a second says on the terminal that it is at work, and leaves nothing behind."""

from __future__ import annotations

import argparse
import sys
from io import StringIO

import pytest
from running import eventually

from capture.cli import working as module
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


@pytest.mark.parametrize(("kind", "quiet"), [(StringIO, False), (Screen, True)])
def test_a_log_and_a_quiet_call_show_nothing(
    kind: type[StringIO], quiet: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = kind()
    monkeypatch.setattr(sys, "stderr", stream)
    with working(argparse.Namespace(quiet=quiet), "checking talk.mp4"):
        pass
    assert stream.getvalue() == ""
