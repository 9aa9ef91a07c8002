"""Asks the compositor for pictures of one output, by wlr-screencopy.

The compositor copies the output when it next draws, so a picture is asked for in advance: of a screen that rests,
nothing comes. What a picture needs, its size and format, is known only after a request of its own, which therefore goes
out early too, for the picture after the one that is waited for.
"""

from __future__ import annotations

import struct
from typing import Final

from capture.media import Rectangle
from capture.sources.wayland.desktop import Desktop, Interface, Output
from capture.sources.wayland.pictures import Buffer, Buffers, Layout, Picture, readable_format

__all__ = ["ScreencopyCapture"]

#: Requests of the manager and of a frame, and a frame's events.
_CAPTURE_OUTPUT: Final = 0
_FRAME_COPY: Final = 0
_FRAME_DESTROY: Final = 1
_FRAME_COPY_WITH_DAMAGE: Final = 2
_FRAME_BUFFER: Final = 0
_FRAME_FLAGS: Final = 1
_FRAME_READY: Final = 2
_FRAME_FAILED: Final = 3
_FRAME_DAMAGE: Final = 4
_FRAME_BUFFER_DONE: Final = 6

#: The flag of a picture whose first row is the lowest.
_Y_INVERTED: Final = 1


class ScreencopyCapture:
    """Captures an output of a `Desktop`; see `Capture`."""

    def __init__(self, desktop: Desktop, output: Output, *, with_cursor: bool) -> None:
        self._manager = desktop.bound(Interface.SCREENCOPY)
        self._connection = desktop.connection
        self._output = output
        self._with_cursor = with_cursor
        self._next: _Frame | None = None
        self._asked: _Frame | None = None
        self._buffers = Buffers(desktop.connection, desktop.bound(Interface.SHARED_MEMORY))
        self._picture: Picture | None = None
        self.has_failed = False

    @property
    def is_asking(self) -> bool:
        return self._asked is not None

    def ask(self, *, at_once: bool) -> None:
        self.has_failed = False
        frame, self._next = self._next or self._new_frame(), None
        frame.code = _FRAME_COPY if at_once else _FRAME_COPY_WITH_DAMAGE
        self._asked = frame
        if frame.is_described:
            self._copy(frame)

    def take(self) -> Picture | None:
        picture, self._picture = self._picture, None
        return picture

    def release(self) -> None:
        self._buffers.release(None if self._asked is None else self._asked.buffer)

    def close(self) -> None:
        for frame in (self._asked, self._next):
            if frame is not None:
                self._connection.destroy(frame.number, _FRAME_DESTROY)
        self._asked = self._next = None
        self._buffers.drop_all()

    def _new_frame(self) -> _Frame:
        frame = _Frame()
        frame.number = self._connection.new_id(lambda code, arguments: self._on_frame(frame, code, arguments))
        what = struct.pack("=IiI", frame.number, self._with_cursor, self._output.number)
        self._connection.request(self._manager, _CAPTURE_OUTPUT, what)
        return frame

    def _on_frame(self, frame: _Frame, code: int, arguments: bytes) -> None:
        if code == _FRAME_BUFFER:
            frame.layout = Layout(*struct.unpack_from("=IIII", arguments))
        elif code == _FRAME_BUFFER_DONE:
            frame.is_described = True
            if frame is self._asked:
                self._copy(frame)
        elif code == _FRAME_FLAGS:
            (flags,) = struct.unpack_from("=I", arguments)
            frame.is_inverted = bool(flags & _Y_INVERTED)
        elif code == _FRAME_DAMAGE:
            frame.damage = Rectangle(*struct.unpack_from("=IIII", arguments)).union(frame.damage)
        elif code == _FRAME_READY:
            self._take_over(frame, *struct.unpack_from("=III", arguments))
        elif code == _FRAME_FAILED:
            self._fail()

    def _copy(self, frame: _Frame) -> None:
        """Let the compositor fill a buffer, and prepare for the next one."""
        layout = frame.layout
        # Without a layout there is no memory that would do, as for a compositor that has only that of graphics cards.
        readable_format(() if layout is None else (layout.format,))
        assert layout is not None  # noqa: S101 - it has a format
        frame.buffer = self._buffers.free(layout)
        what = struct.pack("=I", frame.buffer.number)
        self._connection.request(frame.number, frame.code, what, more_follow=True)
        self._next = self._new_frame()

    def _take_over(self, frame: _Frame, seconds_high: int, seconds_low: int, nanoseconds: int) -> None:
        self._connection.destroy(frame.number, _FRAME_DESTROY, more_follow=True)
        self._asked = None
        if frame.buffer is None:
            return
        shown_at_s = (seconds_high << 32 | seconds_low) + nanoseconds / 1e9
        self._picture = Picture(
            frame.buffer,
            frame.damage,
            shown_at_s,
            transform=self._output.transform,
            is_inverted=frame.is_inverted,
        )

    def _fail(self) -> None:
        # What was prepared may be of a size that the output no longer has.
        self.close()
        self.has_failed = True


class _Frame:
    """A picture that is asked for, or will be."""

    def __init__(self) -> None:
        self.number = 0
        self.code = _FRAME_COPY
        self.layout: Layout | None = None
        self.is_described = self.is_inverted = False
        self.buffer: Buffer | None = None
        self.damage: Rectangle | None = None
