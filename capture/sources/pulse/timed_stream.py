"""One stream of the sound server and what came through it, stamped by the server's account of when it is heard."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import Final

import numpy as np

from capture.media import SAMPLE_RATE, SampleArray, Samples
from capture.sources.pulse.streams import RecordStream

__all__ = ["ARRIVAL_GAP_S", "BLOCK_SAMPLES", "TimestampedStream"]

#: How much is handed on at once, 0.25 s: fewer, larger blocks wake fewer threads, which is half of what sound costs.
BLOCK_SAMPLES: Final = 12_000

#: How often the server is asked when its sound is heard, and how many answers are compared. An answer is exact to half
#: the time it took, a tenth of a millisecond, unless it was held up; the quickest of the last few shows which were.
TIMING_INTERVAL_S: Final = 1.0
TIMINGS_KEPT: Final = 6

#: An answer that took longer tells nothing: this process, or the server, stood still meanwhile.
TRIP_LIMIT_S: Final = 0.1

#: The first sound waits this long for the first answer. After it, it is stamped by its arrival.
FIRST_ANSWER_S: Final = 0.25

#: Where so much more time went by than sound came, the device was stopped and the old answers mean nothing. What it
#: delivered last is handed on by then: a little later silence would stand in its place.
ARRIVAL_GAP_S: Final = 0.3

#: Answers that differ by more than this, and by more than how long the newer one took, tell that sound is missing
#: between the two; delays of outputs waver by some milliseconds.
JUMP_S: Final = 0.05


class TimestampedStream:
    """A stream and what came through it, stamped by the server's own account of when its sound is heard.

    That is with the delay of the output that will play it, less that of the microphone that picked it up. How late this
    process got to read it plays no part.
    """

    def __init__(self, stream: RecordStream, channels: int, lane: int) -> None:
        self.lane = lane
        self.was_ready = False
        self._stream = stream
        self._channels = channels
        # What is complete and stamped, and what follows.
        self._blocks: deque[Samples] = deque()
        self._parts: list[SampleArray] = []
        self._count_waiting = 0
        self._count_read = 0
        self._arrived_at_s = -math.inf
        self._waiting_since_s = math.inf
        self._has_stopped = False
        # The run that what is waiting belongs to, and those after it that are known of already.
        self._runs: deque[_Run] = deque([_Run(0)])
        self._asked_at_s = 0.0
        self._awaits_answer = False

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
    def suspended(self) -> bool:
        """Whether the device stands still and delivers nothing."""
        return self._stream.suspended

    @property
    def has_sound(self) -> bool:
        """Whether something came that was not taken in yet."""
        return self._stream.has_sound

    @property
    def complete(self) -> bool:
        """Whether a block has come together."""
        is_due = self._count_waiting >= BLOCK_SAMPLES or self._has_stopped
        return bool(self._blocks) or (is_due and self._is_stamped())

    @property
    def waits_until_s(self) -> float:
        """Until when there may come more to what is waiting, before that is a block by itself; infinite for nothing."""
        waits = self._count_waiting and not self._has_stopped
        return self._arrived_at_s + ARRIVAL_GAP_S if waits else math.inf

    @property
    def complete_in_s(self) -> float:
        """How long a block takes to come together from now on, while nobody needs to look; 0 where somebody does.

        The server's answers have to be read as they come, or they tell nothing.
        """
        if self._awaits_answer or len(self._runs[-1].answers) < TIMINGS_KEPT:
            return 0.0
        return max(0.0, (BLOCK_SAMPLES - self._count_waiting) / SAMPLE_RATE)

    def take_in(self, now_s: float, *, held_up: bool = False) -> None:
        """Take what came since the last call, and look after the timing.

        Where this thread was `held_up` since then, as in a process that was stopped, a pause in what arrives is no
        pause of the device: the server has kept what was heard, as far as it has room.
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
        if self._wants_timing(now_s) and self._stream.ask_timing():
            self._asked_at_s = time.monotonic()
            self._awaits_answer = True

    def hand_on(self, *, now: bool = False) -> Samples | None:
        """The next block; None while what is waiting has no stamp, unless it has to be `now`, or there is nothing."""
        if not self._blocks and (now or self._is_stamped()):
            self._complete_block()
        return self._blocks.popleft() if self._blocks else None

    def break_at(self, at_s: float) -> Samples:
        """What says that another sound begins in this lane."""
        return Samples(np.zeros((0, self._channels), np.float32), at_s, self.lane)

    def close(self) -> None:
        """End the stream; may be called twice."""
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
            # Where the server lost sound because nobody fetched it, that was just now.
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
        """Stamp what is waiting, whatever is known of its time."""
        if self._parts:
            data = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
            begins_at_s = self._origin_s() + (self._count_read - len(data)) / SAMPLE_RATE
            self._blocks.append(Samples(data, begins_at_s, self.lane))
        self._parts, self._count_waiting, self._waiting_since_s, self._has_stopped = [], 0, math.inf, False

    def _is_stamped(self) -> bool:
        return bool(self._runs[0].answers) or self._arrived_at_s - self._waiting_since_s >= FIRST_ANSWER_S

    def _origin_s(self) -> float:
        """When sample 0 was heard; before the server told, by arrival."""
        run = self._runs[0]
        return run.origin_s if run.answers else self._arrived_at_s - self._count_read / SAMPLE_RATE

    def _wants_timing(self, now_s: float) -> bool:
        """At first with every fragment, then now and then: the delay of an output changes."""
        return len(self._runs[-1].answers) < TIMINGS_KEPT or now_s - self._asked_at_s > TIMING_INTERVAL_S


class _Run:
    """A stretch of a stream in which no sound is missing; it begins with sample `first`."""

    def __init__(self, first: int) -> None:
        self.first = first
        #: How long an answer took, and when sample 0 of the stream was heard by it.
        self.answers: deque[tuple[float, float]] = deque(maxlen=TIMINGS_KEPT)

    @property
    def origin_s(self) -> float:
        """When sample 0 was heard, by the newest answer that was not held up."""
        quickest_s = min(trip_s for trip_s, _ in self.answers)
        return next(origin_s for trip_s, origin_s in reversed(self.answers) if trip_s <= 2 * quickest_s)
