"""Asks the compositor for pictures of one output, by wlr-screencopy, in memory that it shares with this process.

The compositor copies the output when it next draws, so a picture is asked for in advance: of a screen that rests,
nothing comes. What a picture needs, its size and format, is known only after a request of its own, which therefore goes
out early too, for the picture after the one that is waited for.
"""

from __future__ import annotations

import os
import struct
from typing import Final, NamedTuple

import numpy as np

from capture.errors import NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.lent_memory import LentMemory
from capture.sources.wayland.desktop import Desktop
from capture.sources.x11.pixel_format import PixelFormat
from capture.system.wayland_connection import Connection

__all__ = ["OutputCapture", "OutputPicture"]

#: Requests of the objects that are used, and events of a frame.
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
_CREATE_POOL: Final = 0
_CREATE_BUFFER: Final = 0
_POOL_DESTROY: Final = 1
_BUFFER_DESTROY: Final = 0

#: The flag of a picture whose first row is the lowest.
_Y_INVERTED: Final = 1

#: The masks of red, green and blue in the formats of `wl_shm`: XRGB8888 and ARGB8888, which have numbers of their own,
#: then XBGR8888, ABGR8888, XRGB2101010, ARGB2101010, XBGR2101010 and ABGR2101010.
_MASKS: Final = {
    **dict.fromkeys((0, 1), (0xFF0000, 0xFF00, 0xFF)),
    **dict.fromkeys((0x34324258, 0x34324241), (0xFF, 0xFF00, 0xFF0000)),
    **dict.fromkeys((0x30335258, 0x30335241), (0x3FF00000, 0xFFC00, 0x3FF)),
    **dict.fromkeys((0x30334258, 0x30334241), (0x3FF, 0xFFC00, 0x3FF00000)),
}
_PIXEL_BYTES: Final = 4


class _Layout(NamedTuple):
    """How a picture lies in memory: a format of `wl_shm`, the size in pixels and the bytes of a row."""

    format: int
    width: int
    height: int
    stride: int

    @property
    def size_bytes(self) -> int:
        return self.stride * self.height

    @property
    def pixel_format(self) -> PixelFormat:
        bits = 8 * _PIXEL_BYTES
        return PixelFormat(bits, bits, bits, _MASKS[self.format], is_coloured=True, is_little_endian=True)


class _Buffer(NamedTuple):
    """Memory that is shared, and its number in the protocol."""

    number: int
    layout: _Layout
    memory: LentMemory


class OutputPicture:
    """A picture of an output as it lies in its buffer, of `width` x `height`.

    `damage` is what changed since the picture before, and `shown_at_s` when it was shown, on the monotonic clock.
    """

    def __init__(self, buffer: _Buffer, damage: Rectangle, shown_at_s: float, *, is_inverted: bool) -> None:
        layout = self._layout = buffer.layout
        self.width, self.height = layout.width, layout.height
        self.damage = damage
        self.shown_at_s = shown_at_s
        rows = buffer.memory.lend(layout.size_bytes).reshape(layout.height, layout.stride)
        # The compositor fills it again, so nothing else may.
        rows.flags.writeable = False
        self._rows = rows[::-1] if is_inverted else rows

    def pixels(self, part: Rectangle) -> Pixels:
        """Return a part in the pipeline's format, in the compositor's memory if that has it; then read-only."""
        columns = slice(_PIXEL_BYTES * part.left, _PIXEL_BYTES * part.right)
        rows = self._rows[part.top : part.bottom, columns]
        layout = self._layout.pixel_format
        if layout.is_usual and rows.strides[0] > 0:
            return rows.reshape(part.height, part.width, _PIXEL_BYTES)
        return layout.pixels(np.ascontiguousarray(rows).reshape(-1), part.width, part.height)


class OutputCapture:
    """Captures the output with the number `output` of a `Desktop`, on its thread.

    After `ask`, the events of the desktop's connection bring `picture`, or `has_failed`: then ask again, later.
    """

    def __init__(self, desktop: Desktop, output: int, *, with_cursor: bool) -> None:
        self._desktop = desktop
        self._connection: Connection = desktop.connection
        self._output = output
        self._with_cursor = with_cursor
        self._next: _Frame | None = None
        self._asked: _Frame | None = None
        self._buffers: list[_Buffer] = []
        self.picture: OutputPicture | None = None
        self.has_failed = False

    @property
    def is_asking(self) -> bool:
        return self._asked is not None

    def ask(self, *, at_once: bool) -> None:
        """Ask for a picture: with `at_once` as the output is now, else once something has changed in it.

        What changed since the last picture counts.
        """
        self.has_failed = False
        frame, self._next = self._next or self._new_frame(), None
        frame.code = _FRAME_COPY if at_once else _FRAME_COPY_WITH_DAMAGE
        self._asked = frame
        if frame.is_described:
            self._copy(frame)

    def take(self) -> OutputPicture | None:
        """Return the picture that has come; None if none has."""
        picture, self.picture = self.picture, None
        return picture

    def release(self) -> None:
        """Give back the memory that nothing uses, except for one picture."""
        free = [buffer for buffer in self._buffers if buffer.memory.is_free and not self._is_being_filled(buffer)]
        self._drop(free[1:])

    def close(self) -> None:
        """Take back what was asked for, and let go of the memory."""
        for frame in (self._asked, self._next):
            if frame is not None:
                self._connection.destroy(frame.number, _FRAME_DESTROY)
        self._asked = self._next = None
        self._drop(list(self._buffers))

    def _new_frame(self) -> _Frame:
        frame = _Frame()
        frame.number = self._connection.new_id(lambda code, arguments: self._on_frame(frame, code, arguments))
        what = struct.pack("=IiI", frame.number, self._with_cursor, self._output)
        self._connection.request(self._desktop.pictures, _CAPTURE_OUTPUT, what)
        return frame

    def _on_frame(self, frame: _Frame, code: int, arguments: bytes) -> None:
        if code == _FRAME_BUFFER:
            frame.layout = _Layout(*struct.unpack_from("=IIII", arguments))
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
        if layout is None or layout.format not in _MASKS:
            raise NotReadyError("the compositor gives the screen in an unknown format", "use --screen ask")
        frame.buffer = self._free_buffer(layout)
        self._connection.request(frame.number, frame.code, struct.pack("=I", frame.buffer.number))
        self._next = self._new_frame()

    def _take_over(self, frame: _Frame, seconds_high: int, seconds_low: int, nanoseconds: int) -> None:
        self._connection.destroy(frame.number, _FRAME_DESTROY)
        self._asked = None
        if frame.buffer is None:
            return
        layout = frame.buffer.layout
        whole = Rectangle(0, 0, layout.width, layout.height)
        damage = whole if frame.damage is None else frame.damage.intersection(whole) or whole
        shown_at_s = (seconds_high << 32 | seconds_low) + nanoseconds / 1e9
        self.picture = OutputPicture(frame.buffer, damage, shown_at_s, is_inverted=frame.is_inverted)

    def _fail(self) -> None:
        # What was prepared may be of a size that the output no longer has.
        self.close()
        self.has_failed = True

    def _free_buffer(self, layout: _Layout) -> _Buffer:
        free = [buffer for buffer in self._buffers if buffer.memory.is_free]
        fitting = next((buffer for buffer in free if buffer.layout == layout), None)
        if fitting is not None:
            return fitting
        self._drop(free)
        self._buffers.append(self._make_buffer(layout))
        return self._buffers[-1]

    def _make_buffer(self, layout: _Layout) -> _Buffer:
        memory, descriptor = LentMemory.make(layout.size_bytes)
        try:
            pool, number = self._connection.new_id(), self._connection.new_id()
            made = struct.pack("=Ii", pool, layout.size_bytes)
            self._connection.request(self._desktop.shared_memory, _CREATE_POOL, made, descriptor)
        finally:
            os.close(descriptor)
        placed = struct.pack("=IiiiiI", number, 0, layout.width, layout.height, layout.stride, layout.format)
        self._connection.request(pool, _CREATE_BUFFER, placed)
        # The buffer keeps the memory.
        self._connection.destroy(pool, _POOL_DESTROY)
        return _Buffer(number, layout, memory)

    def _drop(self, buffers: list[_Buffer]) -> None:
        for buffer in buffers:
            self._buffers.remove(buffer)
            self._connection.destroy(buffer.number, _BUFFER_DESTROY)

    def _is_being_filled(self, buffer: _Buffer) -> bool:
        return self._asked is not None and self._asked.buffer is buffer


class _Frame:
    """A picture that is asked for, or will be."""

    def __init__(self) -> None:
        self.number = 0
        self.code = _FRAME_COPY
        self.layout: _Layout | None = None
        self.is_described = self.is_inverted = False
        self.buffer: _Buffer | None = None
        self.damage: Rectangle | None = None
