"""From what a screen shows to what an encoder takes: blue-green-red-unused in, YUV 4:2:0 out, of changed parts alone.

Not thread-safe. Converting releases the interpreter's lock.
"""

from __future__ import annotations

from typing import Final

import av
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from capture.macroblocks import differing, planes_of
from capture.media import Pixels, Rectangle

__all__ = ["MOST_CHANGED", "Converter"]

#: A sample of colour is the mean of the four pixels it covers, and so a change reaches no further than these. Without
#: `FULL_CHR_H_INP` swscale has no vector code for colour; with it a picture of 1080p takes 3.4 ms instead of 4.4.
_METHOD: Final = Interpolation.AREA | Interpolation.FULL_CHR_H_INP

#: Of what it converts swscale rounds the last row of colour otherwise, and of very low pictures all: these are read
#: around a part and thrown away.
_MARGIN_ROWS: Final = 2
_LEAST_ROWS: Final = 8

#: Parts are converted in whole steps of so many columns: as many as one step of swscale's loops, and few sizes.
_STEP_COLUMNS: Final = 16

#: A part of up to so many pixels is compared with what it replaces, and so many macroblocks are told. What typing
#: redraws is a line; of more than that so much has changed, as a rule, that nobody wants to know what has not.
_MOST_COMPARED: Final = 1 << 18
MOST_CHANGED: Final = 24


class Converter:
    """Keeps the last picture, `width` x `height`, both even, as it came and as `size` in YUV by `matrix`.

    With `in_place` the memory of a converted picture is used again for the next one, where only a part has changed: for
    encoders that are done with a picture when they have taken it.
    """

    def __init__(self, width: int, height: int, size: tuple[int, int], matrix: Colorspace, *, in_place: bool) -> None:
        self._width = width
        self._height = height
        self._size = size
        self._matrix = matrix
        self._takes_parts = in_place and size == (width, height)
        self._whole = VideoReformatter()
        self._part = VideoReformatter()
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
        self.changed = None
        if (width, height) == (self._width, self._height):
            self._pixels = pixels
            self._converted = None
        else:
            self._pixels[top : top + height, left : left + width] = pixels
        if self._converted is None or not self._takes_parts:
            self._converted = self._convert(self._whole, self._pixels, self._size)
        else:
            self._bring_up_to_date(self._converted, Rectangle(left, top, width, height))
        return self._converted

    def _bring_up_to_date(self, converted: av.VideoFrame, part: Rectangle) -> None:
        left, right = part.left // _STEP_COLUMNS * _STEP_COLUMNS, _rounded_up(part.right, _STEP_COLUMNS, self._width)
        top, bottom = part.top & ~1, _rounded_up(part.bottom, 2, self._height)
        read_top = max(0, top - _MARGIN_ROWS)
        read_bottom = min(self._height, max(bottom + _MARGIN_ROWS, read_top + _LEAST_ROWS))
        read_top = max(0, min(read_top, read_bottom - _LEAST_ROWS))
        pixels = self._pixels[read_top:read_bottom, left:right]
        fresh = self._convert(self._part, pixels, (right - left, read_bottom - read_top))
        parts, places = [], []
        for number, (source, target) in enumerate(zip(planes_of(fresh), planes_of(converted), strict=True)):
            size = 1 if number == 0 else 2
            parts.append(source[(top - read_top) // size : (bottom - read_top) // size])
            places.append(target[top // size : bottom // size, left // size : right // size])
        self.changed = (
            differing(parts, places, left, top, self._width, MOST_CHANGED) if places[0].size <= _MOST_COMPARED else None
        )
        for source, target in zip(parts, places, strict=True):
            target[...] = source

    def _convert(self, reformatter: VideoReformatter, pixels: Pixels, size: tuple[int, int]) -> av.VideoFrame:
        return reformatter.reformat(
            av.VideoFrame.from_numpy_buffer(pixels, "bgra"),
            *size,
            "yuv420p",
            dst_colorspace=self._matrix,
            dst_color_range=ColorRange.MPEG,
            interpolation=_METHOD,
            threads=1,
        )


def _rounded_up(value: int, step: int, most: int) -> int:
    return min(most, -(-value // step) * step)
