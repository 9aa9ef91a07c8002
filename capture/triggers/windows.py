"""Starts a recording when the first window appears, on the desktop that the environment names then."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from capture.errors import CaptureError, RecordingError
from capture.events import EventKind, Send
from capture.system.desktop_kind import has_wayland_desktop
from capture.triggers.wayland_windows import WaylandWindows
from capture.triggers.x11_windows import X11Windows

__all__ = ["WINDOW_LIMIT_S", "WindowTrigger"]

#: How long to wait for the first window. A browser on a busy machine takes up to 20 s.
WINDOW_LIMIT_S: Final = 60.0


class _Windows(Protocol):
    """Waits for the first window."""

    def start(self, send: Send) -> None: ...

    def stop(self) -> None: ...


class WindowTrigger:
    """Sends START when there is a window on the desktop, which is Wayland's or X11's.

    If there is none after `limit_s`, or no such desktop, `fail` gets the error, from any thread.
    """

    def __init__(self, fail: Callable[[CaptureError], None], limit_s: float = WINDOW_LIMIT_S) -> None:
        self._fail = fail
        self._limit_s = limit_s
        self._windows: _Windows | None = None

    @property
    def unavailable_event(self) -> EventKind:
        return EventKind.NOT_BEGUN

    @property
    def notes(self) -> Sequence[tuple[EventKind, str]]:
        return ()

    def start(self, send: Send) -> None:
        words = f"no window appeared within {self._limit_s:g} s"
        none = RecordingError(words, "see what the program printed, or drop --wait-for-window")
        kind = WaylandWindows if has_wayland_desktop(os.environ) else X11Windows
        self._windows = kind(self._fail, self._limit_s, none)
        self._windows.start(send)

    def stop(self) -> None:
        if self._windows is not None:
            self._windows.stop()

    def take_began(self, path: str) -> None:
        pass

    def take_ended(self) -> None:
        pass
