"""Maps moments on the session's clock to media time, and to the pts of frames.

A `Timeline` has one epoch; a pause is an offset from it. `FrameTimeline` gives frames their pts. Samples are placed by
`sample_timeline.SampleTimeline`.

Nothing here starts a thread, opens a device or reads a clock. Times are seconds on the session's clock. Media time
starts at 0 at the epoch and stops during a pause.
"""

from __future__ import annotations

import math
import threading

from capture.media import VIDEO_TICKS_PER_S

__all__ = ["FrameTimeline", "Timeline", "grid_pts"]


class Timeline:
    """The epoch, pauses and stop of one recording. Any thread may call any method."""

    def __init__(self, epoch_s: float, duration_s: float = math.inf) -> None:
        self.epoch_s = epoch_s
        self._duration_s = duration_s
        # Writers hold the lock and replace values instead of changing them, so readers need no lock.
        self._lock = threading.Lock()
        # Start and end of each pause in seconds; the current pause ends at infinity.
        self._pauses: tuple[tuple[float, float], ...] = ()
        self._stop_s = math.inf

    @property
    def stop_s(self) -> float:
        """When the recording ends: at `stop` or once it has its duration, whichever is first; infinite until known."""
        return min(self._stop_s, self.full_at_s(self.epoch_s, self._duration_s))

    def full_at_s(self, from_s: float, duration_s: float) -> float:
        """Return when `duration_s` have been recorded since `from_s`, without pauses; infinite until that is known."""
        full_s = from_s + duration_s
        for start_s, end_s in self._pauses:
            # A pause that starts after the end does not move it.
            if start_s < full_s:
                full_s += max(0.0, end_s - max(start_s, from_s))
        return full_s

    def stop(self, at_s: float) -> None:
        """End the recording at `at_s`, unless it already ends earlier."""
        with self._lock:
            self._stop_s = min(self._stop_s, max(at_s, self.epoch_s))

    def pause(self, at_s: float) -> None:
        """Pause from `at_s` on; does nothing if already paused."""
        with self._lock:
            # Commands from several threads can overtake each other, but pauses must not overlap.
            last_end_s = self._pauses[-1][1] if self._pauses else self.epoch_s
            if last_end_s < math.inf:
                self._pauses += ((max(at_s, last_end_s), math.inf),)

    def resume(self, at_s: float) -> None:
        """Resume at `at_s`; does nothing if not paused."""
        with self._lock:
            if self._pauses and self._pauses[-1][1] == math.inf:
                start_s, _ = self._pauses[-1]
                self._pauses = (*self._pauses[:-1], (start_s, max(at_s, start_s)))

    def pauses(self) -> tuple[tuple[float, float], ...]:
        """Return every pause so far as (start, end); the current one ends at infinity."""
        return self._pauses

    def paused_s(self, until_s: float) -> float:
        """Return how long the recording was paused between its epoch and `until_s`."""
        paused_s = 0.0
        for start_s, end_s in self._pauses:
            paused_s += max(0.0, min(end_s, until_s) - start_s)
        return paused_s

    def media_s(self, at_s: float) -> float:
        """Return the media time at `at_s`: 0 before the epoch, constant during a pause."""
        return max(0.0, at_s - self.epoch_s - self.paused_s(at_s))

    def is_recorded(self, at_s: float) -> bool:
        """Whether `at_s` is part of the recording: between epoch and stop, and not in a pause."""
        if not self.epoch_s <= at_s <= self.stop_s:
            return False
        return not any(start_s <= at_s < end_s for start_s, end_s in self._pauses)


def grid_pts(slot: int, fps: float) -> int:
    """Return the pts of a slot on a constant grid; rounding errors do not accumulate."""
    return round(slot * VIDEO_TICKS_PER_S / fps)


class FrameTimeline:
    """Gives each frame a pts in units of 1/90000 s, strictly increasing, as every container requires."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.last_pts = -1

    def pts(self, captured_at_s: float) -> int:
        """Return the pts of a frame that was on the screen at `captured_at_s`."""
        self.last_pts = max(self.last_pts + 1, round(self._timeline.media_s(captured_at_s) * VIDEO_TICKS_PER_S))
        return self.last_pts
