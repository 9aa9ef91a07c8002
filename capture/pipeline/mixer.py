"""Mixes the lanes of several sources into one track and measures its level."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

import numpy as np

from capture.media import SAMPLE_RATE, SILENCE_DBFS, Attenuation, SampleArray, Samples, peak_dbfs
from capture.timing.sample_timeline import SampleTimeline
from capture.timing.timeline import Timeline

__all__ = ["Lane", "LevelMeter", "mix"]

#: Above this level a mix is compressed instead of clipped, so that two loud sources add up without crackling.
_KNEE: Final = 0.8

#: Most samples mixed and encoded at once: a gap of hours must not need memory for hours.
_CHUNK_SAMPLES: Final = SAMPLE_RATE


class Lane:
    """One stream of a source: places its blocks on the timeline and holds the samples that wait to be mixed.

    `taken` is how many samples of the track were sent before this lane began.
    """

    def __init__(self, timeline: Timeline, channels: int, taken: int = 0) -> None:
        self.samples = SampleTimeline(timeline, channels, taken)
        self.waiting: SampleArray = np.zeros((0, channels), np.float32)
        self.heard_at_s = timeline.epoch_s
        #: That of the latest block with samples.
        self.attenuation = Attenuation()
        self._filled = 0

    @property
    def heard_s(self) -> float:
        """Seconds of sound that the source really delivered, without inserted silence."""
        return self._filled / SAMPLE_RATE - self.samples.inserted_silence_s

    def push(self, block: Samples, now_s: float) -> None:
        """Place a block that arrived at `now_s`; a block without samples marks a break."""
        self.heard_at_s = now_s
        if len(block.data):
            self.attenuation = block.attenuation
            self.samples.push(block)
        else:
            self.samples.interrupt()

    def fill(self, until_s: float) -> None:
        """Move the samples that are ready up to `until_s` into `waiting`, which holds at most one chunk."""
        samples = self.samples.take(until_s, _CHUNK_SAMPLES - len(self.waiting))
        if len(samples):
            self.waiting = np.concatenate((self.waiting, samples)) if len(self.waiting) else samples
            self._filled += len(samples)

    def pop(self, count: int) -> SampleArray:
        """Remove and return the first `count` samples of `waiting`, or all if there are fewer."""
        popped, self.waiting = self.waiting[:count], self.waiting[count:]
        return popped


def mix(parts: Sequence[SampleArray], count: int, channels: int) -> SampleArray:
    """Add up `parts`, float32 (n, channels) or (n, 1), to float32 (count, channels); short parts end early.

    A mono part goes into every channel. A single part is returned as it is.
    """
    if len(parts) == 1:
        return parts[0]
    total = np.zeros((count, channels), np.float32)
    sounding = [part for part in parts if part.any()]
    for part in sounding:
        total[: len(part)] += part
    if len(sounding) < 2:
        return total
    loud = np.abs(total) > _KNEE
    if loud.any():
        room = 1.0 - _KNEE
        total[loud] = np.sign(total[loud]) * (_KNEE + room * np.tanh((np.abs(total[loud]) - _KNEE) / room))
    return total


class LevelMeter:
    """Measures the peak of a track, overall and since the last `take_recent`.

    The track's thread calls `observe`; any thread may call the other methods.
    """

    def __init__(self, epoch_s: float) -> None:
        self.peak = 0.0
        #: When sound above `SILENCE_DBFS` last came, on the session's clock.
        self.sound_at_s = epoch_s
        # The peak since the last `take_recent`, None if no samples came, and the peak before that.
        self._recent: float | None = None
        self._previous = 0.0
        self._lock = threading.Lock()

    def observe(self, samples: SampleArray, now_s: float) -> float:
        """Take the next samples into account and return their peak."""
        peak = max(float(samples.max()), -float(samples.min()))
        with self._lock:
            self.peak = max(self.peak, peak)
            self._recent = max(self._recent or 0.0, peak)
        if peak_dbfs(peak) > SILENCE_DBFS:
            self.sound_at_s = now_s
        return peak

    def restart(self, peak: float, now_s: float) -> None:
        """Measure again from `now_s`, starting with `peak`."""
        with self._lock:
            self.peak = peak
        self.sound_at_s = max(self.sound_at_s, now_s)

    def take_recent(self) -> float:
        """Return the peak since the last call. If no samples came since, return the previous peak, but only once.

        Blocks arrive about as often as this is called, so now and then a call falls between two.
        """
        with self._lock:
            recent, self._recent = self._recent, None
            shown = self._previous if recent is None else recent
            self._previous = recent or 0.0
        return shown
