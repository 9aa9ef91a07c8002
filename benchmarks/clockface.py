"""A clock that a program can read from a recorded picture: a row of black and white cells.

The cells show the milliseconds of the monotonic clock in Gray code. Neighbouring numbers differ in one cell only, so a
cell that the codec blurs while it changes causes only a small error. A white cell before and a black cell after them
distinguish the clock from a flash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from capture.media import Rectangle

__all__ = ["BITS", "CELLS", "PERIOD_S", "cell", "cells_showing", "moment_shown_s"]

BITS: Final = 20
CELLS: Final = BITS + 2
#: The clock wraps after this time, about seventeen minutes.
PERIOD_S: Final = 2**BITS / 1000

_CELL_PIXELS: Final = 32
_LEFT, _TOP = 64, 64


def cell(index: int) -> Rectangle:
    """Return where cell `index` is on the screen; the cells form one row without gaps."""
    return Rectangle(_LEFT + index * _CELL_PIXELS, _TOP, _CELL_PIXELS, _CELL_PIXELS)


def cells_showing(moment_s: float) -> list[bool]:
    """Return which cells are white at `moment_s`."""
    count = int(moment_s * 1000) % 2**BITS
    gray = count ^ (count >> 1)
    return [True, *((gray >> bit) & 1 == 1 for bit in reversed(range(BITS))), False]


def moment_shown_s(cells: Sequence[bool], near_s: float) -> float | None:
    """Return the moment shown by the cells, of all possible ones the nearest to `near_s`; None if they are no clock."""
    if not cells[0] or cells[-1]:
        return None
    count, bit = 0, False
    for white in cells[1:-1]:
        bit ^= white
        count = 2 * count + bit
    # Add half a step, because the shown number was rounded down to a millisecond.
    shown_s = (count + 0.5) / 1000
    return shown_s + round((near_s - shown_s) / PERIOD_S) * PERIOD_S
