"""Keeps a picture in YUV 4:2:0, and reports which macroblocks a new part changes."""

from __future__ import annotations

from typing import Final

import av

from capture.media import Rectangle
from capture.pixels.frame_pool import FramePool
from capture.pixels.macroblocks import cut, differing, planes_of
from capture.pixels.yuv_part import LARGEST_COMPARED, YuvPart

__all__ = ["MOST_CHANGED", "YuvPicture"]

#: Most macroblocks that are reported as changed.
MOST_CHANGED: Final = 24


class YuvPicture:
    """The current picture of `width` x `height`. With `in_place`, parts are written into it.

    Otherwise each part makes a new picture, for encoders that still need the last one. Pictures that are no longer
    needed go to `pool`. Use it from one thread.
    """

    def __init__(self, width: int, height: int, pool: FramePool, *, in_place: bool) -> None:
        self._whole = Rectangle(0, 0, width, height)
        self._pool = pool
        self._in_place = in_place
        self._frame: av.VideoFrame | None = None
        #: Addresses of the macroblocks in which the last picture differs from the one before; None if unknown or more
        #: than `MOST_CHANGED`.
        self.changed: list[int] | None = None
        #: Whether something was written into the current picture that was not `put`: perhaps only half of it.
        self.is_ahead = False

    def write_ahead(self) -> av.VideoFrame | None:
        """Return the current picture, if a part may be written into it before it is `put`; None without one.

        Another thread may call this, and write, while this one is known to wait.
        """
        self.is_ahead = self._in_place and self._frame is not None
        return self._frame if self.is_ahead else None

    def put(self, part: YuvPart) -> av.VideoFrame:
        """Return the picture with `part` in it. The first one must be whole."""
        self.changed, self.is_ahead = None, False
        before = self._frame
        if before is not None and part.frame is before:
            return before
        if part.place == self._whole:
            assert part.frame is not None  # noqa: S101 - as of every large part, and every whole one
            self._frame = part.frame
            if before is not None:
                self._pool.give_back(before)
            return self._frame
        assert before is not None  # noqa: S101 - the first part is whole
        self._frame = before if self._in_place else self._copy_of(before)
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

    def _copy_of(self, frame: av.VideoFrame) -> av.VideoFrame:
        made = av.VideoFrame(self._whole.width, self._whole.height, "yuv420p")
        for new, old in zip(planes_of(made), planes_of(frame), strict=True):
            new[...] = old
        return made
