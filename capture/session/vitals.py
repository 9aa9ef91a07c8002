"""Watches a running recording for trouble: a silent track, a disk that stalls, a machine that is too busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from capture.event_kinds import EventKind
from capture.events import Event, Level

__all__ = ["STANDSTILL_S", "Vitals"]

#: The shortest interval over which the frame rate is measured.
_LEAST_INTERVAL_S: Final = 0.1

#: A disk that takes longer than this for one write has stalled.
_SLOW_S: Final = 1.0

#: Progress is requested several times a second. When a request comes this late, the process was stopped or the machine
#: was too busy to run it.
STANDSTILL_S: Final = 1.0


class Vitals:
    """Reports each problem once, when it starts. Used by the session's thread.

    `record` records an event with its moment, `record_now` one of a kind and a detail that happens now.
    """

    def __init__(self, record: Callable[[Event], None], record_now: Callable[[EventKind, str], None]) -> None:
        self._record = record
        self._record_now = record_now
        self._troubles: dict[str, str] = {}
        self._disk_is_slow = False
        self._last = (0.0, 0)

    def look_at_levels(self, levels: Sequence[Level]) -> None:
        """Report a track that has become silent, and one that is heard again."""
        for level in levels:
            if level.trouble != self._troubles.get(level.source, ""):
                self._troubles[level.source] = level.trouble
                kind = EventKind.SILENT if level.trouble else EventKind.SOUND
                self._record_now(kind, f"{level.source}: {level.trouble or 'heard again'}")

    def look_at_disk(self, busy_s: float) -> None:
        """Report a disk that takes too long for one write."""
        if busy_s >= _SLOW_S and not self._disk_is_slow:
            self._record_now(
                EventKind.DISK_SLOW, f"the disk has accepted nothing for {busy_s:.0f} s: packets wait in memory"
            )
        self._disk_is_slow = busy_s >= _SLOW_S

    def look_at_standstill(self, from_s: float, to_s: float) -> None:
        """Report two moments of media time that are so far apart that the recorder did not run between them."""
        if to_s - from_s > STANDSTILL_S:
            self._record(Event(EventKind.STOOD_STILL, from_s, "the machine was too busy: picture frozen", to_s))

    def fps(self, elapsed_s: float, frames: int) -> float:
        """Return the frames per second since the last call."""
        before_s, frames_before = self._last
        self._last = (elapsed_s, frames)
        return (frames - frames_before) / max(elapsed_s - before_s, _LEAST_INTERVAL_S)
