"""Draws the running clock on the screen, of X11 or of a Wayland desktop."""

from __future__ import annotations

import time

from benchmarks import clockface
from benchmarks.stimulus.screen import FullScreen
from benchmarks.stimulus.wayland_screen import WaylandScreen
from capture.media import Rectangle

__all__ = ["ClockStrip", "WaylandClockStrip"]

_WHITE, _BLACK = 0xFFFFFF, 0x000000


class ClockStrip:
    """Draws the clock's cells for the current moment."""

    def __init__(self, screen: FullScreen) -> None:
        first, last = clockface.cell(0), clockface.cell(clockface.CELLS - 1)
        self._screen = screen
        self._left, self._top = first.left, first.top
        self._width, self._height = last.right - first.left, first.height
        self._strip = screen.pixmap(self._width, self._height)
        self._painter = screen.root.create_gc(graphics_exposures=False)

    def tick(self) -> None:
        """Show the current moment, all cells at once."""
        self._painter.change(foreground=_BLACK)
        self._strip.fill_rectangle(self._painter, 0, 0, self._width, self._height)
        self._painter.change(foreground=_WHITE)
        white = clockface.cells_showing(time.monotonic())
        places = [clockface.cell(index) for index in range(clockface.CELLS) if white[index]]
        self._strip.poly_fill_rectangle(
            self._painter, [(place.left - self._left, 0, place.width, place.height) for place in places]
        )
        self._screen.copy(self._strip, Rectangle(0, 0, self._width, self._height), self._left, self._top)
        self._screen.display.flush()


class WaylandClockStrip:
    """Does the same on a Wayland desktop."""

    def __init__(self, screen: WaylandScreen) -> None:
        first, last = clockface.cell(0), clockface.cell(clockface.CELLS - 1)
        self._screen = screen
        self._strip = Rectangle(first.left, first.top, last.right - first.left, first.height)

    def tick(self) -> None:
        """Show the current moment, all cells at once."""
        self._screen.paint(self._strip, _BLACK)
        white = clockface.cells_showing(time.monotonic())
        for index in range(clockface.CELLS):
            if white[index]:
                self._screen.paint(clockface.cell(index), _WHITE)
        self._screen.post(self._strip)
