"""Where a window is on the screen, and how much of it is the shadow that its program draws around it."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from Xlib import Xatom
from Xlib.display import Display

from capture.media import Rectangle

__all__ = ["SHADOW_PROPERTY", "Shadow", "place_of", "shadow_of"]

#: The property in which a program that draws its own frame says how wide the shadow around it is. GTK introduced it,
#: and window managers and other toolkits follow.
SHADOW_PROPERTY: Final = "_GTK_FRAME_EXTENTS"


class Shadow(NamedTuple):
    """The widths of a shadow, in the order of the property."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    def cut_from(self, window: Rectangle) -> Rectangle:
        """Return the window without its shadow, or the whole window if nothing would be left."""
        width, height = window.width - self.left - self.right, window.height - self.top - self.bottom
        if width <= 0 or height <= 0:
            return window
        return Rectangle(window.left + self.left, window.top + self.top, width, height)


def place_of(window: Any, root: Any) -> Rectangle:
    """Return the window's place on the screen, without its border. Raises `Xlib.error.XError` when it is gone."""
    size, place = window.get_geometry(), window.translate_coords(root, 0, 0)
    # The translation is of the root's origin into the window.
    return Rectangle(-place.x, -place.y, size.width, size.height)


def shadow_of(window: Any, display: Display) -> Shadow:
    """Return the window's shadow, 0 wide if it has none. Raises `Xlib.error.XError` when the window is gone."""
    found = window.get_full_property(display.get_atom(SHADOW_PROPERTY), Xatom.CARDINAL)
    if found is None or found.format != 32 or len(found.value) != 4:
        return Shadow()
    # Nothing is wider than X11's coordinates; sums of more would not fit into its requests.
    return Shadow(*(min(int(width), 1 << 15) for width in found.value))
