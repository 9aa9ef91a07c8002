"""The contents of one window, whatever covers it, from the extension Composite."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, Self

from capture.media import Pixels, Rectangle

if TYPE_CHECKING:
    from capture.sources.x11.pixel_format import PixelFormat
    from capture.sources.x11.reader import X11Reader
    from capture.sources.x11.xcb import Connection, Extension

__all__ = ["WindowPixmap"]

#: Requests of Composite 0.2, the first version that gives a window's pixmap a name.
_QUERY_VERSION: Final = 0
_REDIRECT_WINDOW: Final = 1
_NAME_WINDOW_PIXMAP: Final = 6
_OLDEST: Final = (0, 2)

#: The server goes on showing the window by itself.
_AUTOMATIC: Final = 0

#: Core requests.
_GET_WINDOW_ATTRIBUTES: Final = 3
_GET_GEOMETRY: Final = 14
_FREE_PIXMAP: Final = 54


class WindowPixmap:
    """The pixmap into which the server draws a window of a `Connection`, on its thread. Make it with `of`.

    The server keeps one as long as the connection is open. It makes another one when the window is resized or shown
    again: then `renew`. The pixels of a translucent window are those on a black ground.
    """

    def __init__(self, connection: Connection, extension: Extension, window: int, layout: PixelFormat) -> None:
        self._connection = connection
        self._extension = extension
        self._window = window
        self._layout = layout
        self._pixmap: int | None = None
        self._border = 0
        connection.send(extension.request(_REDIRECT_WINDOW, struct.pack("=IB3x", window, _AUTOMATIC)))

    @classmethod
    def of(cls, connection: Connection, window: int) -> Self | None:
        """Return the pixmap of a window; None if the server keeps none, or if its pixels cannot be converted."""
        extension = connection.extension("Composite")
        if extension is None:
            return None
        version = connection.ask(extension.request(_QUERY_VERSION, struct.pack("=II", *_OLDEST)))
        if version is None or struct.unpack_from("=II", version, 8) < _OLDEST:
            return None
        attributes = connection.ask(struct.pack("=BxHI", _GET_WINDOW_ATTRIBUTES, 2, window))
        if attributes is None:
            return None
        layout = connection.formats.get(struct.unpack_from("=I", attributes, 8)[0])
        return cls(connection, extension, window, layout) if layout is not None and layout.is_readable else None

    def renew(self) -> Rectangle | None:
        """Take the window's current pixmap. Return what is in it, from the window's corner; None if it is hidden."""
        if self._pixmap is not None:
            self._connection.send(struct.pack("=BxHI", _FREE_PIXMAP, 2, self._pixmap))
        self._pixmap = pixmap = self._connection.new_id()
        self._connection.send(self._extension.request(_NAME_WINDOW_PIXMAP, struct.pack("=II", self._window, pixmap)))
        size, window = self._geometry(pixmap), self._geometry(self._window)
        if size is None or window is None:
            self._pixmap = None
            return None
        # The border of the window is in its pixmap.
        (_, _, width, height, _), (*_, self._border) = size, window
        return Rectangle(0, 0, max(0, width - 2 * self._border), max(0, height - 2 * self._border))

    def grab(self, reader: X11Reader, part: Rectangle) -> Pixels:
        """Return the pixels of a part of what `renew` returned: (height, width, 4). Raises `DisplayLostError`."""
        assert self._pixmap is not None  # noqa: S101 - there are parts of it
        inside = Rectangle(part.left + self._border, part.top + self._border, part.width, part.height)
        return reader.grab_from(self._pixmap, self._layout, inside)

    def _geometry(self, drawable: int) -> tuple[int, ...] | None:
        """Return left, top, width, height and border of a window or pixmap; None if it does not exist."""
        answer = self._connection.ask(struct.pack("=BxHI", _GET_GEOMETRY, 2, drawable))
        return None if answer is None else struct.unpack_from("=hhHHH", answer, 12)
