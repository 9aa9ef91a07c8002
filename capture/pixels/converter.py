"""Keeps a picture in YUV 4:2:0, and reports which macroblocks a new part changes.

A picture is converted in two steps, so that the thread that grabs it can do the first one, and what waits for the
encoder's thread takes less than half of the memory. Not thread-safe.
"""

from __future__ import annotations

from typing import Final

import av

from capture.media import Pixels, Rectangle
from capture.pixels.frame_pool import FramePool
from capture.pixels.macroblocks import cut, differing, planes_of
from capture.pixels.part_converter import LARGEST_COMPARED, PartConverter, YuvPart
from capture.pixels.yuv import ToYuv

__all__ = ["MOST_CHANGED", "Converter", "YuvPicture"]

#: Most macroblocks that are reported as changed.
MOST_CHANGED: Final = 24


class YuvPicture:
    """The current picture of `width` x `height`. With `in_place`, parts are written into it.

    Otherwise each part makes a new picture, for encoders that still need the last one. Pictures that are no longer
    needed go to `pool`.
    """

    def __init__(self, width: int, height: int, pool: FramePool, *, in_place: bool) -> None:
        self._whole = Rectangle(0, 0, width, height)
        self._pool = pool
        self._in_place = in_place
        self._frame: av.VideoFrame | None = None
        #: Addresses of the macroblocks in which the last picture differs from the one before; None if unknown or more
        #: than `MOST_CHANGED`.
        self.changed: list[int] | None = None

    def put(self, part: YuvPart) -> av.VideoFrame:
        """Return the picture with `part` in it. The first one must be whole."""
        self.changed = None
        before = self._frame
        if part.place == self._whole:
            assert part.frame is not None  # noqa: S101 - as of every large part, and every whole one
            self._frame = part.frame
            if before is not None:
                self._pool.give_back(before)
            return self._frame
        assert before is not None  # noqa: S101 - the first part is whole
        if not self._in_place:
            self._frame = av.VideoFrame(self._whole.width, self._whole.height, "yuv420p")
            for new, old in zip(planes_of(self._frame), planes_of(before), strict=True):
                new[...] = old
        assert self._frame is not None  # noqa: S101
        planes = cut(planes_of(self._frame), part.place)
        if planes[0].size <= LARGEST_COMPARED:
            place = part.place
            self.changed = differing(part.planes, planes, place.left, place.top, self._whole.width, MOST_CHANGED)
        for new, old in zip(part.planes, planes, strict=True):
            old[...] = new
        if part.frame is not None:
            self._pool.give_back(part.frame)
        return self._frame

    def close(self) -> None:
        """Release the pictures; the next one has to be whole."""
        self._frame = None
        self._pool.clear()


class Converter:
    """Both steps: keeps the last picture as YUV 4:2:0 and updates the parts that change.

    The input is `width` x `height`, both even; the output is scaled to `size`. With `in_place`, each conversion reuses
    the memory of the previous one, for encoders that no longer need a picture once they have encoded it. `parts` may be
    used from another thread.
    """

    def __init__(self, width: int, height: int, size: tuple[int, int], to_yuv: ToYuv, *, in_place: bool) -> None:
        # Scaling makes pictures of its own.
        pool = FramePool(*size, keeps=in_place and size == (width, height))
        self.parts = PartConverter(width, height, size, to_yuv, pool)
        self.picture = YuvPicture(*size, pool, in_place=in_place)

    @property
    def changed(self) -> list[int] | None:
        """As `YuvPicture.changed`."""
        return self.picture.changed

    def convert(self, pixels: Pixels, left: int, top: int) -> av.VideoFrame:
        """Put `pixels` at column `left` and row `top`, as of `PartConverter.convert`; return the whole picture."""
        return self.picture.put(self.parts.convert(pixels, left, top))
