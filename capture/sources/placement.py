"""Where a part of a desktop lies in a picture whose size never changes, whatever becomes of part and desktop."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av.video.reformatter import Interpolation

from capture.media import Pixels, Rectangle

__all__ = ["Placement", "black", "fitted"]


@dataclass(frozen=True, slots=True)
class Placement:
    """`area` of a desktop that is `bounds`, in the middle of a picture of `width` x `height`.

    Where it is too large it is made smaller; what of it is not on the desktop is black, all where it is None.
    """

    width: int
    height: int
    area: Rectangle | None
    bounds: Rectangle

    @property
    def seen(self) -> Rectangle | None:
        """What of the area is on the desktop."""
        return None if self.area is None else self.area.clipped(self.bounds)

    @property
    def is_scaled(self) -> bool:
        return self.area is not None and (self.area.width > self.width or self.area.height > self.height)

    def __str__(self) -> str:
        """What of the desktop is in the picture, for people."""
        seen, size = self.seen, f"{self.width}x{self.height}"
        if self.area is None:
            return "what is recorded is on no screen any more: it is black until it is back"
        if seen is None:
            return f"the screen is {self.bounds} now, and nothing of {self.area} is on it: it is black until it is back"
        if seen != self.area:
            return f"the screen is {self.bounds} now: of {self.area} only {seen} is on it, the rest is black"
        if self.is_scaled:
            return f"the screen is {self.area} now, made smaller to fit into {size}"
        if (self.area.width, self.area.height) != (self.width, self.height):
            return f"the screen is {self.area} now, in the middle of {size}"
        return f"the screen is {self.area} now"

    def shows_as(self, other: Placement) -> bool:
        """Whether the same part of the same area is in the picture."""
        return (self.area, self.seen) == (other.area, other.seen)

    def corner(self, part: Rectangle) -> tuple[int, int]:
        """Column and row in the picture where a part of the area lies that is not made smaller."""
        assert self.area is not None  # noqa: S101 - it has parts
        margin_x, margin_y = (self.width - self.area.width) // 2, (self.height - self.area.height) // 2
        return margin_x + part.left - self.area.left, margin_y + part.top - self.area.top

    def in_pairs(self, part: Rectangle) -> Rectangle | None:
        """`part` of an area that is not made smaller, with as little around it as makes its place in the picture even.

        None where not all of that is on the desktop.
        """
        assert self.seen is not None  # noqa: S101 - it has parts
        left, top = self.corner(part)
        width, height = part.width + left % 2, part.height + top % 2
        wider = Rectangle(part.left - left % 2, part.top - top % 2, width + width % 2, height + height % 2)
        return wider if self.seen.contains(wider) else None

    def part_at(self, place: Rectangle) -> Rectangle | None:
        """The other way round: the part of the area at a place of the picture; None where not all of that is such."""
        if self.area is None or self.seen is None or self.is_scaled:
            return None
        left, top = self.corner(self.area)
        part = Rectangle(self.area.left + place.left - left, self.area.top + place.top - top, place.width, place.height)
        return part if self.seen.contains(part) else None

    def picture(self, pixels: Pixels | None) -> Pixels:
        """The whole picture, given what is on the desktop at `seen`."""
        seen = self.seen
        if pixels is None or seen is None or self.area is None:
            return black(self.width, self.height)
        if seen != self.area:
            whole = black(self.area.width, self.area.height)
            left, top = seen.left - self.area.left, seen.top - self.area.top
            whole[top : top + seen.height, left : left + seen.width] = pixels
            pixels = whole
        return fitted(pixels, self.width, self.height)


def fitted(picture: Pixels, width: int, height: int) -> Pixels:
    """`picture` in the middle of a black one of this size, made smaller where it does not fit."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(1.0, width / picture.shape[1], height / picture.shape[0])
    if scale < 1.0:
        wide, high = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "bgra")
        picture = np.asarray(frame.reformat(wide, high, interpolation=Interpolation.AREA).to_ndarray())
    left, top = (width - picture.shape[1]) // 2, (height - picture.shape[0]) // 2
    canvas = black(width, height)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def black(width: int, height: int) -> Pixels:
    return np.zeros((height, width, 4), np.uint8)
