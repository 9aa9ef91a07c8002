"""Mixes several sources into one track and measures how loud it is."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from capture.media import SAMPLE_RATE, SILENCE_DBFS, SampleArray, Samples, peak_dbfs
from capture.timing.sample_timeline import SampleTimeline
from capture.timing.timeline import Timeline

if TYPE_CHECKING:
    pass

__all__ = ["Lane", "LevelMeter", "Piece", "mix"]

#: Above this a mix is bent instead of clipped, so that two loud sources add up without crackling.
_KNEE: Final = 0.8


#: How many samples are mixed and encoded at once: a gap of hours must not need the memory of hours.
_PIECE: Final = SAMPLE_RATE


class Piece(NamedTuple):
    """A stretch of the track: where it ends, its peak, and the silence inserted in it."""

    end_s: float
    peak: float
    inserted_s: float


class Lane:
    """One of the things that a source hears, and how much of it waits to be mixed."""

    def __init__(self, timeline: Timeline, channels: int, taken: int = 0) -> None:
        self.part = SampleTimeline(timeline, channels, taken)
        self.waiting: SampleArray = np.zeros((0, channels), np.float32)
        self.heard_at_s = timeline.epoch_s
        self._filled = 0

    @property
    def heard_s(self) -> float:
        """Seconds of what was taken that the source delivered."""
        return self._filled / SAMPLE_RATE - self.part.inserted_silence_s

    def take_in(self, samples: Samples, now_s: float) -> None:
        """Put a block in its place; one without samples says that the next begins anew."""
        self.heard_at_s = now_s
        if len(samples.data):
            self.part.push(samples)
        else:
            self.part.interrupt()

    def fill(self, until_s: float) -> None:
        """Have what is ready up to `until_s` wait, at most a piece."""
        samples = self.part.take(until_s, _PIECE - len(self.waiting))
        if len(samples):
            self.waiting = np.concatenate((self.waiting, samples))
            self._filled += len(samples)

    def give(self, count: int) -> SampleArray:
        """The first `count` samples that wait, or as many as there are."""
        given, self.waiting = self.waiting[:count], self.waiting[count:]
        return given


def mix(parts: Sequence[SampleArray], count: int, channels: int) -> SampleArray:
    """The sum of the parts as float32 (count, channels); mono sounds in every channel, a short part ends early."""
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
    """The peak of a track, overall and since somebody last looked."""

    def __init__(self, epoch_s: float) -> None:
        self.peak = 0.0
        self.sound_at_s = epoch_s
        # Since somebody last looked, None where nothing came; and what was seen then.
        self._recent: float | None = None
        self._seen = 0.0
        self._lock = threading.Lock()

    def observe(self, samples: SampleArray, now_s: float) -> float:
        """Take the next samples in, and return their peak."""
        peak = max(float(samples.max()), -float(samples.min()))
        with self._lock:
            self.peak = max(self.peak, peak)
            self._recent = max(self._recent or 0.0, peak)
        if peak_dbfs(peak) > SILENCE_DBFS:
            self.sound_at_s = now_s
        return peak

    def begin_again(self, peak: float, now_s: float) -> None:
        with self._lock:
            self.peak = peak
        self.sound_at_s = max(self.sound_at_s, now_s)

    def take_recent(self) -> float:
        """The peak since the last call; where nothing has come since, once more what it was then, but only once.

        Blocks come about as often as somebody looks, and now and then a look falls between two.
        """
        with self._lock:
            recent, self._recent = self._recent, None
            shown = self._seen if recent is None else recent
            self._seen = recent or 0.0
        return shown
