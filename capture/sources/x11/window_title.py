"""The title of an X11 window, whatever its program wrote there."""

from __future__ import annotations

from typing import Any, Final

from Xlib import X, Xatom
from Xlib.display import Display

from capture.sources.x11.compound_text import decoded

__all__ = ["title_of"]

#: The first is in UTF-8; the second is from before Unicode, and says what it is in.
_PROPERTIES: Final = ("_NET_WM_NAME", "WM_NAME")


def title_of(window: Any, display: Display) -> str:
    """Return the window's title, "" if it has none. Broken letters become U+FFFD, and control codes spaces.

    Raises `Xlib.error.XError` when the window is gone.
    """
    for name in _PROPERTIES:
        found = window.get_full_property(display.get_atom(name), X.AnyPropertyType)
        if found is not None and found.format == 8 and (title := _text(bytes(found.value), found, display)):
            return title
    return ""


def _text(value: bytes, found: Any, display: Display) -> str:
    if found.property_type == Xatom.STRING:
        text = value.decode("latin-1")
    elif found.property_type == display.get_atom("COMPOUND_TEXT"):
        text = decoded(value)
    else:
        text = value.decode(errors="replace")
    # A zero ends it, as in most programs that show titles.
    return "".join(" " if ord(char) < 32 or 127 <= ord(char) < 160 else char for char in text.partition("\0")[0])
