"""Draws pages of text of any length into a pixmap of the X server."""

from __future__ import annotations

import random
from typing import Any, Final

from benchmarks.stimulus.screen import FullScreen

__all__ = ["LINE_HEIGHT", "PAPER", "TextPainter", "words"]

PAPER: Final = 0xFCFCF8
LINE_HEIGHT: Final = 18

_INK: Final = 0x202028
_RULE: Final = 0xB0B8C8
_MARGIN: Final = 60
_LINES_A_PARAGRAPH: Final = 7
_SYLLABLES: Final = (
    "ca",
    "re",
    "mo",
    "lin",
    "dos",
    "ta",
    "ver",
    "sel",
    "na",
    "ro",
    "pi",
    "tu",
    "lan",
    "es",
    "gor",
    "mi",
)


def words(seed: int, count: int) -> str:
    """Return `count` made-up words."""
    chance = random.Random(seed)
    return " ".join("".join(chance.choices(_SYLLABLES, k=chance.randint(1, 4))) for _ in range(count))


class TextPainter:
    """Draws in the font that every X server has."""

    def __init__(self, screen: FullScreen) -> None:
        self._painter = screen.root.create_gc(
            foreground=_INK, background=PAPER, font=screen.display.open_font("fixed"), graphics_exposures=False
        )

    def line(self, canvas: Any, left: int, baseline: int, text: str) -> None:
        """Draw `text` on its background."""
        canvas.image_text(self._painter, left, baseline, text[:255].encode("ascii"))

    def block(self, canvas: Any, left: int, top: int, width: int, height: int, colour: int) -> None:
        """Fill a rectangle."""
        self._painter.change(foreground=colour)
        canvas.fill_rectangle(self._painter, left, top, width, height)
        self._painter.change(foreground=_INK)

    def page(self, canvas: Any, width: int, height: int) -> None:
        """Fill the canvas with paragraphs, each under a heading rule."""
        self.block(canvas, 0, 0, width, height, PAPER)
        letters = (width - 2 * _MARGIN) // 6
        for row, baseline in enumerate(range(_MARGIN, height - LINE_HEIGHT, LINE_HEIGHT)):
            place = row % (_LINES_A_PARAGRAPH + 2)
            if place == 0:
                self.block(canvas, _MARGIN, baseline, width // 3, 4, _RULE)
            elif place <= _LINES_A_PARAGRAPH:
                self.line(canvas, _MARGIN, baseline, words(row, letters // 4)[:letters])
