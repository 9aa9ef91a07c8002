"""The one clock. Every timestamp in the package is seconds on it.

`MonotonicClock` never jumps when the system's date is set, and its readings are comparable between the threads of a
process. `SteppedClock` moves only when it is told to; it ships with the package so that whoever builds on `capture` can
test without waiting.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol

__all__ = ["Clock", "MonotonicClock", "SteppedClock"]


class Clock(Protocol):
    """Tells the time and waits for it. All methods may be called from any thread."""

    def now_s(self) -> float:
        """Seconds since an arbitrary moment; never decreases."""
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
    """A clock that stands still until `advance` is called.

    A thread in `wait_until` is released when the clock reaches its moment. `waiters` lets a test wait until the
    threads under test are all asleep again before it takes the next step.
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._now_s = start_s
        self._changed = threading.Condition()
        self._waiting: list[tuple[float, threading.Event]] = []

    def now_s(self) -> float:
        with self._changed:
            return self._now_s

    def advance(self, by_s: float) -> None:
        """Move the clock on by `by_s` seconds and release whoever waited for that."""
        with self._changed:
            self._now_s += by_s
            self._changed.notify_all()

    def wait_until(self, moment_s: float, woken: threading.Event) -> bool:
        with self._changed:
            mine = (moment_s, woken)
            self._waiting.append(mine)
            self._changed.notify_all()
            try:
                # The short timeout notices `woken`, which may be set without this clock being told.
                while self._now_s < moment_s and not woken.is_set():
                    self._changed.wait(0.005)
            finally:
                self._waiting.remove(mine)
            return woken.is_set()

    def await_waiters(self, count: int, timeout_s: float = 30.0) -> None:
        """Block until `count` threads are asleep in `wait_until`; AssertionError after `timeout_s` real seconds.

        A thread whose moment has come, or that was woken, is no longer asleep, even if it has not run yet.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._asleep() >= count, timeout_s):
                raise AssertionError(f"{self._asleep()} threads wait on the clock, {count} were expected")

    def _asleep(self) -> int:
        return sum(moment_s > self._now_s and not woken.is_set() for moment_s, woken in self._waiting)
