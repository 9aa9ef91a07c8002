"""Fits an area of a desktop into a picture of constant size, even as the area and the desktop change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from capture.errors import UsageError
from capture.events import EventKind
from capture.media import Pixels, Rectangle

__all__ = ["Placement", "black", "cropped_to_even", "fitted", "resized"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Places `area` of a desktop with these `bounds` in the middle of a picture of `width` x `height`.

    An area that is too large is scaled down. Whatever of it lies outside the desktop is black; everything is black if
    `area` is None.
    """

    width: int
    height: int
    area: Rectangle | None
    bounds: Rectangle

    @property
    def seen(self) -> Rectangle | None:
        """The part of the area that is on the desktop."""
        return None if self.area is None else self.area.intersection(self.bounds)

    @property
    def is_scaled(self) -> bool:
        return self.area is not None and (self.area.width > self.width or self.area.height > self.height)

    @property
    def is_filled_as_it_is(self) -> bool:
        """Whether the picture is the area, pixel for pixel, and all of that is on the desktop."""
        is_same_size = self.area is not None and (self.area.width, self.area.height) == (self.width, self.height)
        return is_same_size and self.seen == self.area

    def __str__(self) -> str:
        """A message for users: which part of the desktop is in the picture."""
        seen, size = self.seen, f"{self.width}x{self.height}"
        if self.area is None:
            return "the recorded area is on no screen: the picture is black until it is back"
        if seen is None:
            return f"the screen is now {self.bounds}, without {self.area}: the picture is black until it is back"
        if seen != self.area:
            return f"the screen is now {self.bounds}: only {seen} of {self.area} is on it, the rest is black"
        if self.is_scaled:
            return f"the screen is now {self.area}, scaled down to fit {size}"
        if (self.area.width, self.area.height) != (self.width, self.height):
            return f"the screen is now {self.area}, centred in {size}"
        return f"the screen is now {self.area}"

    def shows_as(self, other: Placement) -> bool:
        """Whether both placements show the same part of the same area."""
        return (self.area, self.seen) == (other.area, other.seen)

    def corner(self, part: Rectangle) -> tuple[int, int]:
        """Return the column and row of `part` of the area in the picture. The area must not be scaled."""
        assert self.area is not None  # noqa: S101 - it has parts
        margin_x, margin_y = (self.width - self.area.width) // 2, (self.height - self.area.height) // 2
        return margin_x + part.left - self.area.left, margin_y + part.top - self.area.top

    def evened(self, part: Rectangle) -> Rectangle | None:
        """Return `part`, grown just enough to have even sides and an even place in the picture.

        The area must not be scaled. Returns None if the grown part is not all on the desktop.
        """
        assert self.seen is not None  # noqa: S101 - it has parts
        left, top = self.corner(part)
        width, height = part.width + left % 2, part.height + top % 2
        wider = Rectangle(part.left - left % 2, part.top - top % 2, width + width % 2, height + height % 2)
        return wider if self.seen.contains(wider) else None

    def part_at(self, place: Rectangle) -> Rectangle | None:
        """Return the part of the area at `place` of the picture; None if it is not all on the desktop, or scaled."""
        if self.area is None or self.seen is None or self.is_scaled:
            return None
        left, top = self.corner(self.area)
        part = Rectangle(self.area.left + place.left - left, self.area.top + place.top - top, place.width, place.height)
        return part if self.seen.contains(part) else None

    def picture(self, pixels: Pixels | None) -> Pixels:
        """Return the whole picture: uint8 (height, width, 4). `pixels` are those of `seen`; None makes it black."""
        seen = self.seen
        if pixels is None or seen is None or self.area is None:
            return black(self.width, self.height)
        if seen != self.area:
            whole = black(self.area.width, self.area.height)
            left, top = seen.left - self.area.left, seen.top - self.area.top
            whole[top : top + seen.height, left : left + seen.width] = pixels
            pixels = whole
        return fitted(pixels, self.width, self.height)


def cropped_to_even(area: Rectangle, what: str, report: Callable[[EventKind, str], None]) -> Rectangle:
    """Return the area of `what` with even sides; what that costs goes to `report`.

    Raises `UsageError` if nothing is left.
    """
    even = area.trimmed_to_even()
    if not even.width or not even.height:
        raise UsageError(f"{what} has no area to record", "choose another one")
    if even != area:
        sizes = f"{area.width}x{area.height} cropped to {even.width}x{even.height}"
        report(EventKind.CROPPED, f"{sizes}: sizes must be even")
    return even


def fitted(picture: Pixels, width: int, height: int) -> Pixels:
    """Return `picture` in the middle of a black one of this size, scaled down if it does not fit."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(1.0, width / picture.shape[1], height / picture.shape[0])
    if scale < 1.0:
        wide, high = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        picture = resized(picture, wide, high)
    left, top = (width - picture.shape[1]) // 2, (height - picture.shape[0]) // 2
    canvas = black(width, height)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def resized(picture: Pixels, width: int, height: int) -> Pixels:
    """Return `picture` in this size, smooth where it shrinks or grows."""
    # Imported here: few pictures are scaled, and a screen can be opened before FFmpeg is loaded.
    import av
    import numpy as np
    from av.video.reformatter import Interpolation

    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "bgra")
    return np.asarray(frame.reformat(width, height, interpolation=Interpolation.AREA).to_ndarray())


def black(width: int, height: int) -> Pixels:
    import numpy as np

    return np.zeros((height, width, 4), np.uint8)
