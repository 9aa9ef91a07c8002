"""Finds and reads the macroblocks of a picture in YUV 4:2:0: squares of 16 × 16 pixels.

As in H.264, their addresses count row by row from 0. If the width or height is not a multiple of 16, the last
macroblocks of each row or column extend past the edge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

import av
import numpy as np
from av.video.plane import VideoPlane

from capture.media import Pixels, Rectangle

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["SAMPLES_BYTES", "SIDE", "Planes", "blocks_with", "cut", "macroblock_count", "planes_of", "samples_of"]

#: Width and height in pixels. A macroblock has half as many chroma samples each way.
SIDE: Final = 16

#: Size of one macroblock's samples.
SAMPLES_BYTES: Final = SIDE * SIDE * 3 // 2

#: Luma and both chroma planes of a picture: uint8 (height, width) and twice (height / 2, width / 2).
Planes: TypeAlias = Sequence[Pixels]

#: Marks pixels of some rows: takes the rows and the array for the marks.
Mark: TypeAlias = Callable[[slice, "npt.NDArray[np.bool_]"], object]

#: How many rows of blocks are looked at at once.
_ROWS_AT_ONCE: Final = 8


def macroblock_count(width: int, height: int) -> int:
    """Return how many macroblocks a picture of this size has."""
    return -(-width // SIDE) * -(-height // SIDE)


def planes_of(frame: av.VideoFrame) -> list[Pixels]:
    """Return the planes of a picture in YUV 4:2:0 as views of its memory."""
    return [_values(plane) for plane in frame.planes]


def _values(plane: VideoPlane) -> Pixels:
    values: Pixels = np.frombuffer(cast(Any, plane), np.uint8).reshape(plane.height, plane.line_size)
    return values[:, : plane.width]


def cut(planes: Planes, part: Rectangle) -> list[Pixels]:
    """Return views of the planes inside `part`, whose edges are even."""
    sizes = (1, 2, 2)
    return [
        plane[part.top // size : part.bottom // size, part.left // size : part.right // size]
        for plane, size in zip(planes, sizes, strict=True)
    ]


def blocks_with(shape: tuple[int, int], side: int, inside: Rectangle, mark: Mark) -> npt.NDArray[np.bool_]:
    """Return in which blocks of `side` x `side`, 16 or 8, anything is marked: bool of `shape`, (rows, columns).

    `inside` is the part of these blocks that is looked at. `mark` gets some of its rows, and writes into an array, bool
    (rows, columns), what is marked there. That array is small enough for the processor's cache.
    """
    rows, columns = shape
    found = np.zeros(shape, np.bool_)
    marks = np.zeros((_ROWS_AT_ONCE * side, columns * side), np.bool_)
    for row in range(0, rows, _ROWS_AT_ONCE):
        first, end = max(inside.top, row * side), min(inside.bottom, (row + _ROWS_AT_ONCE) * side)
        if first >= end:
            continue
        top, bottom = first - row * side, end - row * side
        marks[:top], marks[bottom:] = False, False
        mark(slice(first - inside.top, end - inside.top), marks[top:bottom, inside.left : inside.right])
        # Eight marks in one number.
        of_rows = np.bitwise_or.reduce(marks.view(np.uint64).reshape(_ROWS_AT_ONCE, side, -1), axis=1)
        of_blocks = of_rows[:, ::2] | of_rows[:, 1::2] if side == SIDE else of_rows
        found[row : row + _ROWS_AT_ONCE] = of_blocks[: rows - row] != 0
    return found


def samples_of(planes: Planes, address: int) -> bytes:
    """Return the 384 samples of a macroblock: luma, then each chroma plane.

    Past the edge of the picture, the edge is repeated.
    """
    columns = -(-planes[0].shape[1] // SIDE)
    row, column = divmod(address, columns)
    parts = []
    for number, plane in enumerate(planes):
        step = SIDE if number == 0 else SIDE // 2
        block = plane[row * step : (row + 1) * step, column * step : (column + 1) * step]
        height, width = block.shape
        if (height, width) != (step, step):
            block = np.pad(block, ((0, step - height), (0, step - width)), mode="edge")
        parts.append(block.tobytes())
    return b"".join(parts)
