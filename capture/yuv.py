"""From blue-green-red pixels to YUV 4:2:0, by the matrix of BT.601 and in limited range.

There are two converters, a fast one and an exact one. Both release the interpreter's lock; each is for one thread.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import c_int
from ctypes import c_void_p as Pointer  # noqa: N812 - what it is here
from typing import Any, Final, Protocol

import av
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from capture.macroblocks import Planes, planes_of
from capture.media import Pixels, Rectangle

__all__ = ["Libyuv", "Swscale", "ToYuv", "reformatted", "yuv_converter"]

#: A sample of colour is the mean of the four pixels it covers, and so a change reaches no further than these. Without
#: `FULL_CHR_H_INP` swscale has no vector code for colour; with it a picture of 1080p takes 3.4 ms instead of 4.4.
_METHOD: Final = Interpolation.AREA | Interpolation.FULL_CHR_H_INP

#: Of what it converts swscale rounds the last row of colour otherwise, and of very low pictures all: these are read
#: around a part and thrown away.
_MARGIN_ROWS: Final = 2
_LEAST_ROWS: Final = 8

#: It takes a while to get ready for another width: it is always one of these steps, as many as its loops have.
_STEP_COLUMNS: Final = 16

#: As Debian and as others name it; elsewhere no system brings it.
_LIBRARIES: Final = ("libyuv.so.0", "libyuv.so") if sys.platform == "linux" else ()


class ToYuv(Protocol):
    """Converts parts of pictures."""

    #: Whether it looks at pixels around a part, which must be there then.
    reads_around: bool

    def convert(self, picture: Pixels, part: Rectangle, planes: Planes) -> None:
        """Convert a `part` of a picture, its edges on even rows and columns, into `planes`, which are as large."""


class Libyuv:
    """By libyuv, which has code for the widest vectors of each processor: 0.4 ms for a picture of 1080p.

    Its colours are half a level too low on average and 1.7 at most, where greys have none; that is 3 levels of blue. It
    knows no other matrix, which is why all of this project's files have this one.
    """

    reads_around = False

    def __init__(self) -> None:
        """Raises `OSError` where libyuv is not installed."""
        self._convert = _loaded().ARGBToI420
        self._convert.restype = c_int
        self._convert.argtypes = [Pointer, c_int] * 4 + [c_int, c_int]

    def convert(self, picture: Pixels, part: Rectangle, planes: Planes) -> None:
        pixels = picture[part.top : part.bottom, part.left : part.right]
        places = [value for array in (pixels, *planes) for value in (array.ctypes.data, array.strides[0])]
        if self._convert(*places, part.width, part.height) != 0:
            raise ValueError(f"libyuv does not convert {part.width}x{part.height}")


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
        for number, (source, target) in enumerate(zip(planes_of(fresh), planes, strict=True)):
            size = 2 if number else 1
            row, column = (part.top - top) // size, (part.left - left) // size
            target[...] = source[row : row + target.shape[0], column : column + target.shape[1]]


def yuv_converter(*, exact: bool) -> ToYuv:
    """The one that is `exact`, or else the fastest that works here."""
    try:
        return Swscale() if exact else Libyuv()
    except OSError:
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


def _loaded() -> Any:
    for name in _LIBRARIES:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise OSError("libyuv is not installed")
