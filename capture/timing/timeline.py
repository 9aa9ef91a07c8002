"""The one place that knows what time it is in the recording.

A `Timeline` has one epoch; a pause is an offset from it. `FrameTimeline` gives frames their pts. `SampleTimeline` turns
blocks of sound, stamped by a device whose clock is not ours, into an unbroken run of samples that keeps to the
timeline: late starts and holes become silence, drift is absorbed by gentle resampling, pauses are cut out exactly.

Everything here is pure: no threads, no device, no clock. Times are seconds on the session's clock unless they are
called media time, which begins at 0 with the recording and stands still in a pause.
"""

from __future__ import annotations

import math
import threading

from capture.media import VIDEO_TICKS_PER_S

__all__ = ["FrameTimeline", "Timeline", "grid_pts"]


class Timeline:
    """The epoch and the pauses of one recording. Any thread may ask; one thread at a time pauses and resumes."""

    def __init__(self, epoch_s: float, duration_s: float = math.inf) -> None:
        self.epoch_s = epoch_s
        self._duration_s = duration_s
        # Held by whoever changes something. What is there is replaced, never altered: who only asks needs no lock.
        self._lock = threading.Lock()
        # Starts and ends in seconds; a pause under way ends at infinity.
        self._pauses: tuple[tuple[float, float], ...] = ()
        self._stop_s = math.inf

    @property
    def stop_s(self) -> float:
        """When the recording ends: when it was stopped, or has its duration. Infinite while that is open."""
        full_s = self.epoch_s + self._duration_s
        for start_s, end_s in self._pauses:
            # A pause that comes when all is over puts nothing off.
            full_s += end_s - start_s if start_s < full_s else 0.0
        return min(self._stop_s, full_s)

    def stop(self, at_s: float) -> None:
        """End the recording at `at_s`; an earlier end stays."""
        with self._lock:
            self._stop_s = min(self._stop_s, max(at_s, self.epoch_s))

    def pause(self, at_s: float) -> None:
        """Stand still from `at_s`; nothing changes if it does already."""
        with self._lock:
            # Commands from several threads can overtake each other; no moment may count for two pauses.
            last_end_s = self._pauses[-1][1] if self._pauses else self.epoch_s
            if last_end_s < math.inf:
                self._pauses += ((max(at_s, last_end_s), math.inf),)

    def resume(self, at_s: float) -> None:
        """Go on from `at_s`; nothing changes if it does already."""
        with self._lock:
            if self._pauses and self._pauses[-1][1] == math.inf:
                start_s, _ = self._pauses[-1]
                self._pauses = (*self._pauses[:-1], (start_s, max(at_s, start_s)))

    def pauses(self) -> tuple[tuple[float, float], ...]:
        """Every pause so far as (start, end); the end of one under way is infinite."""
        return self._pauses

    def paused_s(self, until_s: float) -> float:
        """How long the recording stood still between its epoch and `until_s`."""
        paused_s = 0.0
        for start_s, end_s in self._pauses:
            paused_s += max(0.0, min(end_s, until_s) - start_s)
        return paused_s

    def media_s(self, at_s: float) -> float:
        """Media time at `at_s`: in a pause that of its start, before the epoch 0."""
        return max(0.0, at_s - self.epoch_s - self.paused_s(at_s))

    def is_recorded(self, at_s: float) -> bool:
        """Whether what happens at `at_s` belongs in the file."""
        if not self.epoch_s <= at_s <= self.stop_s:
            return False
        return not any(start_s <= at_s < end_s for start_s, end_s in self._pauses)


def grid_pts(slot: int, fps: float) -> int:
    """The pts of a slot on a constant grid; rounding never adds up."""
    return round(slot * VIDEO_TICKS_PER_S / fps)


class FrameTimeline:
    """Gives each frame its pts in units of 1/90000 s; they rise strictly, as every container demands."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.last_pts = -1

    def pts(self, captured_at_s: float) -> int:
        """The pts of a frame that was on the screen at `captured_at_s`."""
        self.last_pts = max(self.last_pts + 1, round(self._timeline.media_s(captured_at_s) * VIDEO_TICKS_PER_S))
        return self.last_pts
