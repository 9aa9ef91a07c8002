"""Measures how much faster or slower a device's clock runs than the session's clock."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

__all__ = ["DriftMeter"]


class DriftMeter:
    """Estimates drift from the earliest arrival in each second, in constant memory.

    While the device delivers nothing, its own time is unknown. So each stretch of sound between two gaps gets its own
    line, and `ppm` is the one slope that fits all of them best.
    """

    #: With fewer seconds than this, the result says more about scheduling than about the device's quartz.
    MIN_SECONDS: Final = 10

    def __init__(self) -> None:
        self._seconds = 0
        # Sums of x² and xy over all complete stretches, each about its own mean.
        self._squares = (0.0, 0.0)
        self._begin_stretch()

    def _begin_stretch(self) -> None:
        self._second = -1
        self._earliest_s = math.inf
        self._count = 0
        self._sums = np.zeros(4)

    def observe(self, device_s: float, origin_s: float) -> None:
        """Record that after `device_s` seconds of sound, its first sample appears to date from `origin_s`."""
        second = int(device_s)
        if second != self._second:
            if self._second >= 0:
                self._add(self._second, self._earliest_s)
            self._second, self._earliest_s = second, math.inf
        self._earliest_s = min(self._earliest_s, origin_s)

    def interrupt(self) -> None:
        """Record that sound is missing before the next observation."""
        self._squares = self._squares_so_far()
        self._begin_stretch()

    def _add(self, x: float, y: float) -> None:
        if self._count == 0:
            self._x0, self._y0 = x, y
        x, y = x - self._x0, y - self._y0
        self._count += 1
        self._seconds += 1
        self._sums += (x, y, x * x, x * y)

    def _squares_so_far(self) -> tuple[float, float]:
        x_squared, x_times_y = self._squares
        if self._count:
            sum_x, sum_y, sum_xx, sum_xy = map(float, self._sums)
            x_squared += sum_xx - sum_x * sum_x / self._count
            x_times_y += sum_xy - sum_x * sum_y / self._count
        return x_squared, x_times_y

    @property
    def ppm(self) -> float:
        """Parts per million by which the device runs fast; 0 until `MIN_SECONDS` have been observed."""
        x_squared, x_times_y = self._squares_so_far()
        if self._seconds < self.MIN_SECONDS or x_squared == 0.0:
            return 0.0
        return -x_times_y / x_squared * 1e6
