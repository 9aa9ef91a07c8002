"""From blue-green-red pixels to YUV 4:2:0, by the matrix of BT.601 and in limited range.

There are two converters, a fast one and an exact one. Both release the interpreter's lock; each is for one thread. The
fast one, libyuv, knows no other matrix, which is why all of this project's files have this one.
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

#: A sample of colour is the mean of the four pixels it covers, and so a change reaches no further than these. Without
#: `FULL_CHR_H_INP` swscale has no vector code for colour; with it a picture of 1080p takes 3.4 ms instead of 4.4.
_METHOD: Final = Interpolation.AREA | Interpolation.FULL_CHR_H_INP

#: Of what it converts swscale rounds the last row of colour otherwise, and of very low pictures all: these are read
#: around a part and thrown away.
_MARGIN_ROWS: Final = 2
_LEAST_ROWS: Final = 8

#: It takes a while to get ready for another width: it is always one of these steps, as many as its loops have.
_STEP_COLUMNS: Final = 16


class ToYuv(Protocol):
    """Converts parts of pictures."""

    #: Whether it looks at pixels around a part, which must be there then.
    reads_around: bool

    def convert(self, picture: Pixels, part: Rectangle, planes: Planes) -> None:
        """Convert a `part` of a picture, its edges on even rows and columns, into `planes`, which are as large."""


class Swscale:
    """By FFmpeg's own scaler, which is there everywhere: 3.4 ms for a picture of 1080p, rounded to the next level."""

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
    """The one that is `exact`, or else the fastest that works here."""
    if not exact:
        with suppress(OSError):
            return Libyuv()
    return Swscale()


def reformatted(reformatter: VideoReformatter, pixels: Pixels, size: tuple[int, int]) -> av.VideoFrame:
    """The pixels as a new frame of that width and height, by swscale."""
    return reformatter.reformat(
        av.VideoFrame.from_numpy_buffer(pixels, "bgra"),
        *size,
        "yuv420p",
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.MPEG,
        interpolation=_METHOD,
        threads=1,
    )
