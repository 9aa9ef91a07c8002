"""Tells events to a listener outside, in a thread of its own: one that hangs or fails holds up nobody."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from capture.events import Event, EventSink, Progress, Summary
from capture.threads.mailbox import Closed, Mailbox
from capture.threads.worker import Worker

__all__ = ["EventDispatcher"]

#: Events waiting to be told. A listener that hangs, as a terminal stopped by Ctrl+S does, misses what is beyond.
EVENTS_QUEUED: Final = 256

#: How long the last events may take to be told, at the end.
EVENTS_END_S: Final = 1.0


class EventDispatcher:
    """Calls `listener` with one event after the other, from `start` to `close`; `tell` is for any thread."""

    def __init__(self, listener: EventSink) -> None:
        self._listener = listener
        self._events: Mailbox[Event | Progress | Summary] = Mailbox(EVENTS_QUEUED)
        self._worker = Worker("events", self._run)

    def start(self) -> None:
        self._worker.start()

    def tell(self, event: Event | Progress | Summary) -> None:
        """Have it told, unless too much waits for that already."""
        with suppress(Closed):
            self._events.offer(event)

    def close(self) -> None:
        """Let what waits be told, as far as that goes quickly."""
        self._events.close()
        self._worker.join(EVENTS_END_S)

    def _run(self) -> None:
        while True:
            event = self._events.get()
            try:
                self._listener(event)
            except Exception:
                # It is told nothing more.
                self._listener = lambda event: None
