"""What happened to a recording, in the order of its moments, in bounded memory.

What lasts is told piece by piece as it goes on (`to_s`), and pieces of one kind and detail that follow each other
become one run. However much happens, no more than `KEPT` of each kind is kept; what is left out is counted. Pure: no
file and no clock.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from capture.event_kinds import EventKind
from capture.events import Event

__all__ = ["KEPT", "Ledger"]

#: Of each kind. More than anybody reads, and a few hundred kilobytes.
KEPT: Final = 2_000

#: Pieces so close belong to one run: they touch, but for what the rounding of their moments may leave between them.
_TOUCHING_S: Final = 0.002

#: A machine that is too slow loses a slot here and there: those within this are one run.
_SPREAD_S: Final = {EventKind.DROPPED: 1.0}

#: A run that has not grown for so long is over. The silence that stands for missing sound is written 0.85 s late.
_OVER_AFTER_S: Final = 2.0


class _Entry:
    """An event, which a longer one replaces where it lasts, and whether there was room to keep it."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.kept = False


class Ledger:
    """Any thread may call any method.

    `tell` is given every event that is kept, what lasts when it is over. It is called by whoever records, and must only
    pass it on. With `span_s` no more than the last so many seconds are kept.
    """

    def __init__(self, tell: Callable[[Event], None] = lambda event: None, *, span_s: float = math.inf) -> None:
        self._tell = tell
        self._write: Callable[[Event], None] = lambda event: None
        self._span_s = span_s
        self._lock = threading.Lock()
        self._entries: deque[_Entry] = deque()
        self._kept: Counter[str] = Counter()
        self._begun: Counter[str] = Counter()
        # Runs that may still grow, by kind and detail; those that are not kept grow as well.
        self._open: dict[tuple[str, str], _Entry] = {}
        # What was left out of each kind: from when to when, and how much.
        self._left_out: dict[str, Event] = {}

    def write_into(self, write: Callable[[Event], None]) -> None:
        """Have everything that is kept, from the first on, written down: what lasts when it begins, and when it ends.

        Called as `tell` is.
        """
        with self._lock:
            for entry in self._entries:
                write(entry.event)
            self._write = write

    def record(self, event: Event) -> None:
        """Take in what happened; a piece of what goes on already makes that longer."""
        with self._lock:
            # Nobody may ask for it otherwise.
            self._settle(event.at_s)
            if event.to_s is None:
                self._end(self._begin(event))
                return
            key = (event.kind, event.detail)
            run = self._open.get(key)
            if run is not None and event.at_s <= run.event.end_s + _SPREAD_S.get(event.kind, _TOUCHING_S):
                to_s = max(run.event.end_s, event.to_s)
                run.event = replace(run.event, to_s=to_s, count=run.event.count + event.count)
                return
            if run is not None:
                self._end(run)
            run = self._open[key] = self._begin(event)
            if run.kept:
                self._write(event)

    def _begin(self, event: Event) -> _Entry:
        """Let go of what is too old, and keep the event if there is room for its kind."""
        while self._entries and self._entries[0].event.end_s < event.at_s - self._span_s:
            self._kept[self._entries.popleft().event.kind] -= 1
        entry = _Entry(event)
        entry.kept = self._kept[event.kind] < KEPT
        if entry.kept:
            self._kept[event.kind] += 1
            self._entries.append(entry)
        self._begun[event.kind] += 1
        return entry

    def _end(self, entry: _Entry) -> None:
        """It is told, or counted, with its last figures."""
        event = entry.event
        if entry.kept:
            self._tell(event)
            self._write(event)
        else:
            self._leave_out(event)

    def _leave_out(self, event: Event) -> None:
        count = max(1, event.count)
        before = self._left_out.get(event.kind)
        if before is not None:
            count += before.count
        at_s = event.at_s if before is None else before.at_s
        self._left_out[event.kind] = Event(EventKind.LEFT_OUT, at_s, f"more of: {event.kind}", event.end_s, count)

    def settle(self, now_s: float = math.inf) -> None:
        """End the runs that have not grown for a while; without a moment all of them."""
        with self._lock:
            self._settle(now_s)

    def _settle(self, now_s: float) -> None:
        for key, run in tuple(self._open.items()):
            if run.event.end_s < now_s - _OVER_AFTER_S:
                del self._open[key]
                self._end(run)

    def count(self, kind: EventKind) -> int:
        """How many events of a kind there were, kept or not."""
        with self._lock:
            return self._begun[kind]

    def left_out(self) -> tuple[Event, ...]:
        """For each kind of which there was too much, how much is not among the events, and where it lies."""
        with self._lock:
            return tuple(self._left_out.values())

    def events(self) -> tuple[Event, ...]:
        """What is kept, by its moment, and behind it what was left out."""
        with self._lock:
            kept = [entry.event for entry in self._entries]
        return (*sorted(kept, key=lambda event: event.at_s), *self.left_out())

    def of(self, kind: EventKind) -> tuple[Event, ...]:
        """The events of one kind that are kept, by their moments."""
        return tuple(event for event in self.events() if event.kind == kind)

    def between(self, from_s: float, to_s: float) -> tuple[Event, ...]:
        """What happened in a part of the time, counted from its beginning; what reaches beyond it is cut there."""
        found = []
        for event in self.events():
            if event.at_s < to_s and event.end_s >= from_s:
                found.append(replace(event, to_s=None if event.to_s is None else min(event.to_s, to_s)).moved(-from_s))
        return tuple(found)
