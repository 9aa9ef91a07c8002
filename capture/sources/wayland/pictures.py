"""Pictures that the compositor copies into memory that it shares with this process, and what asks for them."""

from __future__ import annotations

import os
import struct
from collections.abc import Collection
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from capture.errors import NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.lent_memory import HeldMemory, LentMemory
from capture.sources.x11.pixel_format import PixelFormat
from capture.system.wayland_connection import Connection

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Buffer", "Buffers", "Capture", "Layout", "Picture", "readable_format"]

#: Requests of `wl_shm`, of its pools and of their buffers.
_CREATE_POOL: Final = 0
_CREATE_BUFFER: Final = 0
_POOL_DESTROY: Final = 1
_BUFFER_DESTROY: Final = 0

#: The masks of red, green and blue in the formats of `wl_shm`: XRGB8888 and ARGB8888, which have numbers of their own,
#: then XBGR8888, ABGR8888, XRGB2101010, ARGB2101010, XBGR2101010 and ABGR2101010. The cheapest to read come first.
_MASKS: Final = {
    **dict.fromkeys((1, 0), (0xFF0000, 0xFF00, 0xFF)),
    **dict.fromkeys((0x34324258, 0x34324241), (0xFF, 0xFF00, 0xFF0000)),
    **dict.fromkeys((0x30335258, 0x30335241), (0x3FF00000, 0xFFC00, 0x3FF)),
    **dict.fromkeys((0x30334258, 0x30334241), (0x3FF, 0xFFC00, 0x3FF00000)),
}
_PIXEL_BYTES: Final = 4


class Layout(NamedTuple):
    """How a picture lies in memory: a format of `wl_shm`, the size in pixels and the bytes of a row."""

    format: int
    width: int
    height: int
    stride: int

    @classmethod
    def packed(cls, number: int, width: int, height: int) -> Layout:
        """Return the layout with this format and no gaps between the rows."""
        return cls(number, width, height, _PIXEL_BYTES * width)

    @property
    def size_bytes(self) -> int:
        return self.stride * self.height

    @property
    def pixel_format(self) -> PixelFormat:
        bits = 8 * _PIXEL_BYTES
        return PixelFormat(bits, bits, bits, _MASKS[self.format], is_coloured=True, is_little_endian=True)


def readable_format(offered: Collection[int]) -> int:
    """Return the one of the formats of `wl_shm` that is cheapest to read. Raises `NotReadyError` for unknown ones."""
    found = next((number for number in _MASKS if number in offered), None)
    if found is None:
        raise NotReadyError("the compositor gives its pictures in an unknown format", "use --screen ask")
    return found


class Buffer(NamedTuple):
    """Memory that is shared, and its number in the protocol."""

    number: int
    layout: Layout
    memory: LentMemory


class Picture:
    """A picture as it lies in its buffer, of `width` x `height`.

    `damage` is what changed since the picture before, `shown_at_s` when it was shown, on the monotonic clock, and
    `transform` how it is rotated or mirrored, as in `wl_output.transform`.
    """

    def __init__(
        self,
        buffer: Buffer,
        damage: Rectangle | None,
        shown_at_s: float,
        *,
        transform: int,
        is_inverted: bool = False,
    ) -> None:
        layout = self._layout = buffer.layout
        self.width, self.height = layout.width, layout.height
        whole = Rectangle(0, 0, layout.width, layout.height)
        self.damage = whole if damage is None else damage.intersection(whole) or whole
        self.shown_at_s = shown_at_s
        self.transform = transform
        self._is_inverted = is_inverted
        # The first picture comes before numpy is loaded.
        self._memory: HeldMemory | npt.NDArray[np.uint8] = buffer.memory.hold(layout.size_bytes)

    def changed_since(self, before: Picture) -> Rectangle:
        """Return what has changed, given the picture before; an empty rectangle if nothing has.

        A compositor that shows a window full-screen without composing may state whole pictures of which nothing has
        changed (wlroots 0.15).
        """
        whole = Rectangle(0, 0, self.width, self.height)
        if self.damage != whole or before._layout != self._layout:
            return self.damage
        # Imported here: it needs numpy.
        from capture.sources.changes import changed_part

        return changed_part(before._whole, self._whole) or Rectangle(0, 0, 0, 0)

    @property
    def _rows(self) -> npt.NDArray[np.uint8]:
        """The rows from the top as they lie in memory: uint8 (height, stride)."""
        if isinstance(self._memory, HeldMemory):
            rows = self._memory.values().reshape(self._layout.height, self._layout.stride)
            # The compositor fills it again, so nothing else may.
            rows.flags.writeable = False
            self._memory = rows[::-1] if self._is_inverted else rows
        return self._memory

    @property
    def _whole(self) -> Pixels:
        """All pixels as they lie in memory: uint8 (height, width, 4)."""
        return self._rows[:, : _PIXEL_BYTES * self.width].reshape(self.height, self.width, _PIXEL_BYTES)

    def pixels(self, part: Rectangle) -> Pixels:
        """Return a part in the pipeline's format, in the compositor's memory if that has it; then read-only."""
        columns = slice(_PIXEL_BYTES * part.left, _PIXEL_BYTES * part.right)
        rows = self._rows[part.top : part.bottom, columns]
        layout = self._layout.pixel_format
        if layout.is_usual and rows.strides[0] > 0:
            return rows.reshape(part.height, part.width, _PIXEL_BYTES)
        import numpy as np

        return layout.pixels(np.ascontiguousarray(rows).reshape(-1), part.width, part.height)


class Buffers:
    """The memory of one capture. `shared_memory` is the number of `wl_shm`."""

    def __init__(self, connection: Connection, shared_memory: int) -> None:
        self._connection = connection
        self._shared_memory = shared_memory
        self._buffers: list[Buffer] = []

    def free(self, layout: Layout) -> Buffer:
        """Return one that nothing uses; it is used until `keeps_only` or what was made of it is gone."""
        free = [buffer for buffer in self._buffers if buffer.memory.is_free]
        fitting = next((buffer for buffer in free if buffer.layout == layout), None)
        if fitting is not None:
            return fitting
        self._drop(free)
        self._buffers.append(self._make(layout))
        return self._buffers[-1]

    def release(self, filled: Buffer | None) -> None:
        """Give back the memory that nothing uses, except for one buffer, and `filled`, which is being filled."""
        free = [buffer for buffer in self._buffers if buffer.memory.is_free and buffer is not filled]
        self._drop(free[1:])

    def drop_all(self) -> None:
        self._drop(list(self._buffers))

    def _make(self, layout: Layout) -> Buffer:
        memory, descriptor = LentMemory.make(layout.size_bytes)
        try:
            pool, number = self._connection.new_id(), self._connection.new_id()
            made = struct.pack("=Ii", pool, layout.size_bytes)
            self._connection.request(self._shared_memory, _CREATE_POOL, made, descriptor)
        finally:
            os.close(descriptor)
        placed = struct.pack("=IiiiiI", number, 0, layout.width, layout.height, layout.stride, layout.format)
        self._connection.request(pool, _CREATE_BUFFER, placed)
        # The buffer keeps the memory.
        self._connection.destroy(pool, _POOL_DESTROY)
        return Buffer(number, layout, memory)

    def _drop(self, buffers: list[Buffer]) -> None:
        for buffer in buffers:
            self._buffers.remove(buffer)
            self._connection.destroy(buffer.number, _BUFFER_DESTROY)


class Capture(Protocol):
    """Asks for the pictures of one output or window, one by one, on the thread that handles the connection's events.

    After `ask`, these events bring a picture, or `has_failed`: then ask again, later.
    """

    has_failed: bool

    @property
    def is_asking(self) -> bool: ...

    def ask(self, *, at_once: bool) -> None:
        """Ask for a picture: with `at_once` as it is now, else once something has changed in it.

        What changed since the last picture counts.
        """
        ...

    def take(self) -> Picture | None:
        """Return the picture that has come; None if none has."""
        ...

    def release(self) -> None:
        """Give back the memory that nothing uses, except for one picture."""
        ...

    def close(self) -> None:
        """Take back what was asked for, and let go of the memory."""
        ...
