"""Tells whether a compositor shows the cursor in its pictures of a window."""

from __future__ import annotations

import struct
from typing import Final

from capture.sources.wayland.desktop import Desktop, Interface

__all__ = ["shows_cursor"]

#: Requests of a seat, the managers, a source, a cursor's session and its session for pictures.
_GET_POINTER: Final = 0
_CREATE_SOURCE: Final = 0
_SOURCE_DESTROY: Final = 0
_CREATE_CURSOR_SESSION: Final = 1
_CURSOR_DESTROY: Final = 0
_CURSOR_GET_SESSION: Final = 1
_SESSION_DESTROY: Final = 1

#: The event of a seat with its capabilities, and the one that has a pointer.
_CAPABILITIES: Final = 0
_POINTER: Final = 1

#: The event of a session that gives no pictures.
_STOPPED: Final = 5


def shows_cursor(desktop: Desktop, window: int) -> bool:
    """Return whether pictures of the window with the number `window` can have the cursor. Raises `DisplayLostError`.

    The option of a capture that asks for the cursor cannot be refused. But the cursor can also be captured by itself,
    and a compositor that does not know it in a window ends that session at once, as wlroots 0.20 does.
    """
    connection = desktop.connection
    capabilities = 0
    is_stopped = False

    def on_seat(code: int, arguments: bytes) -> None:
        nonlocal capabilities
        if code == _CAPABILITIES:
            (capabilities,) = struct.unpack("=I", arguments)

    def on_session(code: int, arguments: bytes) -> None:
        nonlocal is_stopped
        is_stopped |= code == _STOPPED

    if desktop.offers(Interface.SEAT):
        seat = desktop.bound(Interface.SEAT, on_seat)
        connection.round_trip()
    if not capabilities & _POINTER:
        # There is no cursor.
        return True
    pointer = connection.new_id()
    connection.request(seat, _GET_POINTER, struct.pack("=I", pointer))
    sources, manager = desktop.bound(Interface.WINDOW_SOURCES), desktop.bound(Interface.IMAGE_COPY)
    source = connection.new_id()
    connection.request(sources, _CREATE_SOURCE, struct.pack("=II", source, window))
    cursor = connection.new_id()
    connection.request(manager, _CREATE_CURSOR_SESSION, struct.pack("=III", cursor, source, pointer))
    session = connection.new_id(on_session)
    connection.request(cursor, _CURSOR_GET_SESSION, struct.pack("=I", session))
    connection.round_trip()
    connection.destroy(session, _SESSION_DESTROY)
    connection.destroy(cursor, _CURSOR_DESTROY)
    connection.destroy(source, _SOURCE_DESTROY)
    return not is_stopped
