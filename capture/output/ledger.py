"""Logs the events of a recording in order, in bounded memory.

An event that lasts arrives piece by piece, each with its end (`to_s`); adjacent pieces of one kind and detail become
one run. The ledger keeps at most `KEPT` events of each kind and counts the rest. Pure: no file and no clock.
"""

from __future__ import annotations

import math
import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from capture.events import Event, EventKind

__all__ = ["KEPT", "Ledger"]

#: How many events of each kind to keep. More than anyone reads, and a few hundred kilobytes.
KEPT: Final = 2_000

#: Pieces this close belong to one run: they touch, but rounding may leave a gap between them.
_TOUCHING_S: Final = 0.002

#: A machine that is too slow drops a frame here and there, and a faulty program spoils a block here and there: pieces
#: this close together are one run.
_SPREAD_S: Final = {EventKind.DROPPED: 1.0, EventKind.BAD_SAMPLES: 1.0}

#: A run that has not grown for this long is over. Silence in place of missing sound is written 0.85 s late.
_OVER_AFTER_S: Final = 2.0


class _Entry:
    """An event, replaced by a longer one as its run grows, and whether there was room to keep it."""

    def __init__(self, event: Event) -> None:
        self.event = event
        self.kept = False


class Ledger:
    """Logs events. Any thread may call any method.

    Calls `report` with every event that is kept, with a run once it is over. The thread that called `record` or
    `settle` makes the call, under the ledger's lock: `report` must only pass the event on. With `span_s`, the ledger
    keeps only the last `span_s` seconds.
    """

    def __init__(self, report: Callable[[Event], None] = lambda event: None, *, span_s: float = math.inf) -> None:
        self._report = report
        self._write: Callable[[Event], None] = lambda event: None
        self._span_s = span_s
        self._lock = threading.Lock()
        self._entries: deque[_Entry] = deque()
        self._kept: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        # Runs that may still grow, by kind and detail; this includes runs that are not kept.
        self._open: dict[tuple[str, str], _Entry] = {}
        # What was left out, by kind: a LEFT_OUT event with its time and count.
        self._left_out: dict[str, Event] = {}

    def copy_to(self, write: Callable[[Event], None]) -> None:
        """Call `write` with all kept events, past and future; with a run when it starts and again when it ends.

        `write` is called like `report`.
        """
        with self._lock:
            for entry in self._entries:
                write(entry.event)
            self._write = write

    def record(self, event: Event) -> None:
        """Log an event; a piece of an open run extends that run."""
        with self._lock:
            # Done here because `settle` may never be called.
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
        """Forget events that are too old, and keep this one if there is room for its kind."""
        while self._entries and self._entries[0].event.end_s < event.at_s - self._span_s:
            self._kept[self._entries.popleft().event.kind] -= 1
        entry = _Entry(event)
        entry.kept = self._kept[event.kind] < KEPT
        if entry.kept:
            self._kept[event.kind] += 1
            self._entries.append(entry)
        self._counts[event.kind] += 1
        return entry

    def _end(self, entry: _Entry) -> None:
        """Report a finished event, or count it as left out."""
        event = entry.event
        if entry.kept:
            self._report(event)
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
        """End the runs that have not grown for a while; all of them without `now_s`."""
        with self._lock:
            self._settle(now_s)

    def _settle(self, now_s: float) -> None:
        for key, run in tuple(self._open.items()):
            if run.event.end_s < now_s - _OVER_AFTER_S:
                del self._open[key]
                self._end(run)

    def count(self, kind: EventKind) -> int:
        """Return how many events of a kind there were, kept or not."""
        with self._lock:
            return self._counts[kind]

    def left_out(self) -> tuple[Event, ...]:
        """Return a LEFT_OUT event for each kind that had too many: how many are missing, and from when to when."""
        with self._lock:
            return tuple(self._left_out.values())

    def events(self) -> tuple[Event, ...]:
        """Return the kept events sorted by their start, followed by `left_out()`."""
        with self._lock:
            kept = [entry.event for entry in self._entries]
        return (*sorted(kept, key=lambda event: event.at_s), *self.left_out())

    def of(self, kind: EventKind) -> tuple[Event, ...]:
        """Return the kept events of one kind, sorted by their start."""
        return tuple(event for event in self.events() if event.kind == kind)

    def between(self, from_s: float, to_s: float) -> tuple[Event, ...]:
        """Return the events from `from_s` to `to_s`, with times relative to `from_s` and cut at both ends."""
        found = []
        for event in self.events():
            if event.at_s < to_s and event.end_s >= from_s:
                found.append(replace(event, to_s=None if event.to_s is None else min(event.to_s, to_s)).moved(-from_s))
        return tuple(found)
