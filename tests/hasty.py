"""A clock for tests of one thread: nobody waits."""

from __future__ import annotations

import math
import threading

from capture.clock import SteppedClock


class HastyClock(SteppedClock):
    """Goes on by itself to whatever is waited for."""

    def wait_until(self, moment_s: float, woken: threading.Event) -> bool:
        assert moment_s < math.inf, "this would be waited for without end"
        while not woken.is_set() and (left_s := moment_s - self.now_s()) > 0:
            # Rounding may leave a little.
            self.advance(max(left_s, 1e-9))
        return woken.is_set()
