"""Sound from PulseAudio or PipeWire: what an output plays (its monitor), or what a microphone hears."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

import numpy as np

from capture.errors import NotReadyError, SourceLostError
from capture.media import SAMPLE_RATE, SampleArray, Samples
from capture.sources.libpulse import Loop, RecordStream

__all__ = ["PulseSource"]

#: How much sound the server sends at once. A server without hardware renders in pieces of this length, so it is also
#: the grain of the moment at which a program's sound is taken up.
FRAGMENT_S: Final = 0.025

#: How much is handed on at once, 0.1 s: fewer, larger blocks wake fewer threads, which is most of what sound costs.
BLOCK_SAMPLES: Final = 4_800

#: A local server answers within milliseconds; one that starts up just now may take this long.
CONNECT_S: Final = 3.0

#: How often the server is asked when its sound is heard, and how many answers are compared. An answer is exact to half
#: the time it took, a tenth of a millisecond, unless it was held up; the quickest of the last few shows which were.
TIMING_INTERVAL_S: Final = 0.5
TIMINGS_KEPT: Final = 6

#: After a pause this long in what arrives, the device was stopped and the old answers mean nothing.
ARRIVAL_GAP_S: Final = 0.2

_REMEDY: Final = "start PulseAudio or PipeWire, or use --audio none"


class PulseSource:
    """One source of the sound server, by its exact id.

    Blocks are stamped by the server's own account of when its sound is heard: with the delay of the output that will
    play it, less that of the microphone that picked it up. How late this process got to read them plays no part.
    """

    def __init__(self, name: str, device_id: str, device: str, channels: int) -> None:
        self.name = name
        self.device = device
        self.channels = channels
        self._device_id = device_id
        self._woken = False
        self._loop: Loop | None = None
        self._stream: RecordStream | None = None
        self._parts: list[SampleArray] = []
        self._count_read = 0
        self._arrived_at_s = 0.0
        # (round trip, origin): how long an answer took, and when sample 0 of the stream was heard by it.
        self._answers: deque[tuple[float, float]] = deque(maxlen=TIMINGS_KEPT)
        self._asked_at_s = 0.0

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
                self._take_in(part)
            if stream.failed:
                raise SourceLostError(f"{self.device} is gone ({loop.error()})")
            if self._count_read and self._wants_timing():
                self._ask_timing(loop, stream)
            if sum(map(len, self._parts)) >= BLOCK_SAMPLES:
                return self._hand_on()
            remaining_s = until_s - time.monotonic()
            if self._woken or remaining_s <= 0:
                self._woken = False
                return self._hand_on() if self._parts else None
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

    def _take_in(self, part: SampleArray) -> None:
        now_s = time.monotonic()
        if now_s - self._arrived_at_s > ARRIVAL_GAP_S:
            self._answers.clear()
        self._arrived_at_s = now_s
        self._parts.append(part)
        self._count_read += len(part)

    def _hand_on(self) -> Samples:
        data = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._parts = []
        return Samples(data, self._origin_s() + (self._count_read - len(data)) / SAMPLE_RATE)

    def _origin_s(self) -> float:
        """When sample 0 was heard, by the newest answer that was not held up; before there is one, by arrival."""
        quickest_s = min((trip_s for trip_s, _ in self._answers), default=0.0)
        for trip_s, origin_s in reversed(self._answers):
            if trip_s <= 2 * quickest_s:
                return origin_s
        return self._arrived_at_s - self._count_read / SAMPLE_RATE

    def _wants_timing(self) -> bool:
        """At first with every fragment, then now and then: the delay of an output changes."""
        return len(self._answers) < TIMINGS_KEPT or time.monotonic() - self._asked_at_s > TIMING_INTERVAL_S

    def _ask_timing(self, loop: Loop, stream: RecordStream) -> None:
        asked_at_s = self._asked_at_s = time.monotonic()
        stream.ask_timing()
        while (timing := stream.timing()) is None:
            if stream.failed or time.monotonic() - asked_at_s > TIMING_INTERVAL_S:
                return
            loop.serve(0.05)
        trip_s = time.monotonic() - asked_at_s
        sent_s = timing.write_index / (4 * self.channels * SAMPLE_RATE)
        self._answers.append((trip_s, asked_at_s + trip_s / 2 + timing.delay_s - sent_s))
