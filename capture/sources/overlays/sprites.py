"""Small pictures to draw into frames: the cursor, a click ring, the keystroke strip."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from capture.media import Pixels, Rectangle

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Sprite", "coloured"]


@dataclass(frozen=True, slots=True)
class Sprite:
    """A picture with transparency and a hot spot, the point of it that lies where it is drawn.

    `picture` is uint16 (height, width, 4): blue, green, red, alpha, the colours already multiplied by alpha.
    """

    picture: npt.NDArray[np.uint16]
    hot_x: int = 0
    hot_y: int = 0

    def covered(self, x: int, y: int) -> Rectangle:
        """Return the rectangle the picture covers with its hot spot at column `x`, row `y`."""
        height, width = self.picture.shape[:2]
        return Rectangle(x - self.hot_x, y - self.hot_y, width, height)

    def draw(self, pixels: Pixels, x: int, y: int) -> None:
        """Blend the picture into `pixels` with its hot spot at column `x`, row `y`, clipped to `pixels`."""
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
        """Return the sprite with its opacity multiplied by `level`, 1 down to 0."""
        return Sprite((self.picture * level).astype(np.uint16), self.hot_x, self.hot_y)


def coloured(alpha: npt.NDArray[np.float32], colour: tuple[int, int, int]) -> npt.NDArray[np.float32]:
    """Return a picture of one colour (red, green, blue) in `Sprite`'s order; `alpha` is its opacity, 0 to 1."""
    red, green, blue = colour
    return alpha[..., np.newaxis] * np.array((blue, green, red, 255), np.float32)
