"""A real X server that starts over whenever its last client goes, as `Xvfb :99` alone does."""

from __future__ import annotations

import sys

import pytest

if sys.platform != "linux":
    pytest.skip("X servers need Linux", allow_module_level=True)

from xservers import server

from capture.errors import NotReadyError
from capture.sources.x11.xcb import Connection
from capture.sources.x11.xlib import connect
from capture.triggers.x11_resets import despite_resets


def test_each_connection_is_made_though_the_server_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(monkeypatch, "320x240x24", resets=True):
        # Without further tries, about every third one fails.
        for _ in range(10):
            Connection().close()
            connect().close()


def test_without_a_server_there_is_one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[None] = []

    def fail() -> None:
        tries.append(None)
        raise NotReadyError("no display", "start one")

    for display in ("", ":54321", "host:0"):
        monkeypatch.setenv("DISPLAY", display)
        with pytest.raises(NotReadyError):
            despite_resets(fail, NotReadyError)
    assert len(tries) == 3
