"""The cursor's picture as an X server sends it. It is converted when it is first drawn: numpy may not be loaded yet."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

from capture.media import Pixels, Rectangle

if TYPE_CHECKING:
    from capture.sources.overlays.sprites import Sprite

__all__ = ["NO_CURSOR", "CursorImage"]


class CursorImage:
    """A picture of `width` x `height` with a hot spot; `argb` has a word of this machine's byte order for each pixel.

    The colours are already multiplied by alpha. It may be longer than the picture.
    """

    def __init__(self, width: int, height: int, hot_x: int, hot_y: int, argb: bytes) -> None:
        self._width, self._height = width, height
        self._hot_x, self._hot_y = hot_x, hot_y
        self._argb = argb

    def covered(self, x: int, y: int) -> Rectangle:
        """Return the rectangle the picture covers with its hot spot at column `x`, row `y`."""
        return Rectangle(x - self._hot_x, y - self._hot_y, self._width, self._height)

    def draw(self, pixels: Pixels, x: int, y: int) -> None:
        """Blend the picture into `pixels` with its hot spot at column `x`, row `y`, clipped to `pixels`."""
        self._sprite.draw(pixels, x, y)

    @cached_property
    def _sprite(self) -> Sprite:
        import numpy as np

        from capture.sources.overlays.sprites import Sprite

        values = np.frombuffer(self._argb, "=u4", self._width * self._height).astype("<u4").view(np.uint8)
        picture = values.reshape(self._height, self._width, 4).astype(np.uint16)
        return Sprite(picture, self._hot_x, self._hot_y)


#: The cursor until the real one is known.
NO_CURSOR: Final = CursorImage(0, 0, 0, 0, b"")
