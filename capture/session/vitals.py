"""Watches a recording for trouble while it runs: a silent track, a disk that stalls, a machine that is too busy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from capture.event_kinds import EventKind
from capture.events import Event, Level

__all__ = ["STANDSTILL_S", "Vitals"]

#: Rates are measured over at least this long.
_LEAST_INTERVAL_S: Final = 0.1

#: A disk that takes longer than this for one write has stalled, which is reported.
_SLOW_S: Final = 1.0

#: So is one that stores so slowly that a power cut would cost this much. It is fast again below half of that: while all
#: syncs take equally long, the figure moves between the length of one and of two.
_BEHIND_S: Final = 3.0

#: Progress is asked for several times a second. When it comes this late, the process was stopped or the machine was too
#: busy to run it.
STANDSTILL_S: Final = 1.0


class Vitals:
    """Reports each trouble once, when it begins. Used by the session's thread.

    `record` takes what happens at a known moment, `record_now` the kind and the detail of what happens now.
    """

    def __init__(self, record: Callable[[Event], None], record_now: Callable[[EventKind, str], None]) -> None:
        self._record = record
        self._record_now = record_now
        self._troubles: dict[str, str] = {}
        self._disk_is_slow = False
        self._last = (0.0, 0)

    def look_at_levels(self, levels: Sequence[Level]) -> None:
        """Report a track that has fallen silent, and one that is heard again."""
        for level in levels:
            if level.trouble != self._troubles.get(level.source, ""):
                self._troubles[level.source] = level.trouble
                kind = EventKind.SILENT if level.trouble else EventKind.SOUND
                self._record_now(kind, f"{level.source}: {level.trouble or 'heard again'}")

    def look_at_disk(self, busy_s: float, behind_s: float) -> None:
        """Report a disk that has been busy with one write for too long, or is too far behind with storing."""
        if not self._disk_is_slow and busy_s >= _SLOW_S:
            self._record_now(
                EventKind.DISK_SLOW, f"the disk has accepted nothing for {busy_s:.0f} s: packets wait in memory"
            )
        elif not self._disk_is_slow and behind_s >= _BEHIND_S:
            self._record_now(
                EventKind.DISK_SLOW, f"the disk is slow: a power cut now would cost the last {behind_s:.0f} s"
            )
        still_behind_s = _BEHIND_S / 2 if self._disk_is_slow else _BEHIND_S
        self._disk_is_slow = busy_s >= _SLOW_S or behind_s >= still_behind_s

    def look_at_standstill(self, from_s: float, to_s: float) -> None:
        """Report that the recorder did not run between two moments of media time, if they are far apart."""
        if to_s - from_s > STANDSTILL_S:
            self._record(Event(EventKind.STOOD_STILL, from_s, "the machine was too busy: picture frozen", to_s))

    def fps(self, elapsed_s: float, frames: int) -> float:
        """Frames per second since the last call."""
        before_s, frames_before = self._last
        self._last = (elapsed_s, frames)
        return (frames - frames_before) / max(elapsed_s - before_s, _LEAST_INTERVAL_S)
