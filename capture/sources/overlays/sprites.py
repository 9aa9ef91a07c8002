"""Small pictures that are drawn into recorded ones: the cursor, the ring of a click, the strip of keys."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from capture.media import Pixels, Rectangle

__all__ = ["Sprite", "coloured"]


@dataclass(frozen=True, slots=True)
class Sprite:
    """A picture with holes, and the point of it that is put where it is drawn: its hot spot.

    `picture` is uint16 (height, width, 4), blue-green-red-alpha, colours multiplied by alpha already.
    """

    picture: npt.NDArray[np.uint16]
    hot_x: int = 0
    hot_y: int = 0

    def covered(self, x: int, y: int) -> Rectangle:
        """What the picture covers with its hot spot at column `x`, row `y`."""
        height, width = self.picture.shape[:2]
        return Rectangle(x - self.hot_x, y - self.hot_y, width, height)

    def draw(self, pixels: Pixels, x: int, y: int) -> None:
        """Blend it into `pixels` with its hot spot at column `x`, row `y`; parts outside are left out."""
        left, top = x - self.hot_x, y - self.hot_y
        height, width = self.picture.shape[:2]
        x0, y0 = max(0, left), max(0, top)
        x1, y1 = min(pixels.shape[1], left + width), min(pixels.shape[0], top + height)
        if x0 >= x1 or y0 >= y1:
            return
        over = self.picture[y0 - top : y1 - top, x0 - left : x1 - left]
        under = pixels[y0:y1, x0:x1]
        see_through = 255 - over[..., 3:]
        under[...] = (over + under * see_through // 255).astype(np.uint8)

    def faded(self, level: float) -> Sprite:
        """The same with that much of it left, from 1 down to 0."""
        return Sprite((self.picture * level).astype(np.uint16), self.hot_x, self.hot_y)


def coloured(alpha: npt.NDArray[np.float32], colour: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """A picture of one colour, red-green-blue, that covers as much as `alpha` says, 0 to 1; as `Sprite` orders it."""
    red, green, blue = colour
    return alpha[..., np.newaxis] * np.array((blue, green, red, 255), np.float32)
