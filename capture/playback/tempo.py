"""Changes how fast sound plays, but not its pitch."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import av.filter
import numpy as np

from capture.media import SAMPLE_RATE, SampleArray
from capture.recordings.sound_file import CHANNELS

__all__ = ["Tempo"]


class Tempo:
    """Makes sound last 1/`speed` of its time, with FFmpeg's `atempo`. At speed 1, samples pass untouched.

    For one thread. Samples are float32 (n, 2) at `SAMPLE_RATE`.
    """

    def __init__(self, speed: float) -> None:
        self._count = 0
        self._graph: Any = None
        if speed != 1.0:
            graph = self._graph = av.filter.Graph()
            time_base = Fraction(1, SAMPLE_RATE)
            source = graph.add_abuffer(sample_rate=SAMPLE_RATE, format="flt", layout="stereo", time_base=time_base)
            graph.link_nodes(source, graph.add("atempo", f"tempo={speed:g}"), graph.add("abuffersink"))
            graph.configure()

    def take(self, samples: SampleArray) -> SampleArray:
        """Take in samples; return those that are ready, which may be none."""
        if self._graph is None or not len(samples):
            return samples
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples).reshape(1, -1), format="flt", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._count, Fraction(1, SAMPLE_RATE)
        self._count += len(samples)
        self._graph.push(frame)
        return self._pulled()

    def finish(self) -> SampleArray:
        """Return the rest: nothing more is taken in."""
        if self._graph is None or not self._count:
            return np.zeros((0, CHANNELS), np.float32)
        self._graph.push(None)
        return self._pulled()

    def _pulled(self) -> SampleArray:
        parts = [np.zeros((0, CHANNELS), np.float32)]
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return np.concatenate(parts)
            parts.append(np.asarray(frame.to_ndarray(), np.float32).reshape(-1, CHANNELS))
