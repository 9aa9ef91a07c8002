"""Keeps a picture in YUV 4:2:0, into which parts are put."""

from __future__ import annotations

import av

from capture.media import Rectangle
from capture.pixels.frame_pool import FramePool
from capture.pixels.macroblocks import cut, planes_of
from capture.pixels.yuv_part import YuvPart

__all__ = ["YuvPicture"]


class YuvPicture:
    """The current picture of `width` x `height`. With `in_place`, parts are written into it.

    Otherwise each part makes a new picture, for encoders that still need the last one. Pictures that are no longer
    needed go to `pool`. With `is_compared`, even large parts stay outside the picture until they are `put`. Use it from
    one thread.
    """

    def __init__(self, width: int, height: int, pool: FramePool, *, in_place: bool, is_compared: bool) -> None:
        self._whole = Rectangle(0, 0, width, height)
        self._pool = pool
        self._in_place = in_place
        self._is_compared = is_compared
        #: The current picture; None without one.
        self.frame: av.VideoFrame | None = None

    @property
    def writable(self) -> av.VideoFrame | None:
        """The current picture, if parts may be written into it before they are `put`; None without one.

        Another thread may do so while this one is known to wait.
        """
        return self.frame if self._in_place and not self._is_compared else None

    def put(self, part: YuvPart) -> av.VideoFrame:
        """Return the picture with `part` in it. The first one must be whole."""
        before = self.frame
        if before is not None and part.frame is before:
            return before
        if part.place == self._whole:
            assert part.frame is not None  # noqa: S101 - as of every large part, and every whole one
            self.frame = part.frame
            if before is not None:
                self._pool.give_back(before)
            return self.frame
        assert before is not None  # noqa: S101 - the first part is whole
        self.frame = before if self._in_place else self._copy_of(before)
        for new, old in zip(part.planes, cut(planes_of(self.frame), part.place), strict=True):
            old[...] = new
        if part.frame is not None:
            self._pool.give_back(part.frame)
        return self.frame

    def close(self) -> None:
        """Release the pictures; the next one has to be whole."""
        self.frame = None
        self._pool.clear()

    def _copy_of(self, frame: av.VideoFrame) -> av.VideoFrame:
        made = av.VideoFrame(self._whole.width, self._whole.height, "yuv420p")
        for new, old in zip(planes_of(made), planes_of(frame), strict=True):
            new[...] = old
        return made
