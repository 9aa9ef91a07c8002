"""The clock of a stream of PipeWire finds the cycles of its graph to a millisecond, whatever becomes of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from capture.media import SAMPLE_RATE
from capture.sources.pulse.stream_clock import Answer, CycleClock, StreamClock

#: How exact an origin must be here.
WITHIN_S = 0.001

#: The round trip of an answer.
TRIP_S = 0.0002


class Graph:
    """A graph whose cycles begin when the test says so, and a clock that asks it as a source does.

    Each cycle begins as long after the one before as that one has samples. Its samples are heard from its start on.
    """

    def __init__(self, cycle: int = 1024) -> None:
        self.cycle = cycle
        self.now_s = self.next_s = 50.0
        self.written = 0
        #: How late the server's answers notice a cycle.
        self.lag_s = 0.0
        self.asked = 0
        self.clock: StreamClock = CycleClock()
        #: Every clock after the first.
        self.moved: list[StreamClock] = []
        self._history = [(0.0, 0)]

    def run(self, seconds: float, *, stands_still: bool = False) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            # The source wakes for sound and for the clock, at the earliest after the round trip of a question.
            self.now_s = max(self.now_s, min(self.next_s, self.clock.ask_at_s)) if not stands_still else self.now_s
            has_sound = not stands_still and self.now_s >= self.next_s
            if has_sound:
                self._begin_cycle()
            if self.clock.wants_answer(self.now_s, has_sound=has_sound):
                self._answer()
            else:
                self.now_s += TRIP_S

    def _begin_cycle(self) -> None:
        self.written += self.cycle
        self._history.append((self.next_s, self.written))
        self.next_s += self.cycle / SAMPLE_RATE

    def change_cycle(self, cycle: int) -> None:
        """Change the length of the cycles. The first of the new length takes as long as one of the old."""
        self.next_s += (self.cycle - cycle) / SAMPLE_RATE
        self.cycle = cycle

    def _answer(self) -> None:
        self.asked += 1
        asked_s = self.now_s
        while self.next_s <= asked_s:
            self._begin_cycle()
        known = max(written for at_s, written in self._history if at_s <= asked_s - self.lag_s)
        self.now_s = asked_s + TRIP_S
        moved = self.clock.learn(Answer(asked_s, self.now_s, known, 0.0))
        if moved is not None:
            self.clock = moved
            self.moved.append(moved)

    @property
    def error_s(self) -> float:
        """How far the clock's origin is from that of the cycles as they are now."""
        return self.clock.origin_s - (self.next_s - self.written / SAMPLE_RATE)


@pytest.fixture(params=[128, 1024, 8192])
def graph(request: pytest.FixtureRequest) -> Iterator[Graph]:
    graph = Graph(request.param)
    graph.run(3.0)
    assert abs(graph.error_s) < WITHIN_S
    yield graph
    assert graph.clock.is_known


@pytest.mark.parametrize("cycle", [64, 128, 1024, 2048])
def test_three_cycles_are_enough(cycle: int) -> None:
    graph = Graph(cycle)
    graph.run(8 * cycle / SAMPLE_RATE + 0.01)
    assert graph.clock.is_known
    assert abs(graph.error_s) < WITHIN_S


def test_what_is_known_is_asked_for_rarely(graph: Graph) -> None:
    before = graph.asked
    graph.run(10.0)
    assert graph.asked - before < 10 * 8
    assert graph.moved == []


def test_a_device_that_stands_still_is_not_asked_for_ever(graph: Graph) -> None:
    graph.run(1.0)
    before = graph.asked
    graph.run(10.0, stands_still=True)
    assert graph.asked - before < 500
    graph.next_s = graph.now_s
    graph.run(5.0)
    assert abs(graph.error_s) < WITHIN_S


def test_cycles_of_another_length_are_no_break_in_the_sound() -> None:
    graph = Graph(1024)
    graph.run(3.0)
    origin_s = graph.clock.origin_s
    for cycle in (256, 1024, 128, 512, 1024):
        graph.change_cycle(cycle)
        graph.run(3.0)
        assert graph.clock.origin_s == pytest.approx(origin_s, abs=WITHIN_S)
    assert graph.moved == []


def test_skipped_cycles_are_missing_sound(graph: Graph) -> None:
    graph.next_s += 2 * graph.cycle / SAMPLE_RATE + 0.004
    # It takes some cycles.
    graph.run(1.2 if graph.cycle <= 1024 else 4.0)
    assert len(graph.moved) == 1
    assert not graph.clock.follows_break
    assert abs(graph.error_s) < WITHIN_S
    assert graph.written - graph.clock.first < 3.0 * SAMPLE_RATE


def test_what_a_busy_server_said_late_is_corrected_later() -> None:
    graph = Graph()
    graph.lag_s = 0.009
    graph.run(0.15)
    assert graph.error_s > 0.008
    graph.lag_s = 0.0
    graph.run(4.0)
    assert abs(graph.error_s) < WITHIN_S
    assert graph.moved == []


def test_a_busy_server_does_not_move_a_known_clock() -> None:
    graph = Graph()
    graph.run(3.0)
    graph.lag_s = 0.009
    graph.run(1.05)
    graph.lag_s = 0.0
    graph.run(2.0)
    assert abs(graph.error_s) < WITHIN_S


def test_another_output_begins_with_a_clock_of_its_own() -> None:
    graph = Graph()
    graph.run(3.0)
    graph.clock = CycleClock(graph.written, settles_at_s=graph.now_s + 0.5)
    graph.run(0.1)
    # Only now the server connects it, and the cycles are those of the other output.
    graph.next_s += 0.05
    graph.run(0.35)
    assert [clock.follows_break for clock in graph.moved] == [True]
    assert abs(graph.error_s) < WITHIN_S
