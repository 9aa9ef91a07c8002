"""Finds out when sample 0 of a record stream was heard, from the sound server's answers.

PulseAudio's daemon answers to the sample; `AnswerClock` filters its answers. PipeWire's server knows only how many
samples the last cycle of its graph brought; `CycleClock` finds when the cycles begin.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from capture.media import SAMPLE_RATE

__all__ = ["JUMP_S", "TIMING_INTERVAL_S", "Answer", "AnswerClock", "CycleClock", "StreamClock"]

#: How often to request the server's timing once it is known, as delays change.
TIMING_INTERVAL_S: Final = 1.0

#: PulseAudio: how many answers to compare. An answer is exact to half its round trip, a tenth of a millisecond, unless
#: it was held up; the quickest of the last few shows which ones were.
TIMINGS_KEPT: Final = 6

#: PulseAudio: an answer with a longer round trip is useless: this process, or the server, was stopped meanwhile.
TRIP_LIMIT_S: Final = 0.1

#: PulseAudio: two answers that differ by more than this, and by more than the newer one's round trip, mean that sound
#: is missing between them. The delays of outputs waver by only some milliseconds.
JUMP_S: Final = 0.05

#: PipeWire: how often to look at a step once the cycles are known; it takes some ten questions. A busy machine
#: skips cycles, and until that is noticed, stamps are early.
_STEP_INTERVAL_S: Final = 0.8

#: PipeWire: how often to ask for the index while its next step is awaited.
_POLL_S: Final = 0.0005

#: PipeWire: how long before the expected step to begin asking.
_LEAD_S: Final = 0.001

#: PipeWire: how long a step may take to come. The longest cycle that PipeWire allows has 8192 samples, 171 ms.
_STEP_LIMIT_S: Final = 0.2

#: PipeWire: two answers around a step may be this far apart; where the machine is busy, twice, four times ... as far.
_TIGHT_S: Final = 0.0015

#: PipeWire: how many steps to compare, and how many at first. A busy server makes single steps appear late.
_BRACKETS_KEPT: Final = 4
_FIRST_BRACKETS: Final = 3

#: PipeWire: that many steps in a row which are this much off mean that the cycles have moved.
_SHIFT_S: Final = 0.003
_SHIFTS_IN_A_ROW: Final = 3


class Answer(NamedTuple):
    """A server's answer: how many samples it had written between `asked_at_s` and `answered_at_s`.

    `delay_s` is how long after being written the last of them is heard.
    """

    asked_at_s: float
    answered_at_s: float
    written: int
    delay_s: float

    @property
    def trip_s(self) -> float:
        return self.answered_at_s - self.asked_at_s


class StreamClock(Protocol):
    """Tells when sample 0 was heard, as far as the stretch of the stream that begins with sample `first` tells.

    `follows_break` says that another device begins there, so that what is missing before it is no fault.
    """

    first: int
    follows_break: bool

    @property
    def is_known(self) -> bool:
        """Whether `origin_s` is exact enough to stamp sound."""
        ...

    @property
    def has_origin(self) -> bool: ...

    @property
    def origin_s(self) -> float:
        """When sample 0 was heard; needs `has_origin`."""
        ...

    @property
    def is_busy(self) -> bool:
        """Whether it needs answers as soon as possible."""
        ...

    @property
    def ask_at_s(self) -> float:
        """When to ask next, even if no sound comes; infinite if it needs no answer then."""
        ...

    def wants_answer(self, now_s: float, *, has_sound: bool) -> bool:
        """Whether to ask now; `has_sound` says that sound has just come."""
        ...

    def learn(self, answer: Answer) -> StreamClock | None:
        """Take an answer. Returns a clock for what follows if sound is missing, or its timing has moved."""
        ...


class AnswerClock:
    """The clock of a stream of PulseAudio's daemon."""

    def __init__(self, first: int = 0) -> None:
        self.first = first
        self.follows_break = False
        self.ask_at_s = math.inf
        self._asked_at_s = -math.inf
        # Round trips, each with the time at which sample 0 was heard by that answer.
        self._answers: deque[tuple[float, float]] = deque(maxlen=TIMINGS_KEPT)

    @property
    def is_known(self) -> bool:
        return bool(self._answers)

    has_origin = is_known

    @property
    def origin_s(self) -> float:
        """By the newest answer that was not held up."""
        quickest_s = min(trip_s for trip_s, _ in self._answers)
        return next(origin_s for trip_s, origin_s in reversed(self._answers) if trip_s <= 2 * quickest_s)

    @property
    def is_busy(self) -> bool:
        return len(self._answers) < TIMINGS_KEPT

    def wants_answer(self, now_s: float, *, has_sound: bool) -> bool:
        return has_sound and (self.is_busy or now_s - self._asked_at_s > TIMING_INTERVAL_S)

    def learn(self, answer: Answer) -> StreamClock | None:
        self._asked_at_s = answer.asked_at_s
        if answer.trip_s > TRIP_LIMIT_S:
            return None
        origin_s = answer.asked_at_s + answer.trip_s / 2 + answer.delay_s - answer.written / SAMPLE_RATE
        if self._answers and abs(origin_s - self.origin_s) > JUMP_S + answer.trip_s:
            # If the server lost sound because it was not read, that was just now.
            later = AnswerClock(answer.written)
            later.learn(answer)
            return later
        self._answers.append((answer.trip_s, origin_s))
        return None


class CycleClock:
    """The clock of a stream of PipeWire, whose graph moves the samples of a whole cycle at once.

    The next sample to be written is heard when the next cycle begins: so no earlier than any moment at which the index
    had not moved, and no later than any moment at which it had. Two answers around such a step give it to half a
    millisecond, however long the cycles are and whenever that changes.

    When the length of the cycles changes, they move by the difference, until it changes back. The sound goes on as
    before, as an output's own buffer makes up for it: so `origin_s` stays.

    Until `settles_at_s` it looks at every cycle, because those of another output may begin.
    """

    def __init__(self, first: int = 0, *, settles_at_s: float = -math.inf) -> None:
        self.first = first
        self.follows_break = settles_at_s > -math.inf
        self._settles_at_s = settles_at_s
        self._delay_s = 0.0
        # When sample 0 was heard by each of the last steps, without the delay; and how many samples each step brought.
        # The earliest is the best.
        self._brackets: deque[float] = deque(maxlen=_BRACKETS_KEPT)
        self._cycles: deque[int] = deque(maxlen=_BRACKETS_KEPT)
        # The same of the last steps that were off.
        self._shifted: list[tuple[float, int]] = []
        # How much earlier sample 0 was heard than by the cycles as they are now.
        self._moved_s = 0.0
        self._step_due_s = -math.inf
        # The index whose step is awaited, the latest moment at which it had not moved, and when to give up.
        self._index: int | None = None
        self._still_at_s = -math.inf
        self._give_up_s = math.inf
        self.ask_at_s = math.inf
        self._aims = False
        self._failures = 0

    @property
    def is_known(self) -> bool:
        return len(self._brackets) >= _FIRST_BRACKETS

    @property
    def has_origin(self) -> bool:
        return bool(self._brackets)

    @property
    def origin_s(self) -> float:
        return min(self._brackets) - self._moved_s + self._delay_s

    @property
    def is_busy(self) -> bool:
        return self._index is not None or self._step_due_s == -math.inf

    def wants_answer(self, now_s: float, *, has_sound: bool) -> bool:
        if self._index is None:
            return has_sound and now_s >= self._step_due_s
        return now_s >= self.ask_at_s

    def learn(self, answer: Answer) -> StreamClock | None:
        self._delay_s = answer.delay_s
        index = self._index
        if index is None or answer.written < index:
            self._await_step(answer)
            return None
        if answer.written == index:
            self._still_at_s = answer.asked_at_s
            self.ask_at_s = answer.answered_at_s + _POLL_S
            if answer.answered_at_s > self._give_up_s:
                # The device delivers nothing.
                self._end(answer.answered_at_s + _STEP_INTERVAL_S)
            return None
        is_tight = answer.answered_at_s - self._still_at_s <= _TIGHT_S * 2**self._failures
        if not is_tight:
            self._failures += 1
            self._aims = False
            self._end(-math.inf)
            return None
        self._failures = 0
        heard_s = (self._still_at_s + answer.answered_at_s) / 2 - index / SAMPLE_RATE
        return self._take(answer, heard_s, answer.written - index)

    def _await_step(self, answer: Answer) -> None:
        self._index, self._still_at_s = answer.written, answer.asked_at_s
        self._give_up_s = answer.answered_at_s + _STEP_LIMIT_S
        self.ask_at_s = answer.answered_at_s + _POLL_S
        if self._aims:
            self.ask_at_s = max(self.ask_at_s, min(self._brackets) + answer.written / SAMPLE_RATE - _LEAD_S)

    def _take(self, answer: Answer, heard_s: float, cycle: int) -> StreamClock | None:
        if self._brackets and abs(heard_s - min(self._brackets)) > _SHIFT_S:
            self._shifted.append((heard_s, cycle))
            if len(self._shifted) == _SHIFTS_IN_A_ROW:
                return self._shift(answer)
            self._aims = False
            self._end(-math.inf)
            return None
        self._shifted.clear()
        self._keep(heard_s, cycle, answer.answered_at_s)
        return None

    def _shift(self, answer: Answer) -> StreamClock | None:
        """Decide what the steps that were off mean."""
        steps, self._shifted = self._shifted, []
        shift_s = min(step_s for step_s, _ in steps) - min(self._brackets)
        # The first shorter cycle begins at the time of a longer one, so single steps do not count.
        shortened = _middle(self._cycles) - _middle(cycle for _, cycle in steps)
        is_settling = answer.answered_at_s < self._settles_at_s
        clock, moved_s = self, self._moved_s
        if not is_settling and abs(shift_s - shortened / SAMPLE_RATE) < _SHIFT_S:
            # Moved back, it is as exact as at first.
            moved_s += shift_s
            moved_s = moved_s if abs(moved_s) > _SHIFT_S / 3 else 0.0
        elif is_settling or shift_s > 0.0:
            # Cycles were skipped, or another output has begun.
            clock = CycleClock(answer.written, settles_at_s=self._settles_at_s if is_settling else -math.inf)
            moved_s = 0.0
        if clock is self:
            # Else, those before were late: the machine was busy.
            self._brackets.clear()
            self._cycles.clear()
        clock._delay_s, clock._moved_s = self._delay_s, moved_s
        for step_s, cycle in steps:
            clock._keep(step_s, cycle, answer.answered_at_s)
        return clock if clock is not self else None

    def _keep(self, heard_s: float, cycle: int, now_s: float) -> None:
        self._brackets.append(heard_s)
        self._cycles.append(cycle)
        self._aims = True
        self._end(now_s + _STEP_INTERVAL_S if self.is_known and now_s >= self._settles_at_s else -math.inf)

    def _end(self, next_s: float) -> None:
        self._index, self._step_due_s, self.ask_at_s = None, next_s, math.inf


def _middle(numbers: Iterable[int]) -> int:
    """Return the lower median. The module `statistics` takes longer to load than all clocks take in a minute."""
    ordered = sorted(numbers)
    return ordered[(len(ordered) - 1) // 2]
