"""Finds and reads the macroblocks of a picture in YUV 4:2:0: squares of 16 × 16 pixels.

As in H.264, their addresses count row by row from 0. If the width or height is not a multiple of 16, the last
macroblocks of each row or column extend past the edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias, cast

import av
import numpy as np
from av.video.plane import VideoPlane

from capture.media import Pixels, Rectangle

__all__ = ["SAMPLES_BYTES", "Planes", "cut", "differing", "macroblock_count", "planes_of", "samples_of"]

#: Width and height in pixels. A macroblock has half as many chroma samples each way.
_SIDE: Final = 16

#: Size of one macroblock's samples.
SAMPLES_BYTES: Final = _SIDE * _SIDE * 3 // 2

#: Luma and both chroma planes of a picture: uint8 (height, width) and twice (height / 2, width / 2).
Planes: TypeAlias = Sequence[Pixels]


def macroblock_count(width: int, height: int) -> int:
    """Return how many macroblocks a picture of this size has."""
    return -(-width // _SIDE) * -(-height // _SIDE)


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


def differing(one: Planes, other: Planes, left: int, top: int, picture_width: int, at_most: int) -> list[int] | None:
    """Return the ascending addresses of the macroblocks that differ between two versions of a part of a picture.

    The part is at an even column `left` and row `top`. Returns None if more than `at_most` differ.
    """
    columns = -(-picture_width // _SIDE)
    found: set[int] = set()
    for number, (first, second) in enumerate(zip(one, other, strict=True)):
        size = 1 if number == 0 else 2
        step = _SIDE // size
        differs = first != second
        # Counting is fast, and avoids finding the addresses when there are too many.
        if np.count_nonzero(differs) > at_most * step**2:
            return None
        rows, places = np.divmod(np.flatnonzero(differs), differs.shape[1])
        addresses = (rows + top // size) // step * columns + (places + left // size) // step
        found.update(addresses.tolist())
    return sorted(found) if len(found) <= at_most else None


def samples_of(planes: Planes, address: int) -> bytes:
    """Return the 384 samples of a macroblock: luma, then each chroma plane.

    Past the edge of the picture, the edge is repeated.
    """
    columns = -(-planes[0].shape[1] // _SIDE)
    row, column = divmod(address, columns)
    parts = []
    for number, plane in enumerate(planes):
        step = _SIDE if number == 0 else _SIDE // 2
        block = plane[row * step : (row + 1) * step, column * step : (column + 1) * step]
        height, width = block.shape
        if (height, width) != (step, step):
            block = np.pad(block, ((0, step - height), (0, step - width)), mode="edge")
        parts.append(block.tobytes())
    return b"".join(parts)
