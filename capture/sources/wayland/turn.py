"""Turns what lies in the buffer of a rotated or mirrored output upright."""

from __future__ import annotations

from typing import Final, NamedTuple

from capture.media import Pixels, Rectangle

__all__ = ["Turn"]

#: `wl_output.transform`: how many quarter turns, and a bit for mirrored.
_QUARTERS: Final = 3
_MIRRORED: Final = 4


class Turn(NamedTuple):
    """How a picture of `width` x `height`, both of the buffer, has to be turned; `transform` is that of its output."""

    width: int = 0
    height: int = 0
    transform: int = 0

    @property
    def bounds(self) -> Rectangle:
        """The upright picture."""
        sideways = self.transform % 2
        return Rectangle(0, 0, *((self.height, self.width) if sideways else (self.width, self.height)))

    def upright(self, pixels: Pixels) -> Pixels:
        """Return pixels of the buffer upright, in the same memory if they are already."""
        if not self.transform:
            return pixels
        # Imported here: screens are opened before numpy is loaded.
        import numpy as np

        pixels = np.rot90(pixels, self._turns_left)
        return np.ascontiguousarray(pixels[:, ::-1] if self.transform & _MIRRORED else pixels)

    def placed(self, part: Rectangle) -> Rectangle:
        """Return where a part of the buffer is in the upright picture."""
        width, height = self.width, self.height
        for _ in range(self._turns_left):
            part = Rectangle(part.top, width - part.right, part.height, part.width)
            width, height = height, width
        return self._mirrored(part, width)

    def origin(self, part: Rectangle) -> Rectangle:
        """Return where a part of the upright picture is in the buffer."""
        width, height = self.bounds.width, self.bounds.height
        part = self._mirrored(part, width)
        for _ in range(self._turns_left):
            part = Rectangle(height - part.bottom, part.left, part.height, part.width)
            width, height = height, width
        return part

    @property
    def _turns_left(self) -> int:
        # The compositor has turned the picture to the left, or, as seen in a mirror, to the right.
        return -(self.transform & _QUARTERS) % 4

    def _mirrored(self, part: Rectangle, width: int) -> Rectangle:
        if not self.transform & _MIRRORED:
            return part
        return Rectangle(width - part.right, part.top, part.width, part.height)
