"""Ends a session after a time, whatever it does then."""

from __future__ import annotations

import threading
from typing import Final

from capture.events import Command, EventKind, Send

__all__ = ["Deadline"]

_GIVEN_BY: Final = "duration"


class Deadline:
    """Sends `Command.QUIT` once `after_s` have passed since `start`. One thread at a time may call its methods."""

    #: It works everywhere.
    unavailable_event = EventKind.FAILED
    notes: tuple[tuple[EventKind, str], ...] = ()

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, send: Send) -> None:
        self._stopped.clear()
        self._thread = threading.Thread(target=self._wait, args=(send,), name="deadline", daemon=True)
        self._thread.start()

    def _wait(self, send: Send) -> None:
        if not self._stopped.wait(self._after_s):
            send(Command.QUIT, _GIVEN_BY)

    def take_began(self, path: str) -> None:
        """Do nothing: the time is that of the session."""

    def take_ended(self) -> None:
        """Do nothing."""

    def stop(self) -> None:
        """Send nothing more. May be called twice."""
        self._stopped.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
