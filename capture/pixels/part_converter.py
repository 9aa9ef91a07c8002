"""Converts changed parts of a picture from BGRX to YUV 4:2:0.

One thread uses the `PartConverter`. It may be another one than that of the `YuvPicture` that takes the parts: that one
then converts the `PixelPart`s, also while the first converts another part. Converting releases the GIL.
"""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from capture.media import Pixels, Rectangle, Strips
from capture.pixels.frame_pool import FramePool
from capture.pixels.macroblocks import Planes, cut, planes_of
from capture.pixels.picture import YuvPicture
from capture.pixels.yuv import ToYuv, reformatted
from capture.pixels.yuv_part import LARGEST_COMPARED, YuvPart

__all__ = ["PartConverter", "PixelPart"]


class PixelPart:
    """A part that the encoder's thread converts, because it waits for it.

    The samples are then in the cache of its processor: x264 takes 4 % less time than for those of another thread.
    """

    def __init__(self, parts: PartConverter, pixels: Pixels, left: int, top: int) -> None:
        self._parts = parts
        self._pixels: Pixels | None = pixels
        self._left, self._top = left, top

    def converted(self) -> YuvPart:
        """Convert the part, once; its memory is given back to the source."""
        pixels, self._pixels = self._pixels, None
        assert pixels is not None  # noqa: S101
        return self._parts.convert(pixels, self._left, self._top, in_place=True)


class PartConverter:
    """Converts pictures of `width` x `height`, both even, or parts of them; scales them to `size` if that differs.

    Large parts are written into pictures from `pool`, which has that size, or into the current one, of `picture`.
    """

    def __init__(
        self,
        width: int,
        height: int,
        size: tuple[int, int],
        to_yuv: ToYuv,
        pool: FramePool,
        picture: YuvPicture,
    ) -> None:
        self._whole = Rectangle(0, 0, width, height)
        self._size = size
        self._to_yuv = to_yuv
        self._pool = pool
        self._picture = picture
        self._scaler = VideoReformatter() if size != (width, height) else None
        self._keeps_pixels = self._scaler is not None or to_yuv.reads_around
        self._pixels: Pixels

    def grabbed(self, pixels: Pixels, left: int, top: int, *, is_awaited: bool) -> YuvPart | PixelPart:
        """As `convert`, or leave that to the thread of the picture if it waits for this part."""
        # With a kept picture, the next part could be converted before this one.
        if is_awaited and not self._keeps_pixels:
            return PixelPart(self, pixels, left, top)
        return self.convert(pixels, left, top, in_place=is_awaited)

    def convert(self, pixels: Pixels, left: int, top: int, *, in_place: bool) -> YuvPart:
        """Convert `pixels`, uint8 (height, width, 4), at column `left` and row `top`.

        The first call needs a whole picture; position and size of a part must be even. The converter may keep the array
        of a whole picture and write later parts into it. With `in_place`, the picture may be changed now: every part so
        far was put into it, and nothing uses it until this one is. Raises `ValueError` for odd values.
        """
        part = _even(Rectangle(left, top, pixels.shape[1], pixels.shape[0]))
        if self._keeps_pixels:
            if part == self._whole:
                # A source keeps its own picture and gives it away read-only.
                self._pixels = pixels if pixels.flags.writeable else pixels.copy()
            else:
                self._kept(part)[...] = pixels
            return self._of_kept(part, in_place)
        planes, frame = self._room_for(part, in_place)
        self._to_yuv.convert(pixels, Rectangle(0, 0, part.width, part.height), planes)
        return YuvPart(planes, part, frame)

    def convert_strips(self, strips: Strips, left: int, top: int, *, in_place: bool) -> YuvPart | None:
        """As `convert`, of what is yet to be read; None if the strips turn out not to belong together.

        What is written in place is then wrong until that part is converted again: see `YuvPicture.is_ahead`.
        """
        part = _even(Rectangle(left, top, strips.width, strips.height))
        if self._keeps_pixels:
            if part == self._whole:
                self._pixels = np.empty((part.height, part.width, 4), np.uint8)
            kept = self._kept(part)

            def keep(pixels: Pixels, row: int) -> None:
                kept[row : row + len(pixels)] = pixels

            return self._of_kept(part, in_place) if strips.read(keep) else None
        planes, frame = self._room_for(part, in_place)

        def put(pixels: Pixels, row: int) -> None:
            strip = Rectangle(0, 0, part.width, len(pixels))
            self._to_yuv.convert(pixels, strip, cut(planes, strip.moved(0, row)))

        if strips.read(put):
            return YuvPart(planes, part, frame)
        if frame is not None and not (in_place and self._picture.is_ahead):
            self._pool.give_back(frame)
        return None

    def _kept(self, part: Rectangle) -> Pixels:
        return self._pixels[part.top : part.bottom, part.left : part.right]

    def _of_kept(self, part: Rectangle, in_place: bool) -> YuvPart:
        if self._scaler is not None:
            scaled = reformatted(self._scaler, self._pixels, self._size)
            return YuvPart(planes_of(scaled), Rectangle(0, 0, *self._size), scaled)
        planes, frame = self._room_for(part, in_place)
        self._to_yuv.convert(self._pixels, part, planes)
        return YuvPart(planes, part, frame)

    def _room_for(self, part: Rectangle, in_place: bool) -> tuple[Planes, av.VideoFrame | None]:
        if part != self._whole and part.width * part.height <= LARGEST_COMPARED:
            return [np.empty((part.height // size, part.width // size), np.uint8) for size in (1, 2, 2)], None
        frame = (self._picture.write_ahead() if in_place else None) or self._pool.take()
        return cut(planes_of(frame), part), frame

    def close(self) -> None:
        """Release the kept picture; the next one has to be whole."""
        self._pixels = np.empty((0, 0, 4), np.uint8)


def _even(part: Rectangle) -> Rectangle:
    if any(value % 2 for value in (part.left, part.top, part.right, part.bottom)):
        raise ValueError(f"YUV 4:2:0 needs an even position and size, not {part}")
    return part
