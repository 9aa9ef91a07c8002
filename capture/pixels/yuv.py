"""Converts BGRX pixels to YUV 4:2:0, BT.601 matrix, limited range.

There are two converters: libyuv is fast, swscale is exact. Both release the GIL. libyuv supports no other matrix, which
is why all files of this project use BT.601.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final, Protocol

import av
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from capture.media import Pixels, Rectangle
from capture.pixels.libyuv import Libyuv
from capture.pixels.macroblocks import Planes, cut, planes_of

__all__ = ["Swscale", "ToYuv", "reformatted", "yuv_converter"]

#: With AREA, a chroma sample is the mean of the four pixels it covers, so a change affects no other samples. Without
#: `FULL_CHR_H_INP`, swscale has no vector code for chroma; with it, 1080p takes 3.4 ms instead of 4.4.
_METHOD: Final = Interpolation.AREA | Interpolation.FULL_CHR_H_INP

#: swscale rounds the last chroma row differently, and every row of a very low picture. So we convert extra rows around
#: a part and discard them.
_MARGIN_ROWS: Final = 2
_LEAST_ROWS: Final = 8

#: swscale takes time to set up for a new width, so widths are rounded up to this step, which is that of its loops.
_STEP_COLUMNS: Final = 16


class ToYuv(Protocol):
    """A converter of parts of pictures."""

    #: Whether it reads pixels around a part, so that the whole picture must be available. Only a converter that does
    #: not may be used by two threads at once.
    reads_around: bool

    def convert(self, picture: Pixels, part: Rectangle, planes: Planes) -> None:
        """Convert `part` of a picture, with even edges, into `planes` of that size."""


class Swscale:
    """Converts with FFmpeg's scaler, which is always available: 3.4 ms for 1080p, exact to the nearest level."""

    reads_around = True

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(self, picture: Pixels, part: Rectangle, planes: Planes) -> None:
        bottom = min(len(picture), max(part.bottom + _MARGIN_ROWS, part.top - _MARGIN_ROWS + _LEAST_ROWS))
        top = max(0, min(part.top - _MARGIN_ROWS, bottom - _LEAST_ROWS))
        left = part.left - part.left % _STEP_COLUMNS
        right = min(picture.shape[1], part.right + -part.right % _STEP_COLUMNS)
        pixels = picture[top:bottom, left:right]
        fresh = reformatted(self._reformatter, pixels, (right - left, bottom - top))
        here = Rectangle(part.left - left, part.top - top, part.width, part.height)
        for source, target in zip(cut(planes_of(fresh), here), planes, strict=True):
            target[...] = source


def yuv_converter(*, exact: bool) -> ToYuv:
    """Return the exact converter if `exact`, otherwise the fastest one available."""
    if not exact:
        with suppress(OSError):
            return Libyuv()
    return Swscale()


def reformatted(reformatter: VideoReformatter, pixels: Pixels, size: tuple[int, int]) -> av.VideoFrame:
    """Convert pixels to a new frame of `size` (width, height) with swscale."""
    return reformatter.reformat(
        av.VideoFrame.from_numpy_buffer(pixels, "bgra"),
        *size,
        "yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=_METHOD,
        threads=1,
    )
