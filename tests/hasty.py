"""A clock for single-threaded tests: waiting takes no time."""

from __future__ import annotations

import math
import threading

from capture.clock import SteppedClock


class HastyClock(SteppedClock):
    """Advances by itself to the moment that is waited for."""

    def wait_until(self, moment_s: float, woken: threading.Event) -> bool:
        assert moment_s < math.inf, "this would be waited for without end"
        while not woken.is_set() and (left_s := moment_s - self.now_s()) > 0:
            # Rounding may leave a remainder too small to advance the clock.
            self.advance(max(left_s, 1e-9))
        return woken.is_set()
