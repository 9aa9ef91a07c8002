"""Pixels of the screen in memory that the X server shares with this process: nothing is copied on the way."""

from __future__ import annotations

import mmap
import os
import struct
import sys
import weakref
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np

from capture.errors import DisplayLostError
from capture.media import Pixels, Rectangle
from capture.sources.x11.xcb import Connection, Extension

__all__ = ["SharedMemory"]

#: Requests of the extension MIT-SHM 1.2, from which version on memory can be shared by its descriptor: whoever the
#: server runs as, and nobody else can find it.
_QUERY_VERSION: Final = 0
_DETACH: Final = 2
_GET_IMAGE: Final = 4
_ATTACH_DESCRIPTOR: Final = 6
_OLDEST: Final = (1, 2)

#: Pixels as they are, all bits of them.
_Z_PIXMAP: Final = 2
_ALL_PLANES: Final = 0xFFFFFFFF

_PIXEL_BYTES: Final = 4

#: Memory comes in steps of so many bytes, so that parts of about one size can have the same.
_STEP_BYTES: Final = 1 << 18


@dataclass(slots=True)
class _Segment:
    """A stretch of shared memory. It is free as long as nobody holds what was last read into it."""

    number: int
    memory: mmap.mmap
    holder: weakref.ref[Any] | None = None

    @property
    def is_free(self) -> bool:
        return self.holder is None or self.holder() is None


class SharedMemory:
    """Reads parts of the screen of a `Connection`, for its thread. Make it by `of`.

    What was read stays as it is while anybody holds it, or an array made from it; then its memory is used again.
    """

    def __init__(self, connection: Connection, extension: Extension) -> None:
        self._connection = connection
        self._extension = extension
        self._segments: list[_Segment] = []

    @classmethod
    def of(cls, connection: Connection) -> Self | None:
        """None where the server shares no memory with this process, as over a network, or has unusual pixels."""
        extension = connection.extension("MIT-SHM")
        if extension is None or not connection.has_usual_pixels or sys.platform != "linux":
            return None
        version = connection.ask(extension.request(_QUERY_VERSION))
        if version is None or struct.unpack_from("=HH", version, 8) < _OLDEST:
            return None
        found = cls(connection, extension)
        try:
            found.grab(Rectangle(0, 0, 1, 1))
        except DisplayLostError:
            return None
        return found

    def grab(self, area: Rectangle) -> Pixels:
        """What is on the screen in `area`, uint8 (height, width, 4). `DisplayLostError` also where that is not."""
        size_bytes = area.width * area.height * _PIXEL_BYTES
        segment = self._free_segment(size_bytes)
        what = struct.pack("=IhhHH", self._connection.root, area.left, area.top, area.width, area.height)
        how = struct.pack("=IB3xII", _ALL_PLANES, _Z_PIXMAP, segment.number, 0)
        answer = self._connection.ask(self._extension.request(_GET_IMAGE, what + how))
        if answer is None:
            raise DisplayLostError(f"the screen can no longer be read (there is no {area})")
        values = np.frombuffer(segment.memory, np.uint8, size_bytes)
        # Every array that is made from this one holds it.
        segment.holder = weakref.ref(values)
        return values.reshape(area.height, area.width, _PIXEL_BYTES)

    def _free_segment(self, size_bytes: int) -> _Segment:
        fitting = [segment for segment in self._segments if segment.is_free and len(segment.memory) >= size_bytes]
        if fitting:
            return min(fitting, key=lambda segment: len(segment.memory))
        # What is too small for what is read now will not be wanted soon.
        for segment in [segment for segment in self._segments if segment.is_free]:
            self._segments.remove(segment)
            self._connection.tell(self._extension.request(_DETACH, struct.pack("=I", segment.number)))
        self._segments.append(self._make_segment(-(-size_bytes // _STEP_BYTES) * _STEP_BYTES))
        return self._segments[-1]

    def _make_segment(self, size_bytes: int) -> _Segment:
        if sys.platform != "linux":
            raise DisplayLostError("memory can be shared on Linux alone")
        descriptor = os.memfd_create("capture")
        try:
            os.ftruncate(descriptor, size_bytes)
            memory = mmap.mmap(descriptor, size_bytes)
        except BaseException:
            os.close(descriptor)
            raise
        number = self._connection.new_id()
        # The connection closes the descriptor. Not read-only: the server writes.
        attach = self._extension.request(_ATTACH_DESCRIPTOR, struct.pack("=IB3x", number, False))
        self._connection.tell(attach, descriptor)
        return _Segment(number, memory)
