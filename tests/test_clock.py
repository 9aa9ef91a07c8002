"""The real clock waits; the stepped clock moves only when advanced."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from capture.clock import Clock, MonotonicClock, SteppedClock

LIMIT_S = 30.0


class Sleeper:
    """A thread that waits on `clock` for each moment in turn and records when it woke."""

    def __init__(self, clock: Clock, moments_s: list[float], woken: threading.Event) -> None:
        self.woke: list[tuple[float, bool]] = []
        self._clock, self._moments_s, self._woken = clock, moments_s, woken
        self.thread = threading.Thread(target=self._run, name="sleeper", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        for moment_s in self._moments_s:
            woken = self._clock.wait_until(moment_s, self._woken)
            self.woke.append((self._clock.now_s(), woken))

    def finish(self) -> list[tuple[float, bool]]:
        self.thread.join(LIMIT_S)
        assert not self.thread.is_alive()
        return self.woke


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock(100.0)


@pytest.fixture
def woken() -> Iterator[threading.Event]:
    """Wakes the sleepers early; set at teardown so that no thread outlives its test."""
    event = threading.Event()
    yield event
    event.set()


def test_a_stepped_clock_does_not_move_by_itself(clock: SteppedClock) -> None:
    assert (clock.now_s(), clock.now_s()) == (100.0, 100.0)
    assert SteppedClock().now_s() == 0.0


def test_advance_moves_a_stepped_clock(clock: SteppedClock) -> None:
    clock.advance(0.5)
    clock.advance(2.0)
    assert clock.now_s() == 102.5


@pytest.mark.parametrize("moment_s", [100.0, 99.0, -1.0])
def test_waiting_for_a_past_moment_returns_at_once(
    clock: SteppedClock, moment_s: float, woken: threading.Event
) -> None:
    assert not clock.wait_until(moment_s, woken)
    woken.set()
    assert clock.wait_until(moment_s, woken)


def test_a_sleeper_wakes_at_its_moment_and_not_before(clock: SteppedClock, woken: threading.Event) -> None:
    sleeper = Sleeper(clock, [101.0], woken)
    clock.await_waiters(1)
    clock.advance(0.75)
    clock.await_waiters(1)
    assert sleeper.woke == []
    clock.advance(0.25)
    assert sleeper.finish() == [(101.0, False)]


def test_an_event_wakes_a_sleeper_without_advancing_the_clock(clock: SteppedClock, woken: threading.Event) -> None:
    sleeper = Sleeper(clock, [1e9], woken)
    clock.await_waiters(1)
    woken.set()
    assert sleeper.finish() == [(100.0, True)]


def test_steps_and_sleepers_take_turns(clock: SteppedClock, woken: threading.Event) -> None:
    count = 300
    sleeper = Sleeper(clock, [101.0 + number for number in range(count)], woken)
    for number in range(count):
        clock.await_waiters(1)
        # If the clock counted the previous step's sleeper again, the thread would be one step behind here.
        assert len(sleeper.woke) == number
        clock.advance(1.0)
    assert [at_s for at_s, _ in sleeper.finish()] == [101.0 + number for number in range(count)]


def test_one_step_releases_every_sleeper_whose_moment_has_come(clock: SteppedClock, woken: threading.Event) -> None:
    sleepers = [Sleeper(clock, [101.0 + number], woken) for number in range(3)]
    clock.await_waiters(3)
    clock.advance(2.0)
    clock.await_waiters(1)
    assert [sleeper.finish() for sleeper in sleepers[:2]] == [[(102.0, False)]] * 2
    assert sleepers[2].woke == []
    clock.advance(1.0)
    assert sleepers[2].finish() == [(103.0, False)]


def test_await_waiters_times_out(clock: SteppedClock, woken: threading.Event) -> None:
    with pytest.raises(AssertionError, match="0 threads are waiting on the clock, expected 1"):
        clock.await_waiters(1, timeout_s=0.01)
    sleeper = Sleeper(clock, [101.0], woken)
    clock.await_waiters(1)
    with pytest.raises(AssertionError, match="1 threads are waiting on the clock, expected 2"):
        clock.await_waiters(2, timeout_s=0.01)
    woken.set()
    with pytest.raises(AssertionError, match="0 threads"):
        clock.await_waiters(1, timeout_s=0.01)
    sleeper.finish()


def test_the_real_clock_reads_the_monotonic_clock_of_the_system() -> None:
    before_s = time.monotonic()
    now_s = MonotonicClock().now_s()
    assert before_s <= now_s <= time.monotonic()


def test_the_real_clock_waits_until_the_moment(woken: threading.Event) -> None:
    clock = MonotonicClock()
    moment_s = clock.now_s() + 0.05
    assert not clock.wait_until(moment_s, woken)
    assert moment_s <= clock.now_s() < moment_s + LIMIT_S
    assert not clock.wait_until(clock.now_s() - 10, woken)


def test_an_event_wakes_a_sleeper_on_the_real_clock(woken: threading.Event) -> None:
    clock = MonotonicClock()
    begin_s = clock.now_s()
    sleeper = Sleeper(clock, [begin_s + 10 * LIMIT_S], woken)
    woken.set()
    ((_, was_woken),) = sleeper.finish()
    assert was_woken
