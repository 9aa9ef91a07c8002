"""The one clock. Every timestamp in the package is seconds on it.

`MonotonicClock` does not jump when the system date is set, and threads of one process can compare its readings.
`SteppedClock` moves only when `advance` is called; it ships with the package so that code built on `capture` can be
tested without waiting.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

__all__ = ["Clock", "MonotonicClock", "SteppedClock"]


class Clock(Protocol):
    """Gives the time and waits for a moment. Any thread may call any method."""

    def now_s(self) -> float:
        """Return the seconds since an arbitrary moment; never decreases."""
        ...

    def wait_until(self, moment_s: float, woken: threading.Event) -> bool:
        """Block until `moment_s` or until `woken` is set; return whether it was set."""
        ...


class MonotonicClock:
    """The system's monotonic clock."""

    def now_s(self) -> float:
        return time.monotonic()

    def wait_until(self, moment_s: float, woken: threading.Event) -> bool:
        return woken.wait(max(0.0, moment_s - time.monotonic()))


class SteppedClock:
    """A clock that moves only when `advance` is called.

    `wait_until` returns when the clock reaches the moment. `await_waiters` lets a test wait until all threads under
    test are asleep again before it takes the next step.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, threading.Event]] = []

    def now_s(self) -> float:
        with self._changed:
            return self._now_s

    def advance(self, by_s: float) -> None:
        """Move the clock forward by `by_s` seconds and release every thread whose moment has come."""
        with self._changed:
            self._now_s += by_s
            self._changed.notify_all()

    def wait_until(self, moment_s: float, woken: threading.Event) -> bool:
        with self._changed:
            waiter = (moment_s, woken)
            self._waiting.append(waiter)
            self._changed.notify_all()
            try:
                # Setting `woken` does not notify this condition, so poll it.
                while self._now_s < moment_s and not woken.is_set():
                    self._changed.wait(0.005)
            finally:
                self._waiting.remove(waiter)
            return woken.is_set()

    def await_waiters(self, count: int, timeout_s: float = 30.0) -> None:
        """Block until `count` threads are asleep in `wait_until`.

        A thread whose moment has come, or that was woken, does not count as asleep, even if it has not run yet.
        Raises `AssertionError` after `timeout_s` real seconds.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._asleep() >= count, timeout_s):
                raise AssertionError(f"{self._asleep()} threads are waiting on the clock, expected {count}")

    def _asleep(self) -> int:
        return sum(moment_s > self._now_s and not woken.is_set() for moment_s, woken in self._waiting)
