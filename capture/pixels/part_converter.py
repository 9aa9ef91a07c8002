"""Converts changed parts of a picture from BGRX to YUV 4:2:0.

Use it from one thread, which may be another one than that of the `YuvPicture` that takes the parts. Converting releases
the GIL.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from capture.media import Pixels, Rectangle
from capture.pixels.frame_pool import FramePool
from capture.pixels.macroblocks import Planes, cut, planes_of
from capture.pixels.yuv import ToYuv, reformatted

__all__ = ["LARGEST_COMPARED", "PartConverter", "YuvPart"]

#: Largest part that is compared with what it replaces, in pixels. Typing redraws about a line; when more is redrawn,
#: most of it has usually changed, and comparing does not pay.
LARGEST_COMPARED: Final = 1 << 18


class YuvPart(NamedTuple):
    """What a part of a picture shows from now on, in YUV 4:2:0: 1.5 bytes a pixel, where BGRX takes 4.

    `planes` are those of the part at `place`. If it is large, they lie in `frame`, a picture of a `FramePool`, at the
    same place; outside of it that picture has any content.
    """

    planes: Planes
    place: Rectangle
    frame: av.VideoFrame | None


class PartConverter:
    """Converts pictures of `width` x `height`, both even, or parts of them; scales them to `size` if that differs.

    The pictures of large parts come from `pool`, which has that size.
    """

    def __init__(self, width: int, height: int, size: tuple[int, int], to_yuv: ToYuv, pool: FramePool) -> None:
        self._whole = Rectangle(0, 0, width, height)
        self._size = size
        self._to_yuv = to_yuv
        self._pool = pool
        self._scaler = VideoReformatter() if size != (width, height) else None
        self._keeps_pixels = self._scaler is not None or to_yuv.reads_around
        self._pixels: Pixels

    def convert(self, pixels: Pixels, left: int, top: int) -> YuvPart:
        """Convert `pixels`, uint8 (height, width, 4), at column `left` and row `top`.

        The first call needs a whole picture; position and size of a part must be even. The converter may keep the array
        of a whole picture and write later parts into it. Raises `ValueError` for odd values.
        """
        part = Rectangle(left, top, pixels.shape[1], pixels.shape[0])
        if any(value % 2 for value in (part.left, part.top, part.right, part.bottom)):
            raise ValueError(f"YUV 4:2:0 needs an even position and size, not {part}")
        source, place = pixels, Rectangle(0, 0, part.width, part.height)
        if self._keeps_pixels:
            if part == self._whole:
                # A source keeps its own picture and gives it away read-only.
                self._pixels = pixels if pixels.flags.writeable else pixels.copy()
            else:
                self._pixels[part.top : part.bottom, part.left : part.right] = pixels
            source, place = self._pixels, part
        if self._scaler is not None:
            scaled = reformatted(self._scaler, self._pixels, self._size)
            return YuvPart(planes_of(scaled), Rectangle(0, 0, *self._size), scaled)
        planes, frame = self._room_for(part)
        self._to_yuv.convert(source, place, planes)
        return YuvPart(planes, part, frame)

    def _room_for(self, part: Rectangle) -> tuple[Planes, av.VideoFrame | None]:
        if part == self._whole or part.width * part.height > LARGEST_COMPARED:
            frame = self._pool.take()
            return cut(planes_of(frame), part), frame
        return [np.empty((part.height // size, part.width // size), np.uint8) for size in (1, 2, 2)], None

    def close(self) -> None:
        """Release the kept picture; the next one has to be whole."""
        self._pixels = np.empty((0, 0, 4), np.uint8)
