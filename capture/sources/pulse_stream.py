"""What all sources of the sound server have in common: a connection, streams, and when their sound was heard."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Final

import numpy as np

from capture.errors import NotReadyError, SourceLostError
from capture.media import SAMPLE_RATE, SampleArray, Samples
from capture.sources.libpulse import Loop, RecordStream

__all__ = ["FRAGMENT_S", "RETRY_S", "HeardStream", "PulseReader"]

#: How much sound the server sends at once, where nothing else is asked for. A server without hardware renders in pieces
#: of this length, so it is also the grain of the moment at which a program's sound is taken up.
FRAGMENT_S: Final = 0.025

#: How much is handed on at once, 0.1 s: fewer, larger blocks wake fewer threads, which is most of what sound costs.
BLOCK_SAMPLES: Final = 4_800

#: A local server answers within milliseconds; one that starts up just now may take this long.
CONNECT_S: Final = 3.0

#: How often the server is asked when its sound is heard, and how many answers are compared. An answer is exact to half
#: the time it took, a tenth of a millisecond, unless it was held up; the quickest of the last few shows which were.
TIMING_INTERVAL_S: Final = 0.5
TIMINGS_KEPT: Final = 6

#: An answer that took longer tells nothing: this process, or the server, stood still meanwhile.
TRIP_LIMIT_S: Final = 0.1

#: The first sound waits this long for the first answer. After it, it is stamped by its arrival.
FIRST_ANSWER_S: Final = 0.25

#: After a pause this long in what arrives, the device was stopped and the old answers mean nothing.
ARRIVAL_GAP_S: Final = 0.25

#: When to try again what the server refused: it is rearranging its devices, and may not tell when it has.
RETRY_S: Final = 0.3

_REMEDY: Final = "start PulseAudio or PipeWire, or use --audio none"


class HeardStream:
    """A stream and what came through it, stamped by the server's own account of when its sound is heard.

    That is with the delay of the output that will play it, less that of the microphone that picked it up. How late this
    process got to read it plays no part.
    """

    def __init__(self, stream: RecordStream, channels: int, lane: int) -> None:
        self.lane = lane
        self.was_ready = False
        self._stream = stream
        self._channels = channels
        self._parts: list[SampleArray] = []
        self._count_waiting = 0
        self._count_read = 0
        self._arrived_at_s = -math.inf
        self._waiting_since_s = math.inf
        # (round trip, origin): how long an answer took, and when sample 0 of the stream was heard by it.
        self._answers: deque[tuple[float, float]] = deque(maxlen=TIMINGS_KEPT)
        self._asked_at_s = 0.0

    @property
    def ready(self) -> bool:
        """Whether it runs."""
        self.was_ready = self.was_ready or self._stream.ready
        return self.was_ready and not self._stream.failed

    @property
    def failed(self) -> bool:
        """Whether the device, the stream it listens to, or the server is gone."""
        return self._stream.failed

    @property
    def complete(self) -> bool:
        """Whether a block has come together."""
        return self._count_waiting >= BLOCK_SAMPLES and self._is_stamped()

    def take_in(self, now_s: float) -> None:
        """Take what came since the last call, and look after the timing."""
        timing = self._stream.timing()
        trip_s = now_s - self._asked_at_s
        if timing is not None and trip_s <= TRIP_LIMIT_S:
            sent_s = timing.write_index / (4 * self._channels * SAMPLE_RATE)
            self._answers.append((trip_s, self._asked_at_s + trip_s / 2 + timing.delay_s - sent_s))
        arrived = False
        while (part := self._stream.read()) is not None:
            if now_s - self._arrived_at_s > ARRIVAL_GAP_S:
                self._answers.clear()
            self._arrived_at_s = now_s
            self._waiting_since_s = min(self._waiting_since_s, now_s)
            self._parts.append(part)
            self._count_waiting += len(part)
            self._count_read += len(part)
            arrived = True
        if arrived and self._wants_timing(now_s) and self._stream.ask_timing():
            self._asked_at_s = time.monotonic()

    def hand_on(self, *, now: bool = False) -> Samples | None:
        """What is waiting, as one block; None while it has no stamp, unless it has to be `now`, or there is nothing."""
        if not self._parts or not (now or self._is_stamped()):
            return None
        data = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
        self._parts, self._count_waiting, self._waiting_since_s = [], 0, math.inf
        return Samples(data, self._origin_s() + (self._count_read - len(data)) / SAMPLE_RATE, self.lane)

    def break_at(self, at_s: float) -> Samples:
        """What says that another sound begins in this lane."""
        return Samples(np.zeros((0, self._channels), np.float32), at_s, self.lane)

    def close(self) -> None:
        """End the stream; may be called twice."""
        self._stream.close()

    def _is_stamped(self) -> bool:
        return bool(self._answers) or self._arrived_at_s - self._waiting_since_s >= FIRST_ANSWER_S

    def _origin_s(self) -> float:
        """When sample 0 was heard, by the newest answer that was not held up; before there is one, by arrival."""
        quickest_s = min((trip_s for trip_s, _ in self._answers), default=0.0)
        for trip_s, origin_s in reversed(self._answers):
            if trip_s <= 2 * quickest_s:
                return origin_s
        return self._arrived_at_s - self._count_read / SAMPLE_RATE

    def _wants_timing(self, now_s: float) -> bool:
        """At first with every fragment, then now and then: the delay of an output changes."""
        return len(self._answers) < TIMINGS_KEPT or now_s - self._asked_at_s > TIMING_INTERVAL_S


class PulseReader:
    """A connection to the sound server and the streams that a source listens to, by keys of the source's choice.

    The subclass decides which those are: in `_begin`, once connected, and in `_attend`, whenever something may have
    happened. Blocks are handed on when one has come together, of all lanes, the one that reaches furthest last.
    """

    def __init__(self, name: str, device: str, channels: int, fragment_s: float) -> None:
        self.name = name
        self.device = device
        self.channels = channels
        self._fragment_s = fragment_s
        self._woken = False
        self._loop: Loop | None = None
        self._streams: dict[int, HeardStream] = {}
        self._queue: deque[Samples] = deque()
        #: When `_attend` has to look again although the server told nothing.
        self._look_at_s = math.inf

    def open(self) -> None:
        """Connect. Raises `NotReadyError` where no server answers or the device refuses."""
        loop = self._loop = Loop("capture")
        deadline_s = time.monotonic() + CONNECT_S
        while not loop.connected:
            if loop.failed or time.monotonic() > deadline_s:
                raise NotReadyError(f"no sound server answers ({loop.error()})", _REMEDY)
            loop.serve(0.1)
        try:
            self._begin(loop, deadline_s)
        except TimeoutError as error:
            raise NotReadyError(str(error), _REMEDY) from error

    def begin(self, epoch_s: float) -> None:
        """Nothing to do: the timeline leaves out what was heard before."""

    def read(self, until_s: float) -> Samples | None:
        """The next 0.1 s, or what came of it until `until_s`. Raises `SourceLostError` when device or server go."""
        loop = self._loop
        if loop is None:
            raise ValueError("read before open")
        while not self._queue:
            now_s = time.monotonic()
            for heard in self._streams.values():
                heard.take_in(now_s)
            self._attend(loop, now_s)
            over = self._woken or now_s >= until_s
            if over or any(heard.complete for heard in self._streams.values()):
                self._hand_on()
            if over and not self._queue:
                self._woken = False
                return None
            if not self._queue:
                loop.serve(min(until_s, self._look_at_s) - time.monotonic())
        return self._queue.popleft()

    def wake(self) -> None:
        self._woken = True
        if self._loop is not None:
            self._loop.wake()

    def close(self) -> None:
        for heard in self._streams.values():
            heard.close()
        if self._loop is not None:
            self._loop.close()

    def _begin(self, loop: Loop, deadline_s: float) -> None:
        """Begin to listen. Raises `NotReadyError`."""
        raise NotImplementedError

    def _attend(self, loop: Loop, now_s: float) -> None:
        """Look after the streams: some may have failed, others may be called for. Raises `SourceLostError`."""
        raise NotImplementedError

    def _listen(self, key: int, device: str, *, only: int | None = None) -> None:
        """Begin to listen to the source `device`, or in it to the one stream `only`, in the lowest free lane."""
        if self._loop is None:
            raise ValueError("listening before the connection")
        taken = {heard.lane for heard in self._streams.values()}
        lane = next(lane for lane in range(len(taken) + 1) if lane not in taken)
        stream = RecordStream(self._loop, device, self.channels, self._fragment_s, only=only)
        heard = HeardStream(stream, self.channels, lane)
        if self._streams:
            # Said at once, so that the other lanes wait for what comes in this one.
            self._queue.append(heard.break_at(time.monotonic()))
        self._streams[key] = heard

    def _drop(self, key: int) -> None:
        """Listen to it no more; what came of it is handed on."""
        heard = self._streams.pop(key)
        heard.take_in(now_s := time.monotonic())
        rest = heard.hand_on(now=True)
        heard.close()
        if rest is not None:
            self._queue.append(rest)
        self._queue.append(heard.break_at(now_s if rest is None else rest.ends_at_s))

    def _hand_on(self) -> None:
        found = [samples for heard in self._streams.values() if (samples := heard.hand_on()) is not None]
        self._queue.extend(sorted(found, key=lambda samples: samples.ends_at_s))

    def _await_ready(self, loop: Loop, key: int, deadline_s: float) -> None:
        """Serve the loop until the stream runs. Raises `NotReadyError`."""
        heard = self._streams[key]
        while not heard.ready:
            if heard.failed or loop.failed or time.monotonic() > deadline_s:
                raise NotReadyError(f"{self.device} cannot be recorded ({loop.error()})", "see capture devices")
            loop.serve(0.1)

    def _gone(self, loop: Loop) -> SourceLostError:
        return SourceLostError(f"{self.device} is gone ({loop.error()})")
