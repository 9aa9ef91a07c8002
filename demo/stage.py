"""The demo's colours and the scale of its layout, which is designed for 1280×720 and fitted to any screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from demo.canvas import Canvas, Colour, Mask
from demo.lettering import Lettering, set_in_type
from demo.window import Picture, Window

__all__ = ["BRIGHT", "CARD", "DIM", "DUSK", "FAINT", "NIGHT", "RED", "TEAL", "VIOLET", "Stage"]

NIGHT: Final[Colour] = (11, 14, 23)
DUSK: Final[Colour] = (22, 30, 52)
CARD: Final[Colour] = (27, 36, 58)
FAINT: Final[Colour] = (54, 67, 99)
DIM: Final[Colour] = (122, 136, 168)
BRIGHT: Final[Colour] = (240, 244, 252)
RED: Final[Colour] = (248, 82, 82)
TEAL: Final[Colour] = (45, 212, 191)
VIOLET: Final[Colour] = (167, 139, 250)

DESIGN_WIDTH: Final = 1280
DESIGN_HEIGHT: Final = 720


class Stage:
    """Converts positions of the layout to positions in the window. Used by one thread."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._scale = min(window.width / DESIGN_WIDTH, window.height / DESIGN_HEIGHT)
        self._left = (window.width - DESIGN_WIDTH * self._scale) / 2
        self._top = (window.height - DESIGN_HEIGHT * self._scale) / 2

    def px(self, length: float) -> int:
        """Return a length of the layout in pixels, at least one."""
        return max(1, round(length * self._scale))

    def x(self, place: float) -> int:
        """Return a horizontal position of the layout in pixels."""
        return round(self._left + place * self._scale)

    def y(self, place: float) -> int:
        """Return a vertical position of the layout in pixels."""
        return round(self._top + place * self._scale)

    def card(self, canvas: Canvas, left: float, top: float, width: float, height: float) -> None:
        """Draw the background card of one part of the picture."""
        canvas.rounded(self.x(left), self.y(top), self.px(width), self.px(height), self.px(18), CARD)

    def letters(self, texts: Sequence[str], size: float, *, bold: bool = False) -> list[Mask]:
        """Return the texts as masks; the baseline is `size` below their top."""
        return set_in_type([Lettering(text, self.px(size), bold) for text in texts])

    def on_card(self, mask: Mask, colour: Colour, width: int = 0) -> Picture:
        """Return a picture of a mask in `colour` on a card. `width` is in pixels, by default that of the mask."""
        canvas = Canvas(width or mask.shape[1], mask.shape[0], CARD)
        canvas.stamp(mask, 0, 0, colour)
        return self.window.keep(canvas)
