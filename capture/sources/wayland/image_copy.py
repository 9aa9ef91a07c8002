"""Asks the compositor for pictures of an output or a window, by ext-image-copy-capture.

The compositor says once, for a session, which size and format its pictures have, and again when that changes. It copies
a picture once something has changed since the last one of the session. The first one of a session comes at once.
"""

from __future__ import annotations

import struct
import time
from typing import Final

from capture.media import Rectangle
from capture.sources.wayland.desktop import Desktop, Interface
from capture.sources.wayland.pictures import Buffer, Buffers, Layout, Picture, readable_format

__all__ = ["ImageCopyCapture"]

#: Requests of the managers, a source, a session and a frame.
_CREATE_SOURCE: Final = 0
_SOURCE_DESTROY: Final = 0
_CREATE_SESSION: Final = 0
_CREATE_FRAME: Final = 0
_SESSION_DESTROY: Final = 1
_FRAME_DESTROY: Final = 0
_FRAME_ATTACH: Final = 1
_FRAME_DAMAGE_BUFFER: Final = 2
_FRAME_CAPTURE: Final = 3

#: Events of a session and a frame.
_SESSION_SIZE: Final = 0
_SESSION_FORMAT: Final = 1
_SESSION_DONE: Final = 4
_SESSION_STOPPED: Final = 5
_FRAME_TRANSFORM: Final = 0
_FRAME_DAMAGE: Final = 1
_FRAME_TIME: Final = 2
_FRAME_READY: Final = 3
_FRAME_FAILED: Final = 4

#: The option of a session whose pictures have the cursor in them.
_WITH_CURSOR: Final = 1

#: Why a frame failed: its buffer has not the size or format that the session has by now.
_OUTDATED: Final = 1


class ImageCopyCapture:
    """Captures `subject`, the number of an output or a window of a `Desktop`; see `Capture`.

    `sources` is what makes a source of it.
    """

    def __init__(self, desktop: Desktop, sources: Interface, subject: int, *, with_cursor: bool) -> None:
        self._connection = desktop.connection
        self._sources = desktop.bound(sources)
        self._manager = desktop.bound(Interface.IMAGE_COPY)
        self._subject = subject
        self._with_cursor = with_cursor
        self._buffers = Buffers(desktop.connection, desktop.bound(Interface.SHARED_MEMORY))
        self._session: _Session | None = None
        self._frame: _Frame | None = None
        self._picture: Picture | None = None
        self.is_asking = self.has_failed = False

    def ask(self, *, at_once: bool) -> None:
        self.has_failed = False
        self.is_asking = True
        if self._session is None or (at_once and self._session.has_begun):
            # Only the first picture of a session is sure to come at once.
            self._end_session()
            self._begin_session()
        else:
            self._capture(self._session)

    def take(self) -> Picture | None:
        picture, self._picture = self._picture, None
        return picture

    def release(self) -> None:
        self._buffers.release(None if self._frame is None else self._frame.buffer)

    def close(self) -> None:
        self.is_asking = False
        self._end_session()
        self._buffers.drop_all()

    def _begin_session(self) -> None:
        source = self._connection.new_id()
        self._connection.request(self._sources, _CREATE_SOURCE, struct.pack("=II", source, self._subject))
        session = self._session = _Session()
        session.number = self._connection.new_id(lambda code, arguments: self._on_session(session, code, arguments))
        options = _WITH_CURSOR if self._with_cursor else 0
        what = struct.pack("=III", session.number, source, options)
        self._connection.request(self._manager, _CREATE_SESSION, what)
        self._connection.destroy(source, _SOURCE_DESTROY)

    def _end_session(self) -> None:
        self._drop_frame()
        if self._session is not None:
            self._connection.destroy(self._session.number, _SESSION_DESTROY)
            self._session = None

    def _drop_frame(self) -> None:
        if self._frame is not None:
            self._connection.destroy(self._frame.number, _FRAME_DESTROY, more_follow=True)
            self._frame = None

    def _on_session(self, session: _Session, code: int, arguments: bytes) -> None:
        if code == _SESSION_SIZE:
            session.size = struct.unpack_from("=II", arguments)
        elif code == _SESSION_FORMAT:
            session.formats.update(struct.unpack_from("=I", arguments))
        elif code == _SESSION_DONE:
            session.layout = Layout.packed(readable_format(session.formats), *session.size)
            session.formats = set()
            if self.is_asking and self._frame is None:
                self._capture(session)
        elif code == _SESSION_STOPPED:
            self._fail()

    def _capture(self, session: _Session) -> None:
        if session.layout is None:
            # It is still to come.
            return
        session.has_begun = True
        frame = self._frame = _Frame(self._buffers.free(session.layout))
        frame.number = self._connection.new_id(lambda code, arguments: self._on_frame(frame, code, arguments))
        number, request = frame.number, self._connection.request
        request(session.number, _CREATE_FRAME, struct.pack("=I", number), more_follow=True)
        request(number, _FRAME_ATTACH, struct.pack("=I", frame.buffer.number), more_follow=True)
        whole = struct.pack("=iiii", 0, 0, session.layout.width, session.layout.height)
        request(number, _FRAME_DAMAGE_BUFFER, whole, more_follow=True)
        request(number, _FRAME_CAPTURE)

    def _on_frame(self, frame: _Frame, code: int, arguments: bytes) -> None:
        if code == _FRAME_TRANSFORM:
            (frame.transform,) = struct.unpack_from("=I", arguments)
        elif code == _FRAME_DAMAGE:
            frame.damage = Rectangle(*struct.unpack_from("=iiii", arguments)).union(frame.damage)
        elif code == _FRAME_TIME:
            seconds_high, seconds_low, nanoseconds = struct.unpack_from("=III", arguments)
            frame.shown_at_s = (seconds_high << 32 | seconds_low) + nanoseconds / 1e9
        elif code == _FRAME_READY:
            self._drop_frame()
            self.is_asking = False
            shown_at_s = time.monotonic() if frame.shown_at_s is None else frame.shown_at_s
            self._picture = Picture(frame.buffer, frame.damage, shown_at_s, transform=frame.transform)
        elif code == _FRAME_FAILED:
            self._retry(frame, *struct.unpack_from("=I", arguments))

    def _retry(self, frame: _Frame, reason: int) -> None:
        session = self._session
        if reason != _OUTDATED or session is None:
            self._fail()
            return
        self._drop_frame()
        # Without a new layout yet, its arrival asks again.
        if session.layout != frame.buffer.layout:
            self._capture(session)
        else:
            session.layout = None

    def _fail(self) -> None:
        self.close()
        self.has_failed = True


class _Session:
    """A session, and the layout of its pictures once that is known."""

    def __init__(self) -> None:
        self.number = 0
        self.size: tuple[int, ...] = (0, 0)
        self.formats: set[int] = set()
        self.layout: Layout | None = None
        self.has_begun = False


class _Frame:
    """A picture that is asked for."""

    def __init__(self, buffer: Buffer) -> None:
        self.number = 0
        self.buffer = buffer
        self.transform = 0
        self.damage: Rectangle | None = None
        self.shown_at_s: float | None = None
