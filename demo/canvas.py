"""Draws smooth shapes and lettering into an array of pixels, off screen."""

from __future__ import annotations

from math import ceil, floor
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Canvas", "Colour", "Mask", "blend"]

#: Red, green and blue, 0–255.
Colour: TypeAlias = tuple[int, int, int]

#: How much of each pixel a shape covers, 0–1: an array (height, width).
Mask: TypeAlias = NDArray[np.float32]

#: An edge is blended over half a pixel on either side, which makes it look smooth.
EDGE: Final = 0.5


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour that is `share`, 0–1, of the way from `first` to `second`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


class Canvas:
    """A picture of `width` by `height` pixels to draw on. Drawing is clipped to it."""

    def __init__(self, width: int, height: int, top: Colour, bottom: Colour | None = None) -> None:
        """Fill the picture with `top`, or with a gradient from `top` to `bottom`."""
        self.width = width
        self.height = height
        shares = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
        first, last = np.array(top, np.float32), np.array(bottom or top, np.float32)
        self._pixels = np.repeat(first + (last - first) * shares, width, axis=1)

    def rounded(self, left: float, top: float, width: float, height: float, radius: float, colour: Colour) -> None:
        """Draw a rectangle with round corners; with a radius of half its side, a disc."""
        from_x, from_y = floor(left), floor(top)
        columns = np.arange(from_x, ceil(left + width)) + 0.5
        rows = np.arange(from_y, ceil(top + height)) + 0.5
        across = np.abs(columns - (left + width / 2))[None, :] - (width / 2 - radius)
        down = np.abs(rows - (top + height / 2))[:, None] - (height / 2 - radius)
        outside = np.hypot(np.maximum(across, 0), np.maximum(down, 0)) + np.minimum(np.maximum(across, down), 0)
        self.stamp(np.clip(EDGE - (outside - radius), 0.0, 1.0).astype(np.float32), from_x, from_y, colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour) -> None:
        """Draw a disc with its centre at `x`, `y`."""
        self.rounded(x - radius, y - radius, 2 * radius, 2 * radius, radius, colour)

    def stamp(self, mask: Mask, left: int, top: int, colour: Colour) -> None:
        """Paint `colour` through `mask`, placed with its top left corner at `left`, `top`."""
        here = self._pixels[max(0, top) : max(0, top + mask.shape[0]), max(0, left) : max(0, left + mask.shape[1])]
        part = mask[max(0, -top) :, max(0, -left) :][: here.shape[0], : here.shape[1], None]
        here += (np.array(colour, np.float32) - here) * part

    def bgrx(self) -> NDArray[np.uint8]:
        """Return the picture in the screen's format: uint8 (height, width, 4), blue, green, red and a zero."""
        image = np.zeros((self.height, self.width, 4), np.uint8)
        image[..., :3] = np.rint(self._pixels[..., ::-1])
        return image
