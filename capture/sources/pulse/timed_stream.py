"""Stamps the samples of a record stream with the server's timing of when they are heard."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Final

import numpy as np

from capture.media import SAMPLE_RATE, Attenuation, SampleArray, Samples
from capture.sources.pulse.server_objects import Input, VolumeControl
from capture.sources.pulse.streams import RecordStream

__all__ = ["ARRIVAL_GAP_S", "BLOCK_SAMPLES", "TimestampedStream"]

#: The block size, 0.25 s: fewer, larger blocks wake fewer threads, which is half of what sound costs.
BLOCK_SAMPLES: Final = 12_000

#: How often to request the server's timing, and how many answers to compare. An answer is exact to half its round trip,
#: a tenth of a millisecond, unless it was held up; the quickest of the last few shows which ones were.
TIMING_INTERVAL_S: Final = 1.0
TIMINGS_KEPT: Final = 6

#: An answer with a longer round trip is useless: this process, or the server, was stopped meanwhile.
TRIP_LIMIT_S: Final = 0.1

#: How long the first sound waits for the first answer. After that it is stamped by its arrival.
FIRST_ANSWER_S: Final = 0.25

#: If this much more time has passed than sound has come, the device was stopped, and old answers no longer apply. Its
#: last sound has to be handed on by then: a little later there would be silence in its place.
ARRIVAL_GAP_S: Final = 0.3

#: Two answers that differ by more than this, and by more than the newer one's round trip, mean that sound is missing
#: between them. The delays of outputs waver by only some milliseconds.
JUMP_S: Final = 0.05


class TimestampedStream:
    """Wraps a record stream and stamps its samples with the server's timing of when they are heard.

    That includes the delay of the output that will play them, less the delay of the microphone that picked them up. How
    late this process reads them does not matter.
    """

    def __init__(self, stream: RecordStream, channels: int, lane: int) -> None:
        self.lane = lane
        #: What the next blocks say of mute switches and volumes.
        self.attenuation = Attenuation()
        #: Whether `control` has been asked for.
        self.is_measured = False
        self.was_ready = False
        self._stream = stream
        self._channels = channels
        # Complete, stamped blocks; and the parts that follow.
        self._blocks: deque[Samples] = deque()
        self._parts: list[SampleArray] = []
        self._count_waiting = 0
        self._count_read = 0
        self._arrived_at_s = -math.inf
        self._waiting_since_s = math.inf
        self._has_stopped = False
        # The run of the waiting parts, and the runs after it that are already known.
        self._runs: deque[_Run] = deque([_Run(0)])
        self._asked_at_s = 0.0
        self._awaits_answer = False

    @property
    def ready(self) -> bool:
        """Whether the stream is running."""
        self.was_ready = self.was_ready or self._stream.ready
        return self.was_ready and not self._stream.failed

    @property
    def failed(self) -> bool:
        """Whether the device, the stream that is recorded, or the server is gone."""
        return self._stream.failed

    @property
    def suspended(self) -> bool:
        """Whether the device is suspended and delivers nothing."""
        return self._stream.suspended

    def control(self, source: Input) -> VolumeControl | None:
        """Return the stream's own mute switch and volume, without the share of the `source` that it records.

        Makes sure that it begins at full volume: WirePlumber may set it to what it remembers of an earlier stream.
        Returns None if there is no answer. Raises `TimeoutError`.
        """
        control = self._stream.control
        if control is not None and source.is_flat:
            control = control.relative_to(source.control)
        is_new, self.is_measured = not self.is_measured, self.is_measured or control is not None
        if control is not None and is_new and control.gain < 1.0 and not source.is_flat:
            self._stream.restore_full_volume()
            return None
        return control

    @property
    def has_sound(self) -> bool:
        """Whether there is sound that was not taken in yet."""
        return self._stream.has_sound

    @property
    def complete(self) -> bool:
        """Whether a block is complete."""
        is_due = self._count_waiting >= BLOCK_SAMPLES or self._has_stopped
        return bool(self._blocks) or (is_due and self._is_stamped())

    @property
    def waits_until_s(self) -> float:
        """How long the waiting parts may still grow before they become a block; infinite if there are none."""
        waits = self._count_waiting and not self._has_stopped
        return self._arrived_at_s + ARRIVAL_GAP_S if waits else math.inf

    @property
    def complete_in_s(self) -> float:
        """How long the next block takes to complete without attention; 0 if the stream needs attention now.

        The server's answers have to be read as they come, or they are useless.
        """
        if self._awaits_answer or len(self._runs[-1].answers) < TIMINGS_KEPT:
            return 0.0
        return max(0.0, (BLOCK_SAMPLES - self._count_waiting) / SAMPLE_RATE)

    def take_in(self, now_s: float, *, held_up: bool = False) -> None:
        """Read what came since the last call, and keep the timing up to date.

        `held_up` says that this thread was delayed since then, as in a stopped process. Then a gap in the arrivals is
        no gap of the device: the server has kept the sound, as much as it has room for.
        """
        self._learn_timing(now_s)
        parts: list[SampleArray] = []
        while (part := self._stream.read()) is not None:
            parts.append(part)
        if not parts:
            self._has_stopped = not held_up and now_s >= self.waits_until_s
            return
        missing_s = now_s - self._arrived_at_s - sum(map(len, parts)) / SAMPLE_RATE
        if not held_up and missing_s > ARRIVAL_GAP_S:
            self._complete_block()
            self._runs = deque([_Run(self._count_read)])
        self._arrived_at_s, self._has_stopped = now_s, False
        for part in parts:
            self._waiting_since_s = min(self._waiting_since_s, now_s)
            self._add(part)
        if self._wants_timing(now_s):
            # Before asking: on a busy machine this thread may be stopped right after it.
            asked_at_s = time.monotonic()
            if self._stream.ask_timing():
                self._asked_at_s, self._awaits_answer = asked_at_s, True

    def hand_on(self, *, now: bool = False) -> Samples | None:
        """Return the next block. None if there is none, or if it has no timing yet, unless it is needed `now`."""
        if not self._blocks and (now or self._is_stamped()):
            self._complete_block()
        return self._blocks.popleft() if self._blocks else None

    def break_at(self, at_s: float) -> Samples:
        """Return the empty block that marks the start of another sound in this lane."""
        return Samples(np.zeros((0, self._channels), np.float32), at_s, self.lane)

    def close(self) -> None:
        """Close the stream; may be called twice."""
        self._stream.close()

    def _learn_timing(self, now_s: float) -> None:
        timing = self._stream.timing()
        trip_s = now_s - self._asked_at_s
        if timing is None:
            return
        self._awaits_answer = False
        if trip_s > TRIP_LIMIT_S:
            return
        sent = timing.write_index // (4 * self._channels)
        origin_s = self._asked_at_s + trip_s / 2 + timing.delay_s - sent / SAMPLE_RATE
        run = self._runs[-1]
        if run.answers and abs(origin_s - run.origin_s) > JUMP_S + trip_s:
            # If the server lost sound because it was not read, that was just now.
            run = _Run(max(sent, self._count_read))
            self._runs.append(run)
        run.answers.append((trip_s, origin_s))

    def _add(self, part: SampleArray) -> None:
        while len(self._runs) > 1 and (left := self._runs[1].first - self._count_read) <= len(part):
            self._append(part[:left])
            self._complete_block()
            self._runs.popleft()
            part = part[left:]
        self._append(part)

    def _append(self, part: SampleArray) -> None:
        if len(part):
            self._parts.append(part)
            self._count_waiting += len(part)
            self._count_read += len(part)

    def _complete_block(self) -> None:
        """Stamp the waiting parts, whatever is known of their timing."""
        if self._parts:
            data = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
            begins_at_s = self._origin_s() + (self._count_read - len(data)) / SAMPLE_RATE
            self._blocks.append(Samples(data, begins_at_s, self.lane, attenuation=self.attenuation))
        self._parts, self._count_waiting, self._waiting_since_s, self._has_stopped = [], 0, math.inf, False

    def _is_stamped(self) -> bool:
        return bool(self._runs[0].answers) or self._arrived_at_s - self._waiting_since_s >= FIRST_ANSWER_S

    def _origin_s(self) -> float:
        """When sample 0 was heard; judged by arrival until the first answer."""
        run = self._runs[0]
        return run.origin_s if run.answers else self._arrived_at_s - self._count_read / SAMPLE_RATE

    def _wants_timing(self, now_s: float) -> bool:
        """Whether to request the timing: first with every fragment, then now and then, as an output's delay changes."""
        return len(self._runs[-1].answers) < TIMINGS_KEPT or now_s - self._asked_at_s > TIMING_INTERVAL_S


class _Run:
    """A stretch of a stream with no sound missing; it begins with sample `first`."""

    def __init__(self, first: int) -> None:
        self.first = first
        #: Round trips of answers, each with the time at which sample 0 of the stream was heard by it.
        self.answers: deque[tuple[float, float]] = deque(maxlen=TIMINGS_KEPT)

    @property
    def origin_s(self) -> float:
        """When sample 0 was heard, by the newest answer that was not held up."""
        quickest_s = min(trip_s for trip_s, _ in self.answers)
        return next(origin_s for trip_s, origin_s in reversed(self.answers) if trip_s <= 2 * quickest_s)
