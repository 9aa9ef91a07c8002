"""A clock that a program can read off a recorded picture: a row of black and white cells.

The cells are the milliseconds of the monotonic clock in Gray code, where neighbouring numbers differ in one cell only:
a cell that the codec blurred at the moment of its change makes no great error. A white cell before and a black one
after tell a clock from a flash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from capture.media import Rectangle

__all__ = ["BITS", "CELLS", "PERIOD_S", "cell", "cells_showing", "moment_shown_s"]

BITS: Final = 20
CELLS: Final = BITS + 2
#: The clock starts again after this time, about seventeen minutes.
PERIOD_S: Final = 2**BITS / 1000

_CELL_PIXELS: Final = 32
_LEFT, _TOP = 64, 64


def cell(index: int) -> Rectangle:
    """Where cell `index` stands on the screen; they form one row without gaps."""
    return Rectangle(_LEFT + index * _CELL_PIXELS, _TOP, _CELL_PIXELS, _CELL_PIXELS)


def cells_showing(moment_s: float) -> list[bool]:
    """Which cells are white at `moment_s`."""
    count = int(moment_s * 1000) % 2**BITS
    gray = count ^ (count >> 1)
    return [True, *((gray >> bit) & 1 == 1 for bit in reversed(range(BITS))), False]


def moment_shown_s(cells: Sequence[bool], near_s: float) -> float | None:
    """The moment that the cells show, of all that they may mean the one nearest `near_s`; None if they are no clock."""
    if not cells[0] or cells[-1]:
        return None
    count, bit = 0, False
    for white in cells[1:-1]:
        bit ^= white
        count = 2 * count + bit
    # Half a step in: what is shown was counted down to the millisecond.
    shown_s = (count + 0.5) / 1000
    return shown_s + round((near_s - shown_s) / PERIOD_S) * PERIOD_S
