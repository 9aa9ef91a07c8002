"""How fast a device's clock runs against ours."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

__all__ = ["DriftMeter"]


class DriftMeter:
    """The rate of a device's clock against ours, from the earliest arrival in each second. Memory does not grow.

    Where the device delivered nothing its own time is unknown, so each stretch of sound has a line of its own, and what
    is told is the slope that fits them all.
    """

    #: Fewer seconds than this say more about scheduling than about a quartz.
    MIN_SECONDS: Final = 10

    def __init__(self) -> None:
        self._seconds = 0
        # Sums over the stretches that are complete, about the mean of each: of x² and of xy.
        self._squares = (0.0, 0.0)
        self._begin_stretch()

    def _begin_stretch(self) -> None:
        self._second = -1
        self._earliest_s = math.inf
        self._count = 0
        self._sums = np.zeros(4)

    def observe(self, device_s: float, origin_s: float) -> None:
        """Say that after `device_s` of sound its first sample seemed to date from `origin_s`."""
        second = int(device_s)
        if second != self._second:
            if self._second >= 0:
                self._add(self._second, self._earliest_s)
            self._second, self._earliest_s = second, math.inf
        self._earliest_s = min(self._earliest_s, origin_s)

    def interrupt(self) -> None:
        """Say that sound is missing before what is observed next."""
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
        """Parts per million by which the device runs fast; 0 until `MIN_SECONDS` were seen."""
        x_squared, x_times_y = self._squares_so_far()
        if self._seconds < self.MIN_SECONDS or x_squared == 0.0:
            return 0.0
        return -x_times_y / x_squared * 1e6
