"""Passes events to a listener on a separate thread, so that a slow or failing listener blocks nothing."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from capture.events import Event, EventSink, Progress, Summary
from capture.threads.mailbox import Closed, Mailbox
from capture.threads.worker import Worker

__all__ = ["EventDispatcher"]

#: How many events may wait for the listener. One that hangs, such as a terminal stopped by Ctrl+S, misses the rest.
EVENTS_QUEUED: Final = 256

#: How long `close` waits for the listener to take the last events.
EVENTS_END_S: Final = 1.0


class EventDispatcher:
    """Calls `listener` with each event in order, on a separate thread. Any thread may call `dispatch`."""

    def __init__(self, listener: EventSink) -> None:
        self._listener = listener
        self._events: Mailbox[Event | Progress | Summary] = Mailbox(EVENTS_QUEUED)
        self._worker = Worker("events", self._run)

    def start(self) -> None:
        self._worker.start()

    def dispatch(self, event: Event | Progress | Summary) -> None:
        """Queue `event` for the listener; drop it if the queue is full or closed."""
        with suppress(Closed):
            self._events.offer(event)

    def close(self) -> None:
        """Give the listener up to `EVENTS_END_S` to take the events that are queued."""
        self._events.close()
        self._worker.join(EVENTS_END_S)

    def _run(self) -> None:
        while True:
            event = self._events.get()
            try:
                self._listener(event)
            except Exception:
                # A listener that fails gets no further events.
                self._listener = lambda event: None
