"""Draws on an X11 screen but not in the recording: an outline around an area, and windows that take no clicks."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from Xlib import X, error
from Xlib.display import Display
from Xlib.ext import shape

from capture.media import Rectangle
from capture.sources.x11.xlib import connect

__all__ = ["LastingOutline", "Outline", "make_window"]

#: Pixels: visible on any screen, and out of the way.
THICKNESS: Final = 3

#: Orange stands out on light and on dark.
COLOUR: Final = 0xFF7A00


class Outline:
    """An outline of four thin windows, all outside the area; hidden at first."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._shown: Rectangle | None = None
        self._sides = [make_window(display, Rectangle(0, 0, 1, 1), COLOUR) for _ in range(4)]

    def show(self, area: Rectangle | None) -> None:
        """Outline `area`, or hide if None; returns once that is on the screen."""
        if area == self._shown:
            return
        self._shown = area
        if area is None:
            for side in self._sides:
                side.unmap()
        else:
            for side, place in zip(self._sides, _around(area), strict=True):
                side.configure(x=place.left, y=place.top, width=place.width, height=place.height, stack_mode=X.Above)
                side.map()
        self._display.sync()

    def close(self) -> None:
        for side in self._sides:
            side.destroy()
        self._display.sync()


class LastingOutline:
    """An outline with its own connection, shown until `close`, which may be called twice."""

    def __init__(self, area: Rectangle) -> None:
        """Show the outline. Raises `NotReadyError` if there is no X server."""
        self._display = connect()
        Outline(self._display).show(area)

    def close(self) -> None:
        # The server removes the windows together with the connection.
        with suppress(OSError, error.ConnectionClosedError):
            self._display.close()


def make_window(display: Display, place: Rectangle, colour: int) -> Any:
    """Return a new hidden window that window managers ignore and clicks pass through."""
    window = display.screen().root.create_window(
        *(place.left, place.top, place.width, place.height, 0, X.CopyFromParent),
        background_pixel=colour,
        override_redirect=True,
        save_under=True,
    )
    if display.has_extension(shape.extname):
        # Clicks go to the window below.
        window.shape_rectangles(shape.SO.Set, shape.SK.Input, X.Unsorted, 0, 0, [])
    return window


def _around(area: Rectangle) -> list[Rectangle]:
    """Return the four sides, outside the area."""
    left, top = area.left - THICKNESS, area.top - THICKNESS
    width = area.width + 2 * THICKNESS
    return [
        Rectangle(left, top, width, THICKNESS),
        Rectangle(left, area.bottom, width, THICKNESS),
        Rectangle(left, area.top, THICKNESS, area.height),
        Rectangle(area.right, area.top, THICKNESS, area.height),
    ]
