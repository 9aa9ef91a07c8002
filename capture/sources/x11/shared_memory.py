"""Reads pixels into memory that the X server shares with this process, without copying them on the way."""

from __future__ import annotations

import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from capture.errors import DisplayLostError
from capture.media import Rectangle
from capture.sources.lent_memory import HeldMemory, LentMemory
from capture.sources.x11.xcb import Connection, Extension

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["SharedMemory"]

#: Requests of the extension MIT-SHM 1.2, the first version that shares memory by descriptor: this works whatever user
#: the server runs as, and no other process can find the memory.
_QUERY_VERSION: Final = 0
_DETACH: Final = 2
_GET_IMAGE: Final = 4
_ATTACH_DESCRIPTOR: Final = 6
_OLDEST: Final = (1, 2)

#: Pixels as stored, all their bits.
_Z_PIXMAP: Final = 2
_ALL_PLANES: Final = 0xFFFFFFFF

#: More than one pixel takes.
_LEAST_BYTES: Final = 16

#: Segments are rounded up to a multiple of this, so that parts of about the same size can reuse them.
_STEP_BYTES: Final = 1 << 18


@dataclass(slots=True)
class _Segment:
    """A stretch of shared memory, and its number in the protocol."""

    number: int
    memory: LentMemory


class SharedMemory:
    """Reads windows and pixmaps of a `Connection`, on its thread. Make it with `of`.

    An array stays valid as long as it, or an array made from it, is referenced; then its memory is reused.
    """

    def __init__(self, connection: Connection, extension: Extension) -> None:
        self._connection = connection
        self._extension = extension
        self._segments: list[_Segment] = []

    @classmethod
    def of(cls, connection: Connection) -> Self | None:
        """Return a reader; None if the server shares no memory, as over a network."""
        extension = connection.extension("MIT-SHM")
        if extension is None or sys.platform != "linux":
            return None
        version = connection.ask(extension.request(_QUERY_VERSION))
        if version is None or struct.unpack_from("=HH", version, 8) < _OLDEST:
            return None
        found = cls(connection, extension)
        try:
            found.keep(connection.root, Rectangle(0, 0, 1, 1), _LEAST_BYTES)
        except DisplayLostError:
            return None
        return found

    def read(self, drawable: int, area: Rectangle, size_bytes: int) -> npt.NDArray[np.uint8]:
        """Return `area` of a window or pixmap as the server lays it out: uint8 (size_bytes,).

        Raises `DisplayLostError`, also for an area that is not all in it.
        """
        return self.keep(drawable, area, size_bytes).values()

    def keep(self, drawable: int, area: Rectangle, size_bytes: int) -> HeldMemory:
        """As `read`, for an array that is made later."""
        segment = self._free_segment(size_bytes)
        what = struct.pack("=IhhHH", drawable, area.left, area.top, area.width, area.height)
        how = struct.pack("=IB3xII", _ALL_PLANES, _Z_PIXMAP, segment.number, 0)
        if self._connection.ask(self._extension.request(_GET_IMAGE, what + how)) is None:
            raise DisplayLostError(f"the screen can no longer be read (there is no {area})")
        return segment.memory.hold(size_bytes)

    def release(self, most_bytes: int | None = None) -> None:
        """Give back the memory that nothing uses, except one segment for the next grab, of at most `most_bytes`."""
        free = sorted(
            (segment for segment in self._segments if segment.memory.is_free), key=lambda each: each.memory.size_bytes
        )
        fitting = [each for each in free if most_bytes is None or each.memory.size_bytes <= most_bytes]
        surplus = [segment for segment in free if segment not in fitting[-1:]]
        self._detach(surplus)
        if surplus:
            # Requests without a reply leave with the next one that has one.
            self._connection.ask(self._extension.request(_QUERY_VERSION))

    def _free_segment(self, size_bytes: int) -> _Segment:
        free = [segment for segment in self._segments if segment.memory.is_free]
        fitting = [segment for segment in free if segment.memory.size_bytes >= size_bytes]
        if fitting:
            return min(fitting, key=lambda segment: segment.memory.size_bytes)
        # Segments that are too small now are unlikely to be needed again soon.
        self._detach(free)
        self._segments.append(self._make_segment(-(-size_bytes // _STEP_BYTES) * _STEP_BYTES))
        return self._segments[-1]

    def _detach(self, segments: list[_Segment]) -> None:
        for segment in segments:
            self._segments.remove(segment)
            self._connection.send(self._extension.request(_DETACH, struct.pack("=I", segment.number)))

    def _make_segment(self, size_bytes: int) -> _Segment:
        memory, descriptor = LentMemory.make(size_bytes)
        number = self._connection.new_id()
        # libxcb closes the descriptor. Not read-only, because the server writes.
        attach = self._extension.request(_ATTACH_DESCRIPTOR, struct.pack("=IB3x", number, False))
        self._connection.send(attach, descriptor)
        return _Segment(number, memory)
