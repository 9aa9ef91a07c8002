"""Sound from PulseAudio or PipeWire: what an output plays (its monitor), or what a microphone hears."""

from __future__ import annotations

import time
from collections import deque
from statistics import median
from typing import Final

import numpy as np

from capture.errors import NotReadyError, SourceLostError
from capture.media import SAMPLE_RATE, SampleArray, Samples
from capture.sources.libpulse import Loop, RecordStream

__all__ = ["PulseSource"]

#: How much sound the server sends at once. A server without hardware renders in pieces of this length, so it is also
#: the grain of the moment at which a program's sound is taken up.
FRAGMENT_S: Final = 0.02

#: How much is handed on at once, 0.1 s: fewer, larger blocks wake fewer threads, which is most of what sound costs.
BLOCK_SAMPLES: Final = 4_800

#: A local server answers within milliseconds; one that starts up just now may take this long.
CONNECT_S: Final = 3.0

#: The delay of an output changes when it does (another program asks for less latency), so it is asked for now and then.
TIMING_INTERVAL_S: Final = 1.0

#: The server says within a fraction of a millisecond when a sample will be heard; the odd answer is late.
TIMINGS_KEPT: Final = 5

_REMEDY: Final = "start PulseAudio or PipeWire, or use --audio none"


class PulseSource:
    """One source of the sound server, by its exact id.

    Each block is stamped with the moment its first sample is heard: when it arrived, plus the delay of the output that
    will play it, less the delay of the microphone that picked it up.
    """

    def __init__(self, name: str, device_id: str, device: str, channels: int) -> None:
        self.name = name
        self.device = device
        self.channels = channels
        self._device_id = device_id
        self._woken = False
        self._loop: Loop | None = None
        self._stream: RecordStream | None = None
        self._bytes_read = 0
        self._parts: list[SampleArray] = []
        self._arrived_at_s = 0.0
        self._delays_s: deque[float] = deque(maxlen=TIMINGS_KEPT)
        self._asked_at_s = -TIMING_INTERVAL_S

    def open(self) -> None:
        """Connect. Raises `NotReadyError` where no server answers or the device refuses."""
        loop = self._loop = Loop("capture")
        deadline_s = time.monotonic() + CONNECT_S
        while not loop.connected:
            if loop.failed or time.monotonic() > deadline_s:
                raise NotReadyError(f"no sound server answers ({loop.error()})", _REMEDY)
            loop.serve(0.1)
        stream = self._stream = RecordStream(loop, self._device_id, self.channels, FRAGMENT_S)
        while not stream.ready:
            if stream.failed or loop.failed or time.monotonic() > deadline_s:
                raise NotReadyError(f"{self.device} cannot be recorded ({loop.error()})", "see capture devices")
            loop.serve(0.1)

    def begin(self, epoch_s: float) -> None:
        """Nothing to do: the timeline leaves out what was heard before."""

    def read(self, until_s: float) -> Samples | None:
        """The next 0.1 s, or what came of it until `until_s`. Raises `SourceLostError` when device or server go."""
        loop, stream = self._loop, self._stream
        if loop is None or stream is None:
            raise ValueError("read before open")
        while True:
            while (part := stream.read()) is not None:
                self._parts.append(part)
                self._bytes_read += part.nbytes
                self._arrived_at_s = time.monotonic()
            if stream.failed:
                raise SourceLostError(f"{self.device} is gone ({loop.error()})")
            self._measure_delay(loop, stream)
            if sum(map(len, self._parts)) >= BLOCK_SAMPLES:
                return self._take()
            remaining_s = until_s - time.monotonic()
            if self._woken or remaining_s <= 0:
                self._woken = False
                return self._take() if self._parts else None
            loop.serve(remaining_s)

    def wake(self) -> None:
        self._woken = True
        if self._loop is not None:
            self._loop.wake()

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._loop is not None:
            self._loop.close()

    def _take(self) -> Samples:
        data = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._parts = []
        delay_s = median(self._delays_s) if self._delays_s else 0.0
        return Samples(data, self._arrived_at_s + delay_s - len(data) / SAMPLE_RATE)

    def _measure_delay(self, loop: Loop, stream: RecordStream) -> None:
        """Ask the server how far what it has sent is from being heard; the first answers are waited for."""
        if self._bytes_read == 0:
            return
        now_s = time.monotonic()
        if len(self._delays_s) == TIMINGS_KEPT and now_s - self._asked_at_s < TIMING_INTERVAL_S:
            return
        self._asked_at_s = now_s
        stream.ask_timing()
        while (timing := stream.timing()) is None:
            if stream.failed or time.monotonic() - now_s > TIMING_INTERVAL_S:
                return
            loop.serve(0.05)
        answered_at_s = time.monotonic()
        if timing.write_index == self._bytes_read:
            # Half the round trip ago the server's sound was `delay_s` from being heard; it arrived here before that.
            self._delays_s.append((now_s + answered_at_s) / 2 + timing.delay_s - self._arrived_at_s)
