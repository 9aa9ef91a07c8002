"""Starts a recording when the first window appears on a Wayland desktop whose compositor lists windows."""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable
from typing import Final

from capture.errors import CaptureError, DisplayLostError, NotReadyError
from capture.events import Command, Send
from capture.system.wayland_connection import Connection, as_text, text_of

__all__ = ["WaylandWindows"]

#: What lists windows, X11 programs' too, once they are shown; its version, and its event for each of them.
_WINDOWS: Final = "zwlr_foreign_toplevel_manager_v1"
_VERSION: Final = 1
_TOPLEVEL: Final = 0

#: The request and the event of the registry.
_BIND: Final = 0
_GLOBAL: Final = 0

#: How long the thread may take to end.
_END_S: Final = 1.0


class WaylandWindows:
    """Sends START when there is a window on the desktop that WAYLAND_DISPLAY names.

    If there is none after `limit_s`, `fail` gets the error `none`; if the compositor lists no windows, another one;
    from any thread.
    """

    def __init__(self, fail: Callable[[CaptureError], None], limit_s: float, none: CaptureError) -> None:
        self._fail = fail
        self._limit_s = limit_s
        self._none = none
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None
        self._registry = 0
        self._lists_windows = self._has_window = False

    def start(self, send: Send) -> None:
        try:
            connection = self._connection = Connection()
            self._registry = connection.get_registry(self._on_registry)
            connection.round_trip()
        except (NotReadyError, DisplayLostError) as error:
            self._fail(NotReadyError(error.message, "drop --wait-for-window"))
            return
        if not self._lists_windows:
            self._fail(NotReadyError("this Wayland desktop shows programs no windows", "drop --wait-for-window"))
            return
        self._thread = threading.Thread(target=self._run, args=(connection, send), name="windows", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._connection is None:
            return
        if self._thread is None:
            self._connection.close()
            return
        self._connection.wake()
        self._thread.join(_END_S)

    def _run(self, connection: Connection, send: Send) -> None:
        deadline_s = time.monotonic() + self._limit_s
        try:
            while not self._has_window:
                if not connection.wait(deadline_s):
                    if time.monotonic() >= deadline_s:
                        self._fail(self._none)
                    return
            send(Command.START, "window")
        except DisplayLostError:
            # The source that records from it reports that.
            return
        finally:
            connection.close()

    def _on_registry(self, code: int, arguments: bytes) -> None:
        if code != _GLOBAL or text_of(arguments[4:]) != _WINDOWS or self._connection is None:
            return
        number = self._connection.new_id(self._on_windows)
        what = arguments[:4] + as_text(_WINDOWS) + struct.pack("=II", _VERSION, number)
        self._connection.request(self._registry, _BIND, what)
        self._lists_windows = True

    def _on_windows(self, code: int, arguments: bytes) -> None:
        self._has_window |= code == _TOPLEVEL
