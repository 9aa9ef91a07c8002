"""Converts changed parts of a picture from BGRX to YUV 4:2:0 and reports which macroblocks differ.

Not thread-safe. Converting releases the GIL.
"""

from __future__ import annotations

from typing import Final

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from capture.media import Pixels, Rectangle
from capture.pixels.macroblocks import Planes, cut, differing, planes_of
from capture.pixels.yuv import ToYuv, reformatted

__all__ = ["MOST_CHANGED", "Converter"]

#: Largest part that is compared with what it replaces, in pixels, and most macroblocks reported. Typing redraws about a
#: line; when more is redrawn, most of it has usually changed, and comparing does not pay.
_MOST_COMPARED: Final = 1 << 18
MOST_CHANGED: Final = 24


class Converter:
    """Keeps the last picture as YUV 4:2:0 and updates the parts that change.

    The input is `width` x `height`, both even; the output is scaled to `size`. With `in_place`, each conversion reuses
    the memory of the previous one, for encoders that no longer need a picture once they have encoded it.
    """

    def __init__(self, width: int, height: int, size: tuple[int, int], to_yuv: ToYuv, *, in_place: bool) -> None:
        self._whole = Rectangle(0, 0, width, height)
        self._size = size
        self._in_place = in_place
        self._to_yuv = to_yuv
        self._scaler = VideoReformatter() if size != (width, height) else None
        self._keeps_pixels = not in_place or self._scaler is not None or to_yuv.reads_around
        self._pixels: Pixels
        self._converted: av.VideoFrame | None = None
        #: Addresses of the macroblocks in which the last picture differs from the one before; None if unknown or more
        #: than `MOST_CHANGED`.
        self.changed: list[int] | None = None

    def convert(self, pixels: Pixels, left: int, top: int) -> av.VideoFrame:
        """Put `pixels`, uint8 (height, width, 4), at column `left` and row `top`; return the whole picture in YUV.

        The first call needs a whole picture; position and size of a part must be even. The converter may keep the array
        of a whole picture and write later parts into it. Raises `ValueError` for odd values.
        """
        part = Rectangle(left, top, pixels.shape[1], pixels.shape[0])
        if any(value % 2 for value in (part.left, part.top, part.right, part.bottom)):
            raise ValueError(f"YUV 4:2:0 needs an even position and size, not {part}")
        is_whole = part == self._whole
        self.changed = None
        source, place = pixels, Rectangle(0, 0, part.width, part.height)
        if self._keeps_pixels:
            if is_whole:
                # A source keeps its own picture and gives it away read-only.
                self._pixels = pixels if pixels.flags.writeable else pixels.copy()
            else:
                self._pixels[part.top : part.bottom, part.left : part.right] = pixels
            source, place = self._pixels, part
        if self._scaler is not None:
            return reformatted(self._scaler, self._pixels, self._size)
        if self._converted is None or not self._in_place:
            self._converted = av.VideoFrame(self._whole.width, self._whole.height, "yuv420p")
            is_whole, place = True, self._whole
        planes = cut(planes_of(self._converted), self._whole if is_whole else part)
        if is_whole or planes[0].size > _MOST_COMPARED:
            self._to_yuv.convert(source, place, planes)
        else:
            self._compare(source, place, planes, part)
        return self._converted

    def close(self) -> None:
        """Release the pictures; the next one has to be whole."""
        self._converted = None
        self._pixels = np.empty((0, 0, 4), np.uint8)

    def _compare(self, source: Pixels, place: Rectangle, planes: Planes, part: Rectangle) -> None:
        """Convert `place` of `source` into `planes`, which show `part` of the picture, and set `changed`."""
        fresh = [np.empty_like(plane) for plane in planes]
        self._to_yuv.convert(source, place, fresh)
        self.changed = differing(fresh, planes, part.left, part.top, self._whole.width, MOST_CHANGED)
        for new, old in zip(fresh, planes, strict=True):
            old[...] = new
