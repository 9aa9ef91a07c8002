"""Tells whether an X server is Xwayland without a screen of its own, which puts windows on a Wayland desktop."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from capture.sources.x11.monitors import monitors_of

if TYPE_CHECKING:
    from capture.sources.x11.xcb import Connection

__all__ = ["is_rootless"]

#: The extension that tells clients about Xwayland, from 23.1 on, and the names of the outputs of older versions. Newer
#: outputs have the compositor's names.
_EXTENSION: Final = "XWAYLAND"

#: The core request for pixels, as stored, of all planes.
_GET_IMAGE: Final = 73
_Z_PIXMAP: Final = 2
_ALL_PLANES: Final = 0xFFFFFFFF


def is_rootless(connection: Connection) -> bool:
    """Whether this is a rootless Xwayland, whose screen is black whatever the desktop shows.

    One with a screen of its own, in a window of the desktop, can be recorded. Raises `DisplayLostError`.
    """
    # The root of a rootless server has no pixels. Only this request says so: MIT-SHM answers with zeros.
    where = struct.pack("=IhhHHI", connection.root, 0, 0, 1, 1, _ALL_PLANES)
    if connection.ask(struct.pack("=BBH", _GET_IMAGE, _Z_PIXMAP, 1 + len(where) // 4) + where) is not None:
        return False
    if connection.extension(_EXTENSION) is not None:
        return True
    return any(screen.name.startswith(_EXTENSION) for screen in monitors_of(connection) or ())
