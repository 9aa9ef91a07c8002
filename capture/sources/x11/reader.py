"""Reads pixels and monitors of an X11 screen: in memory shared with the server, or else through the connection."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from capture.errors import DisplayLostError, NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.x11.monitors import Screen, monitors_of
from capture.sources.x11.shared_memory import SharedMemory

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from capture.sources.x11.pixel_format import PixelFormat
    from capture.sources.x11.xcb import Connection

__all__ = ["X11Reader"]

#: Core requests, and the length of the head of their replies.
_GET_GEOMETRY: Final = 14
_GET_IMAGE: Final = 73
_HEAD_BYTES: Final = 32

#: Pixels as stored, all their bits.
_Z_PIXMAP: Final = 2
_ALL_PLANES: Final = 0xFFFFFFFF

#: Extensions of which every X server has some, and shows none to a client that it does not trust.
_HIDDEN_FROM_UNTRUSTED: Final = ("RENDER", "XFIXES", "DAMAGE", "RANDR")


class X11Reader:
    """Reads the screen of a `Connection`, on its thread.

    Raises `NotReadyError` if its pixels are no colours, or may not be read.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        root = connection.root_format
        if not root.is_readable:
            raise NotReadyError(
                f"this display has {1 << root.depth} colours (depth {root.depth}), which cannot be recorded",
                "start it with a depth of 24, as in Xvfb :1 -screen 0 1280x720x24",
            )
        # Servers share no memory over a network.
        self._memory = SharedMemory.of(connection)
        if self._memory is None:
            self._require_pixels()

    def grab(self, area: Rectangle) -> Pixels:
        """Return the pixels of `area`, which must lie on the screen: (height, width, 4). Raises `DisplayLostError`."""
        return self.grab_from(self._connection.root, self._connection.root_format, area)

    def grab_from(self, drawable: int, layout: PixelFormat, area: Rectangle) -> Pixels:
        """As `grab`, of a window or pixmap with this format."""
        size_bytes = layout.size_bytes(area.width, area.height)
        if self._memory is not None:
            image = self._memory.read(drawable, area, size_bytes)
        else:
            image = self._read(drawable, area, size_bytes)
        return layout.pixels(image, area.width, area.height)

    def keep(self, area: Rectangle) -> Callable[[], Pixels] | None:
        """Read the pixels of `area` as `grab` does; return what makes an array of them. None without shared memory."""
        root = self._connection.root_format
        if self._memory is None:
            return None
        held = self._memory.keep(self._connection.root, area, root.size_bytes(area.width, area.height))
        return lambda: root.pixels(held.values(), area.width, area.height)

    @property
    def shares_memory(self) -> bool:
        """Whether the server shares memory, which it does not over a network."""
        return self._memory is not None

    def release(self, most_bytes: int | None = None) -> None:
        """Give back memory as `SharedMemory.release` does. Raises `DisplayLostError`."""
        if self._memory is not None:
            self._memory.release(most_bytes)

    def screens(self) -> list[Screen]:
        """Return the current monitors, in the server's order. Raises `DisplayLostError`."""
        found = monitors_of(self._connection)
        if found is not None:
            return found
        size = self._connection.ask(struct.pack("=BxHI", _GET_GEOMETRY, 2, self._connection.root))
        if size is None:
            return []
        return [Screen("1", "screen", Rectangle(0, 0, *struct.unpack_from("=HH", size, 16)), True)]

    def _read(self, drawable: int, area: Rectangle, size_bytes: int) -> npt.NDArray[np.uint8]:
        """As `SharedMemory.read`, through the connection."""
        where = struct.pack("=IhhHHI", drawable, area.left, area.top, area.width, area.height, _ALL_PLANES)
        image = self._connection.ask(struct.pack("=BBH", _GET_IMAGE, _Z_PIXMAP, 1 + len(where) // 4) + where)
        if image is None:
            raise DisplayLostError(f"the screen can no longer be read (there is no {area})")
        import numpy as np

        # A copy, because the cursor is drawn into it.
        return np.frombuffer(image, np.uint8, size_bytes, _HEAD_BYTES).copy()

    def _require_pixels(self) -> None:
        try:
            self.grab(Rectangle(0, 0, 1, 1))
        except DisplayLostError as error:
            if not any(map(self._connection.extension, _HIDDEN_FROM_UNTRUSTED)):
                raise NotReadyError(
                    "the X server does not trust this program, as after ssh -X, and shows it no screen",
                    "connect with ssh -Y",
                ) from error
            raise NotReadyError(
                "the X server does not let the screen be read", "log in to an X11 session, or use --screen none"
            ) from error
