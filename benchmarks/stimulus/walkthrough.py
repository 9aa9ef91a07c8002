"""Shows a typical screen recording: typing, scrolling and moving a window, while a quiet voice plays.

Usage: python -m benchmarks.stimulus.walkthrough [--seconds S] [--fps 30] [--typing]

Text is typed at a blinking caret, the page next to it scrolls every two seconds, and a window is dragged for one second
in six; with `--typing`, nothing scrolls or is dragged. Only changes are painted, so a recorder that tracks changes can
save work.
"""

from __future__ import annotations

import math
from typing import Final

from benchmarks.stimulus import rate_parser
from benchmarks.stimulus.page import LINE_HEIGHT, PAPER, TextPainter, words
from benchmarks.stimulus.screen import FullScreen
from benchmarks.stimulus.voice import show_with_voice
from capture.media import Rectangle

_LETTERS_PER_S: Final = 8
_LETTERS_A_LINE: Final = 90
_LETTER_WIDTH: Final = 6
_CARET_S: Final = 0.5
_SCROLL_EVERY_S, _SCROLL_LASTS_S, _SCROLL_ROWS = 2.0, 0.3, 10 * LINE_HEIGHT
_DRAG_EVERY_S, _DRAG_LASTS_S, _DRAG_REACH = 6.0, 1.0, 300
_BACKGROUND, _FRAME = 0x30506C, 0x8090A0


class Walkthrough:
    """The scene at any moment.

    One pixmap holds everything behind the dragged window, another the finished picture from which the screen is
    painted.
    """

    def __init__(self, screen: FullScreen, *, only_typing: bool = False) -> None:
        self._screen = screen
        self._only_typing = only_typing
        self._painter = TextPainter(screen)
        width, height = screen.width, screen.height
        self._page = Rectangle(0, 0, width * 5 // 8, height)
        self._editor = Rectangle(self._page.width + 20, height // 3, width - self._page.width - 40, height // 2)
        self._typed = words(7, 2000)
        self._long_page_height = 3 * height
        self._long_page = screen.pixmap(self._page.width, self._long_page_height)
        self._behind = screen.pixmap(width, height)
        self._finished = screen.pixmap(width, height)
        self._dialog = screen.pixmap(width // 3, height // 3)
        self._dialog_at = Rectangle(width // 4, height // 8, width // 3, height // 3)
        self._scrolled, self._letters, self._caret = 0, 0, False
        self._copying = screen.root.create_gc(graphics_exposures=False)
        self._paint_all()

    def draw(self, elapsed_s: float) -> None:
        """Update the screen to `elapsed_s` seconds after the start."""
        moving_s = 0.0 if self._only_typing else elapsed_s
        self._scroll(_scrolled_rows(moving_s) % (self._long_page_height - self._page.height))
        self._type(int(elapsed_s * _LETTERS_PER_S), elapsed_s % (2 * _CARET_S) < _CARET_S)
        self._drag(_dragged_pixels(moving_s))
        self._screen.settle()

    def _paint_all(self) -> None:
        whole = Rectangle(0, 0, self._screen.width, self._screen.height)
        painter = self._painter
        painter.page(self._long_page, self._page.width, self._long_page_height)
        painter.block(self._behind, 0, 0, whole.width, whole.height, _BACKGROUND)
        editor, dialog = self._editor, self._dialog_at
        painter.block(self._behind, editor.left, editor.top, editor.width, editor.height, PAPER)
        painter.page(self._dialog, dialog.width, dialog.height)
        painter.block(self._dialog, 0, 0, dialog.width, 28, _FRAME)
        self._behind.copy_area(self._copying, self._long_page, 0, 0, self._page.width, self._page.height, 0, 0)
        self._show(whole)

    def _scroll(self, rows: int) -> None:
        if rows == self._scrolled:
            return
        self._scrolled = rows
        page = self._page
        self._behind.copy_area(self._copying, self._long_page, 0, rows, page.width, page.height, 0, 0)
        self._show(page)

    def _type(self, letters: int, caret: bool) -> None:
        if letters == self._letters and caret == self._caret:
            return
        self._letters, self._caret = letters, caret
        line, column = divmod(letters, _LETTERS_A_LINE)
        lines = (self._editor.height - LINE_HEIGHT) // LINE_HEIGHT
        left, baseline = self._editor.left + 20, self._editor.top + LINE_HEIGHT * (1 + line % lines)
        begin = line * _LETTERS_A_LINE % (len(self._typed) - _LETTERS_A_LINE)
        text = self._typed[begin : begin + column] + ("_" if caret else " ")
        self._painter.line(self._behind, left, baseline, text.ljust(_LETTERS_A_LINE + 1))
        # A text editor redraws only the line.
        self._show(Rectangle(left, baseline - LINE_HEIGHT, (_LETTERS_A_LINE + 1) * _LETTER_WIDTH, LINE_HEIGHT + 6))

    def _drag(self, pixels: int) -> None:
        before = self._dialog_at
        now = Rectangle(self._screen.width // 4 + pixels, before.top, before.width, before.height)
        if now == before:
            return
        self._dialog_at = now
        left = min(before.left, now.left)
        self._show(Rectangle(left, now.top, max(before.right, now.right) - left, now.height))

    def _show(self, part: Rectangle) -> None:
        """Show `part` of the scene; it is finished off-screen first, so that no grab sees it half painted."""
        source = (part.left, part.top, part.width, part.height)
        self._finished.copy_area(self._copying, self._behind, *source, part.left, part.top)
        if self._dialog_at.intersects(part):
            dialog = self._dialog_at
            self._finished.copy_area(
                self._copying, self._dialog, 0, 0, dialog.width, dialog.height, dialog.left, dialog.top
            )
        self._screen.copy(self._finished, part, part.left, part.top)


def _scrolled_rows(elapsed_s: float) -> int:
    turns, within_s = divmod(elapsed_s, _SCROLL_EVERY_S)
    return round((turns + min(1.0, within_s / _SCROLL_LASTS_S) - 1) * _SCROLL_ROWS) if turns else 0


def _dragged_pixels(elapsed_s: float) -> int:
    """Return the window's offset: to the side and back within a second, every six seconds, the first after three."""
    within_s = (elapsed_s + _DRAG_EVERY_S / 2) % _DRAG_EVERY_S
    return round(_DRAG_REACH * math.sin(math.pi * within_s / _DRAG_LASTS_S) ** 2) if within_s < _DRAG_LASTS_S else 0


def main() -> None:
    parser = rate_parser(__doc__)
    parser.add_argument("--typing", action="store_true", help="neither scroll nor drag")
    options = parser.parse_args()
    with FullScreen() as screen:
        show_with_voice(Walkthrough(screen, only_typing=options.typing).draw, options.fps, options.seconds)


if __name__ == "__main__":
    main()
