"""Hears what an output plays, and makes noise whose samples can be found again in it."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from stage import RATE

from capture.media import SampleArray


class Listener:
    """Records the monitor of an output with the recorder's own source, in a separate thread."""

    def __init__(self, output: str) -> None:
        from capture.sources.pulse.device_source import PulseSource

        self._source = PulseSource(f"{output}.monitor", output, 2)
        self._parts: list[tuple[float, SampleArray]] = []
        self._ending = False
        self._thread = threading.Thread(target=self._listen)
        self._opened = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._opened.wait(30)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        self._source.wake()
        self._thread.join()

    def _listen(self) -> None:
        self._source.open()
        self._opened.set()
        while not self._ending:
            heard: Any = self._source.read(time.monotonic() + 0.1)
            for samples in heard if isinstance(heard, list | tuple) else [heard]:
                if samples is not None:
                    self._parts.append((samples.captured_at_s, samples.data))
        self._source.close()

    @property
    def data(self) -> SampleArray:
        return np.concatenate([data for _, data in self._parts]) if self._parts else np.zeros((0, 2), np.float32)

    @property
    def until_s(self) -> float:
        """When the last received sample was heard."""
        at_s, data = self._parts[-1] if self._parts else (0.0, np.zeros(0))
        return at_s + len(data) / RATE

    def last_heard_s(self) -> float | None:
        """Return when the last sample that is not silent was heard."""
        for at_s, data in reversed(self._parts):
            loud = np.flatnonzero(abs(data).max(axis=1) > 1e-3)
            if len(loud):
                return float(at_s + (loud[-1] + 1) / RATE)
        return None


def noise(path: Path, duration_s: float) -> SampleArray:
    """Write a FLAC of constantly loud noise; return its samples."""
    import av

    count = round(duration_s * RATE)
    random = np.random.default_rng(1)
    samples = (random.choice([-1, 1], (count, 2)) * random.integers(3_000, 16_000, (count, 2))).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("flac", rate=RATE, layout="stereo")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate, frame.pts = RATE, 0
        fifo = av.AudioFifo()
        fifo.write(frame)
        while (part := fifo.read(4096, partial=True)) is not None:
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))
    return (samples / 32768).astype(np.float32)
