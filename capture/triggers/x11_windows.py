"""Starts a recording when the first window appears on an X11 screen."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from capture.errors import CaptureError, NotReadyError
from capture.events import Command, Send

__all__ = ["X11Windows"]

#: Programs also map windows that are not meant to be seen, with sides of a pixel or a few.
_LEAST_SIDE: Final = 16

#: How long the thread may take to end. A server that does not answer is cut off after that.
_END_S: Final = 1.0


class X11Windows:
    """Sends START when there is a window on the screen that DISPLAY names.

    If there is none after `limit_s`, `fail` gets the error `none`; without an X server another one; from any thread.
    """

    def __init__(self, fail: Callable[[CaptureError], None], limit_s: float, none: CaptureError) -> None:
        self._fail = fail
        self._limit_s = limit_s
        self._none = none
        self._thread: threading.Thread | None = None
        self._wire: Any = None

    def start(self, send: Send) -> None:
        from Xlib import X
        from Xlib.protocol import request

        from capture.triggers.x11_connection import GONE, Wire

        try:
            self._wire = Wire()
            self._wire.set_error_handler(lambda failure, failed: None)
            for screen in self._wire.info.roots:
                request.ChangeWindowAttributes(
                    self._wire, None, window=screen["root"], event_mask=X.SubstructureNotifyMask
                )
            self._wire.flush()
        except GONE:
            # Without it nothing would ever start the recording.
            self._fail(NotReadyError("there is no X11 display to wait for a window on", "drop --wait-for-window"))
            return
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, args=(send,), name="windows", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        if self._thread is None:
            return
        with suppress(OSError):
            self._wake.send(b"!")
        self._thread.join(_END_S)
        if self._thread.is_alive():
            self._wire.cut()
            self._thread.join(_END_S)
        self._wake.close()
        self._woken.close()

    def _run(self, send: Send) -> None:
        from capture.triggers.x11_connection import GONE

        # If the server is gone, the source that records from it reports that.
        with suppress(*GONE):
            try:
                if self._await_window():
                    send(Command.START, "window")
            finally:
                self._wire.close()

    def _await_window(self) -> bool:
        """Wait for a window; return False after `stop`, or after `fail` got the error that there is none."""
        from Xlib import X
        from Xlib.protocol import request

        deadline_s = time.monotonic() + self._limit_s
        # Those that were there before the events began.
        new = [
            window
            for screen in self._wire.info.roots
            for window in request.QueryTree(self._wire, window=screen["root"]).children
        ]
        while not any(map(self._is_seen, new)):
            if not self._wire.pending_events():
                readable, _, _ = select.select(
                    [self._wire.fileno(), self._woken], [], [], max(0.0, deadline_s - time.monotonic())
                )
                if self._woken in readable:
                    return False
                if not readable:
                    self._fail(self._none)
                    return False
            new = []
            while self._wire.pending_events():
                event = self._wire.next_event()
                # A window may be mapped first and get its size then.
                if event.type in (X.MapNotify, X.ConfigureNotify):
                    new.append(event.window)
        return True

    def _is_seen(self, window: int) -> bool:
        from Xlib import X, error
        from Xlib.protocol import request

        try:
            about = request.GetWindowAttributes(self._wire, window=window)
            place = request.GetGeometry(self._wire, drawable=window)
        except error.XError:
            return False
        is_shown = about.map_state == X.IsViewable and about.win_class == X.InputOutput
        return bool(is_shown and min(place.width, place.height) >= _LEAST_SIDE)
