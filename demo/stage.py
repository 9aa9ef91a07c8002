"""The scale of the demo's picture and its colours: the layout is made for 1280×720 and fitted to any screen."""

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
    """Turns places of the layout into places of the window. Made and used by one thread."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._scale = min(window.width / DESIGN_WIDTH, window.height / DESIGN_HEIGHT)
        self._left = (window.width - DESIGN_WIDTH * self._scale) / 2
        self._top = (window.height - DESIGN_HEIGHT * self._scale) / 2

    def px(self, length: float) -> int:
        """A length of the layout in pixels, at least one."""
        return max(1, round(length * self._scale))

    def x(self, place: float) -> int:
        return round(self._left + place * self._scale)

    def y(self, place: float) -> int:
        return round(self._top + place * self._scale)

    def card(self, canvas: Canvas, left: float, top: float, width: float, height: float) -> None:
        """Draw the ground that a part of the picture stands on."""
        canvas.rounded(self.x(left), self.y(top), self.px(width), self.px(height), self.px(18), CARD)

    def letters(self, texts: Sequence[str], size: float, *, bold: bool = False) -> list[Mask]:
        """The texts as masks; the line that the letters stand on is `size` below their top."""
        return set_in_type([Lettering(text, self.px(size), bold) for text in texts])

    def on_card(self, mask: Mask, colour: Colour, width: int = 0) -> Picture:
        """A mask in `colour` on a card, ready to be shown; `width` in pixels where it shall differ from the mask's."""
        canvas = Canvas(width or mask.shape[1], mask.shape[0], CARD)
        canvas.stamp(mask, 0, 0, colour)
        return self.window.keep(canvas)
