"""Stamps the samples of a record stream with the server's timing of when they are heard."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from capture.media import SAMPLE_RATE, Attenuation, SampleArray, Samples
from capture.sources.pulse.server_objects import Input, VolumeControl
from capture.sources.pulse.stream_clock import JUMP_S, Answer, AnswerClock, CycleClock, StreamClock
from capture.sources.pulse.streams import RecordStream

__all__ = ["ARRIVAL_GAP_S", "BLOCK_SAMPLES", "TimestampedStream"]

#: The block size, 0.25 s: fewer, larger blocks wake fewer threads, which is half of what sound costs.
BLOCK_SAMPLES: Final = 12_000

#: How long the first sound waits for the first answer. After that it is stamped by its arrival.
FIRST_ANSWER_S: Final = 0.25

#: If this much more time has passed than sound has come, the device was stopped, and old answers no longer apply. Its
#: last sound has to be handed on by then: a little later there would be silence in its place.
ARRIVAL_GAP_S: Final = 0.3

#: How long PipeWire may take to connect a stream with a new default output; 0.05 to 0.15 s were seen.
SETTLE_S: Final = 0.5

#: The most samples of silence with which PipeWire may begin a stream: one cycle, of which this is the longest.
LEADING_SAMPLES: Final = 8192


class TimestampedStream:
    """Wraps a record stream and stamps its samples with the server's timing of when they are heard.

    That includes the delay of the output that will play them, less the delay of the microphone that picked them up. How
    late this process reads them does not matter. `has_cycles` says that the server is PipeWire's.
    """

    def __init__(self, stream: RecordStream, channels: int, lane: int, *, has_cycles: bool = False) -> None:
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
        # The clock of the waiting parts, and those of what follows them that are already known.
        self._new_clock: type[AnswerClock | CycleClock] = CycleClock if has_cycles else AnswerClock
        self._clocks: deque[StreamClock] = deque([self._new_clock(0)])
        self._leading_left = LEADING_SAMPLES if has_cycles else 0
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
        state = self._stream.state
        control = state.control if state is not None else None
        if control is not None and source.is_flat:
            control = control.relative_to(source.control)
        is_new, self.is_measured = not self.is_measured, self.is_measured or control is not None
        if control is not None and is_new and control.gain < 1.0 and not source.is_flat:
            self._stream.restore_full_volume()
            return None
        return control

    @property
    def recorded(self) -> int | None:
        """The index of the source that the server connects it with; None if there is no answer.

        Raises `TimeoutError`.
        """
        state = self._stream.state
        return state.source if state is not None else None

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
        if self._awaits_answer or self._clocks[-1].is_busy:
            return 0.0
        return max(0.0, (BLOCK_SAMPLES - self._count_waiting) / SAMPLE_RATE)

    @property
    def ask_at_s(self) -> float:
        """When to call `take_in` next even if nothing comes, to ask for the timing; infinite if that is not needed."""
        return math.inf if self._awaits_answer else self._clocks[-1].ask_at_s

    def take_in(self, now_s: float, *, held_up: bool = False) -> None:
        """Read what came since the last call, and keep the timing up to date.

        `held_up` says that this thread was delayed since then, as in a stopped process. Then a gap in the arrivals is
        no gap of the device: the server has kept the sound, as much as it has room for.
        """
        self._learn_timing(now_s)
        part = self._stream.read()
        self._ask_timing(now_s, has_sound=part is not None)
        if part is None:
            self._has_stopped = not held_up and now_s >= self.waits_until_s
            return
        missing_s = now_s - self._arrived_at_s - len(part) / SAMPLE_RATE
        if not held_up and missing_s > ARRIVAL_GAP_S:
            self._complete_block()
            self._clocks = deque([self._new_clock(self._count_read)])
        self._arrived_at_s, self._has_stopped = now_s, False
        self._waiting_since_s = min(self._waiting_since_s, now_s)
        self._add(self._without_leading_silence(part))

    def begin_anew(self, now_s: float) -> None:
        """Measure the timing of what comes from now on by itself: PipeWire is connecting another device."""
        self._clocks.append(CycleClock(self._count_read, settles_at_s=now_s + SETTLE_S))

    def hand_on(self, *, now: bool = False) -> Samples | None:
        """Return the next block. None if there is none, or if it has no timing yet, unless it is needed `now`."""
        if not self._blocks and (now or self._is_stamped()):
            self._complete_block()
        return self._blocks.popleft() if self._blocks else None

    def rest(self, until_s: float = math.inf) -> Iterator[Samples]:
        """Yield the next blocks, whatever is known of their timing, without what was heard from `until_s` on."""
        while (samples := self.hand_on(now=True)) is not None:
            left = min(len(samples.data), max(0.0, (until_s - samples.captured_at_s) * SAMPLE_RATE))
            if left or not len(samples.data):
                yield replace(samples, data=samples.data[: round(left)])

    @property
    def begins_at_s(self) -> float | None:
        """When the next sample to be handed on was heard; None if there is none, or if it has no timing yet."""
        if self._blocks:
            return self._blocks[0].captured_at_s
        if not self._count_waiting or not self._is_stamped():
            return None
        return self._origin_s() + (self._count_read - self._count_waiting) / SAMPLE_RATE

    def break_at(self, at_s: float) -> Samples:
        """Return the empty block that marks the start of another sound in this lane."""
        import numpy as np

        return Samples(np.zeros((0, self._channels), np.float32), at_s, self.lane)

    def close(self) -> None:
        """Close the stream; may be called twice."""
        self._stream.close()

    def _ask_timing(self, now_s: float, *, has_sound: bool) -> None:
        if not self._awaits_answer and self._clocks[-1].wants_answer(now_s, has_sound=has_sound):
            # Before asking: on a busy machine this thread may be stopped right after it.
            asked_at_s = time.monotonic()
            if self._stream.ask_timing():
                self._asked_at_s, self._awaits_answer = asked_at_s, True

    def _learn_timing(self, now_s: float) -> None:
        timing = self._stream.timing()
        if timing is None:
            return
        self._awaits_answer = False
        written = timing.write_index // (4 * self._channels)
        moved = self._clocks[-1].learn(Answer(self._asked_at_s, now_s, written, timing.delay_s))
        if moved is not None:
            moved.first = max(moved.first, self._count_read)
            self._clocks.append(moved)

    def _without_leading_silence(self, part: SampleArray) -> SampleArray:
        """Return the part without the zeros that begin a stream of PipeWire: they were not played.

        Where steady noise follows, it would be taken for the begin of sound.
        """
        if not self._leading_left:
            return part
        import numpy as np

        loud = np.flatnonzero(part.any(axis=1))
        cut = min(self._leading_left, int(loud[0]) if len(loud) else len(part))
        self._leading_left = self._leading_left - cut if cut == len(part) else 0
        self._count_read += cut
        return part[cut:]

    def _add(self, part: SampleArray) -> None:
        while len(self._clocks) > 1 and (left := max(0, self._clocks[1].first - self._count_read)) <= len(part):
            self._append(part[:left])
            self._complete_block()
            before = self._clocks.popleft()
            self._mark_break(before, self._clocks[0])
            part = part[left:]
        self._append(part)

    def _mark_break(self, before: StreamClock, after: StreamClock) -> None:
        """Let what follows begin at its own time. A jump too small to be missing sound would be taken for drift."""
        are_known = before.has_origin and after.has_origin
        is_hole = are_known and abs(after.origin_s - before.origin_s) > JUMP_S
        if after.follows_break or not is_hole:
            self._blocks.append(self.break_at(self._blocks[-1].ends_at_s if self._blocks else self._arrived_at_s))

    def _append(self, part: SampleArray) -> None:
        if len(part):
            self._parts.append(part)
            self._count_waiting += len(part)
            self._count_read += len(part)

    def _complete_block(self) -> None:
        """Stamp the waiting parts, whatever is known of their timing."""
        if self._parts:
            import numpy as np

            data = self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts)
            begins_at_s = self._origin_s() + (self._count_read - len(data)) / SAMPLE_RATE
            self._blocks.append(Samples(data, begins_at_s, self.lane, attenuation=self.attenuation))
        self._parts, self._count_waiting, self._waiting_since_s, self._has_stopped = [], 0, math.inf, False

    def _is_stamped(self) -> bool:
        return self._clocks[0].is_known or self._arrived_at_s - self._waiting_since_s >= FIRST_ANSWER_S

    def _origin_s(self) -> float:
        """When sample 0 was heard; judged by arrival until the first answer."""
        clock = self._clocks[0]
        return clock.origin_s if clock.has_origin else self._arrived_at_s - self._count_read / SAMPLE_RATE
