"""What is shown on an X11 screen and is in no recording: a line around an area, and windows that nothing handles."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from Xlib import X, error
from Xlib.display import Display
from Xlib.ext import shape

from capture.media import Rectangle
from capture.sources.x11.xlib import connect

__all__ = ["LastingOutline", "Outline", "make_window"]

#: Pixels; seen on any screen, and in nobody's way.
THICKNESS: Final = 3

#: Orange stands out from light and from dark.
COLOUR: Final = 0xFF7A00


class Outline:
    """Four thin windows, none in the area; invisible at first."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._shown: Rectangle | None = None
        self._sides = [make_window(display, Rectangle(0, 0, 1, 1), COLOUR) for _ in range(4)]

    def show(self, area: Rectangle | None) -> None:
        """Be around `area`, or with None nowhere; returns when it is."""
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
    """An outline with a connection of its own, shown until `close`, which may be called twice."""

    def __init__(self, area: Rectangle) -> None:
        """Raises `NotReadyError` where there is no X server."""
        self._display = connect()
        Outline(self._display).show(area)

    def close(self) -> None:
        # The server takes away what belonged to the connection.
        with suppress(OSError, error.ConnectionClosedError):
            self._display.close()


def make_window(display: Display, place: Rectangle, colour: int) -> Any:
    """A window that no window manager handles and no click hits, not shown yet."""
    window = display.screen().root.create_window(
        *(place.left, place.top, place.width, place.height, 0, X.CopyFromParent),
        background_pixel=colour,
        override_redirect=True,
        save_under=True,
    )
    if display.has_extension(shape.extname):
        # Clicks go to what is below.
        window.shape_rectangles(shape.SO.Set, shape.SK.Input, X.Unsorted, 0, 0, [])
    return window


def _around(area: Rectangle) -> list[Rectangle]:
    """The four sides, outside of the area."""
    left, top = area.left - THICKNESS, area.top - THICKNESS
    width = area.width + 2 * THICKNESS
    return [
        Rectangle(left, top, width, THICKNESS),
        Rectangle(left, area.bottom, width, THICKNESS),
        Rectangle(left, area.top, THICKNESS, area.height),
        Rectangle(area.right, area.top, THICKNESS, area.height),
    ]
