"""Finds what differs between two pictures, for desktops that do not say what changed."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Final

import numpy as np

from capture.media import Pixels, Rectangle

__all__ = ["changed_part"]

#: Rows compared in one call.
_BAND_ROWS: Final = 16

#: More than this share of the rows is taken as it is: looking for columns would cost as much as it saves.
_MOST_SEARCHED: Final = 0.5


def changed_part(before: Pixels, now: Pixels) -> Rectangle | None:
    """Return the box around all pixels that differ, None if there are none.

    Both are uint8 (height, width, 4) of the same size, their rows contiguous. For large changes the box may be
    larger than needed. Equal 1080p pictures take about a millisecond.
    """
    height, width = now.shape[:2]
    compare = _Comparison(before, now)
    top = next((row for row in range(0, height, _BAND_ROWS) if compare.differs(row)), None)
    if top is None:
        return None
    bottom = next(
        row for row in range((height - 1) // _BAND_ROWS * _BAND_ROWS, -1, -_BAND_ROWS) if compare.differs(row)
    )
    bottom = min(height, bottom + _BAND_ROWS)
    if bottom - top > _MOST_SEARCHED * height:
        return Rectangle(0, top, width, bottom - top)
    differs = before[top:bottom].view(np.uint32)[..., 0] != now[top:bottom].view(np.uint32)[..., 0]
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    first, left = int(rows[0]), int(columns[0])
    return Rectangle(left, top + first, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - first)


class _Comparison:
    """Compares bands of rows in the processor's own way, without a copy."""

    def __init__(self, before: Pixels, now: Pixels) -> None:
        self._compare = _memcmp()
        self._height = now.shape[0]
        self._row_bytes = now.shape[1] * now.shape[2]
        self._one, self._other = before.ctypes.data, now.ctypes.data
        self._one_step, self._other_step = before.strides[0], now.strides[0]
        self._is_packed = self._one_step == self._other_step == self._row_bytes

    def differs(self, top: int) -> bool:
        """Whether any pixel of the band that begins at row `top` differs."""
        rows = min(_BAND_ROWS, self._height - top)
        if self._is_packed:
            return self._differ(top, rows * self._row_bytes)
        # What is between the rows is no part of the picture.
        return any(self._differ(row, self._row_bytes) for row in range(top, top + rows))

    def _differ(self, row: int, count: int) -> bool:
        places = self._one + row * self._one_step, self._other + row * self._other_step
        return bool(self._compare(*places, count))


@cache
def _memcmp() -> Any:
    function = ctypes.CDLL(None).memcmp
    function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    return function
