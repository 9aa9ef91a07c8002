"""Converts changed parts of a picture from BGRX to YUV 4:2:0, and keeps the picture.

That is done in two steps, so that the thread that grabs a picture can do the first one, and what waits for the thread
that encodes takes less than half of the memory.
"""

from __future__ import annotations

import av

from capture.media import Pixels
from capture.pixels.frame_pool import FramePool
from capture.pixels.part_converter import PartConverter
from capture.pixels.picture import YuvPicture
from capture.pixels.yuv import ToYuv

__all__ = ["Converter"]


class Converter:
    """Both steps: keeps the last picture as YUV 4:2:0 and updates the parts that change.

    The input is `width` x `height`, both even; the output is scaled to `size`. With `in_place`, each conversion reuses
    the memory of the previous one, for encoders that no longer need a picture once they have encoded it. Not
    thread-safe, but `parts` may be used on one thread and `picture` on another.
    """

    def __init__(self, width: int, height: int, size: tuple[int, int], to_yuv: ToYuv, *, in_place: bool) -> None:
        # Scaling makes pictures of its own.
        pool = FramePool(*size, keeps=in_place and size == (width, height))
        self.picture = YuvPicture(*size, pool, in_place=in_place)
        self.parts = PartConverter(width, height, size, to_yuv, pool, self.picture)

    @property
    def changed(self) -> list[int] | None:
        """As `YuvPicture.changed`."""
        return self.picture.changed

    def convert(self, pixels: Pixels, left: int, top: int) -> av.VideoFrame:
        """Put `pixels` at column `left` and row `top`, as of `PartConverter.convert`; return the whole picture."""
        return self.picture.put(self.parts.convert(pixels, left, top, in_place=True))
