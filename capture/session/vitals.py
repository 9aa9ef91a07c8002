"""Watches a running recording for trouble: a silent track, a disk that stalls, a machine that is too busy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from capture.events import Event, EventKind, Level

__all__ = ["STANDSTILL_S", "Vitals"]

#: The shortest interval over which the frame rate is measured.
_LEAST_INTERVAL_S: Final = 0.1

#: A disk that takes longer than this for one write has stalled.
_SLOW_S: Final = 1.0

#: So is one that stores so slowly that a power cut would cost this much. It is fast again below half of that: while all
#: syncs take equally long, the figure moves between the length of one and of two.
_BEHIND_S: Final = 3.0

#: Progress is requested several times a second. When a request comes this late, the process was stopped or the machine
#: was too busy to run it.
STANDSTILL_S: Final = 1.0


class Vitals:
    """Returns each trouble once, when it begins: the kind and the detail of what happens now. Used by one thread."""

    def __init__(self) -> None:
        self._troubles: dict[str, str] = {}
        self._disk_is_slow = False
        # How long this process stood still while the disk had work: that time is not the disk's.
        self._stood_still_s = 0.0
        self._last = (0.0, 0)
        #: The share of the work on the finished file that is done; 0 if it is unknown.
        self.done = 0.0

    def note_done(self, share: float) -> None:
        """Take the share of the work that is done; the thread that does it calls this."""
        self.done = share

    def look_at_levels(self, levels: Sequence[Level]) -> list[tuple[EventKind, str]]:
        """Return every track that has fallen silent, and every one that is heard again."""
        found = []
        for level in levels:
            if level.trouble != self._troubles.get(level.source, ""):
                self._troubles[level.source] = level.trouble
                kind = EventKind.SILENT if level.trouble else EventKind.SOUND
                found.append((kind, f"{level.source}: {level.trouble or 'heard again'}"))
        return found

    def look_at_disk(self, busy_s: float, behind_s: float) -> list[tuple[EventKind, str]]:
        """Return whether the disk has been busy with one write for too long, or is too far behind with storing."""
        if max(busy_s, behind_s) < self._stood_still_s:
            # What waited then is stored.
            self._stood_still_s = 0.0
        was_slow, stalls = self._disk_is_slow, busy_s - self._stood_still_s >= _SLOW_S
        limit_s = (_BEHIND_S / 2 if was_slow else _BEHIND_S) + self._stood_still_s
        self._disk_is_slow = stalls or behind_s >= limit_s
        if was_slow or not self._disk_is_slow:
            return []
        if stalls:
            return [(EventKind.DISK_SLOW, f"the disk has accepted nothing for {busy_s:.0f} s: packets wait in memory")]
        return [(EventKind.DISK_SLOW, f"the disk is slow: a power cut now would cost the last {behind_s:.0f} s")]

    def look_at_standstill(self, from_s: float, to_s: float, *, has_picture: bool) -> list[Event]:
        """Return that the recorder did not run between two moments of media time, if they are far apart."""
        if to_s - from_s <= STANDSTILL_S:
            return []
        self._stood_still_s += to_s - from_s
        detail = f"the recorder was stopped, or the machine too busy{': picture frozen' if has_picture else ''}"
        return [Event(EventKind.STOOD_STILL, from_s, detail, to_s)]

    def fps(self, elapsed_s: float, frames: int) -> float:
        """Return the frames per second since the last call."""
        before_s, frames_before = self._last
        self._last = (elapsed_s, frames)
        return (frames - frames_before) / max(elapsed_s - before_s, _LEAST_INTERVAL_S)
