"""From what a screen shows to what an encoder takes: blue-green-red-unused in, YUV 4:2:0 out, of changed parts alone.

Not thread-safe. Converting releases the interpreter's lock.
"""

from __future__ import annotations

from typing import Final

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from capture.macroblocks import differing, planes_of
from capture.media import Pixels, Rectangle
from capture.yuv import ToYuv, reformatted

__all__ = ["MOST_CHANGED", "Converter"]

#: Parts are converted in whole steps of so many columns: as many as one step of a converter's loops, and few sizes.
_STEP_COLUMNS: Final = 16

#: A part of up to so many pixels is compared with what it replaces, and so many macroblocks are told. What typing
#: redraws is a line; of more than that so much has changed, as a rule, that nobody wants to know what has not.
_MOST_COMPARED: Final = 1 << 18
MOST_CHANGED: Final = 24


class Converter:
    """Keeps the last picture, `width` x `height`, both even, as it came and as `size` in YUV.

    With `in_place` the memory of a converted picture is used again for the next one: for encoders that are done with a
    picture when they have taken it.
    """

    def __init__(self, width: int, height: int, size: tuple[int, int], to_yuv: ToYuv, *, in_place: bool) -> None:
        self._width = width
        self._height = height
        self._size = size
        self._in_place = in_place
        self._to_yuv = to_yuv
        self._scaler = VideoReformatter() if size != (width, height) else None
        self._pixels: Pixels
        self._converted: av.VideoFrame | None = None
        #: In which macroblocks the last picture differs from the one before it; None where that is not known, or more
        #: than `MOST_CHANGED`.
        self.changed: list[int] | None = None

    def convert(self, pixels: Pixels, left: int, top: int) -> av.VideoFrame:
        """The picture with `pixels`, uint8 (height, width, 4), at column `left` and row `top`; around it as it was.

        The first has to be whole. The memory of a whole one is kept, and parts are written into it.
        """
        height, width = pixels.shape[:2]
        is_whole = (width, height) == (self._width, self._height)
        self.changed = None
        if is_whole:
            self._pixels = pixels
        else:
            self._pixels[top : top + height, left : left + width] = pixels
        if self._scaler is not None:
            return reformatted(self._scaler, self._pixels, self._size)
        if self._converted is None or not self._in_place:
            self._converted = av.VideoFrame(self._width, self._height, "yuv420p")
            is_whole = True
        if is_whole:
            whole = Rectangle(0, 0, self._width, self._height)
            self._to_yuv.convert(self._pixels, whole, planes_of(self._converted))
        else:
            self._bring_up_to_date(self._converted, self._in_steps(Rectangle(left, top, width, height)))
        return self._converted

    def _in_steps(self, part: Rectangle) -> Rectangle:
        """What has to be converted for a part that has changed."""
        left, top = part.left // _STEP_COLUMNS * _STEP_COLUMNS, part.top & ~1
        right, bottom = _rounded_up(part.right, _STEP_COLUMNS, self._width), _rounded_up(part.bottom, 2, self._height)
        return Rectangle(left, top, right - left, bottom - top)

    def _bring_up_to_date(self, converted: av.VideoFrame, part: Rectangle) -> None:
        places = []
        for number, plane in enumerate(planes_of(converted)):
            size = 2 if number else 1
            places.append(plane[part.top // size : part.bottom // size, part.left // size : part.right // size])
        if places[0].size > _MOST_COMPARED:
            self._to_yuv.convert(self._pixels, part, places)
            return
        fresh = [np.empty_like(place) for place in places]
        self._to_yuv.convert(self._pixels, part, fresh)
        self.changed = differing(fresh, places, part.left, part.top, self._width, MOST_CHANGED)
        for source, target in zip(fresh, places, strict=True):
            target[...] = source


def _rounded_up(value: int, step: int, most: int) -> int:
    return min(most, -(-value // step) * step)
