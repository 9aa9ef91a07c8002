"""Reads one buffer of a stream: its pixels where they are, when they were shown, what changed, and the cursor."""

from __future__ import annotations

import ctypes
import mmap
import os
import struct
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from capture.media import Pixels, Rectangle
from capture.sources.overlays.sprites import Sprite
from capture.sources.portal.libpipewire import (
    CHUNK_CORRUPTED,
    DATA_DESCRIPTOR,
    HEADER_CORRUPTED,
    META_CURSOR,
    META_DAMAGE,
    META_HEADER,
    StreamBuffer,
)
from capture.sources.portal.pods import BYTES_PER_PIXEL, VideoFormat

__all__ = ["CURSOR_HEAD_BYTES", "HEADER_BYTES", "REGION_BYTES", "Buffer", "Content", "CursorReport"]

#: struct spa_meta_header, spa_region, spa_meta_cursor and spa_meta_bitmap.
_HEADER: Final = struct.Struct("=IIqqQ")
_REGION: Final = struct.Struct("=iiII")
_CURSOR: Final = struct.Struct("=IIiiiiI")
_BITMAP: Final = struct.Struct("=IIIiI")
HEADER_BYTES: Final = _HEADER.size
REGION_BYTES: Final = _REGION.size
CURSOR_HEAD_BYTES: Final = _CURSOR.size + _BITMAP.size

#: Where blue, green, red and alpha are in a pixel of a cursor, by its format.
_CURSOR_ORDERS: Final = {11: [2, 1, 0, 3], 12: [0, 1, 2, 3], 13: [3, 2, 1, 0], 14: [1, 2, 3, 0]}


class CursorReport(NamedTuple):
    """Where the cursor is in the picture, in pixels; None if it is hidden or elsewhere.

    `sprite` is its picture if it has changed; the hot spot is in it. None keeps the one before.
    """

    at: tuple[int, int] | None
    sprite: Sprite | None = None


class Content(NamedTuple):
    """What a buffer holds. Without a picture, `pixels` is None; without news of the cursor, `cursor`.

    `pixels` is uint8 (height, width, 4) in the stream's order of colours. `shown_at_s` is on the monotonic clock; None
    if the producer does not say. `damage` is what changed since the picture before; None if unknown.
    """

    pixels: Pixels | None
    shown_at_s: float | None
    damage: Rectangle | None
    cursor: CursorReport | None


class Buffer:
    """A buffer of a stream, at `address`. For the stream's thread."""

    def __init__(self, address: int) -> None:
        """Map the memory, if it is behind a descriptor. Raises `OSError`."""
        self._spa = StreamBuffer.from_address(address).buffer.contents
        self._memory: mmap.mmap | None = None
        self._begins = 0
        data = self._spa.datas[0]
        if data.type == DATA_DESCRIPTOR:
            self._memory, self._begins = _mapped(data.fd, data.mapoffset, data.maxsize)

    def read(self, layout: VideoFormat, *, stride_known: bool) -> Content:
        """Return the content, valid until the buffer is given back.

        With `stride_known`, a buffer without a stride holds no picture; otherwise its rows are packed.
        """
        pixels = self._pixels(layout, stride_known)
        shown_at_s: float | None = None
        damage: Rectangle | None = None
        cursor: CursorReport | None = None
        for number in range(self._spa.n_metas):
            meta = self._spa.metas[number]
            if not meta.data:
                continue
            raw = ctypes.string_at(meta.data, meta.size)
            if meta.type == META_HEADER and len(raw) >= _HEADER.size:
                shown_at_s, is_corrupted = _read_header(raw)
                pixels = None if is_corrupted else pixels
            elif meta.type == META_DAMAGE:
                damage = _damage_of(raw, layout)
            elif meta.type == META_CURSOR and len(raw) >= _CURSOR.size:
                cursor = _cursor_of(raw)
        return Content(pixels, shown_at_s, damage, cursor)

    @property
    def shown_at_s(self) -> float | None:
        """When the picture was shown, without the rest of `read`."""
        for number in range(self._spa.n_metas):
            meta = self._spa.metas[number]
            if meta.type == META_HEADER and meta.data and meta.size >= _HEADER.size:
                return _read_header(ctypes.string_at(meta.data, _HEADER.size))[0]
        return None

    @property
    def stride(self) -> int:
        """The bytes of a row as the producer says; 0 if it does not."""
        return int(self._spa.datas[0].chunk.contents.stride)

    def _pixels(self, layout: VideoFormat, stride_known: bool) -> Pixels | None:
        data = self._spa.datas[0]
        chunk = data.chunk.contents
        row = layout.width * BYTES_PER_PIXEL
        if not chunk.size or chunk.flags & CHUNK_CORRUPTED or (not chunk.stride and stride_known):
            return None
        stride = chunk.stride or row
        needed = stride * (layout.height - 1) + row
        if stride < row or chunk.offset + needed > data.maxsize or chunk.size < needed:
            return None
        values = self._values(chunk.offset, needed)
        if values is None:
            return None
        return np.ndarray(
            (layout.height, layout.width, BYTES_PER_PIXEL),
            np.uint8,
            buffer=values,
            strides=(stride, BYTES_PER_PIXEL, 1),
        )

    def _values(self, offset: int, count: int) -> npt.NDArray[np.uint8] | None:
        if self._memory is not None:
            return np.frombuffer(self._memory, np.uint8, count, self._begins + offset)
        address = self._spa.datas[0].data
        if not address:
            return None
        # A copy: this memory disappears with the buffer, even if something still refers to it.
        return np.frombuffer(ctypes.string_at(address + offset, count), np.uint8)


def _mapped(descriptor: int, offset: int, length: int) -> tuple[mmap.mmap, int]:
    """Map memory for reading; return it and where it begins in there, as maps begin at pages."""
    before = offset % mmap.ALLOCATIONGRANULARITY
    size = os.fstat(descriptor).st_size
    # Reading beyond the end of the file would kill the process.
    length = min(length, size - offset)
    return mmap.mmap(descriptor, length + before, access=mmap.ACCESS_READ, offset=offset - before), before


def _read_header(raw: bytes) -> tuple[float | None, bool]:
    """Return when the picture was shown, None if that is not stated, and whether it is corrupted."""
    flags, _, pts, _, _ = _HEADER.unpack_from(raw)
    return pts / 1e9 if pts > 0 else None, bool(flags & HEADER_CORRUPTED)


def _damage_of(raw: bytes, layout: VideoFormat) -> Rectangle | None:
    """Return the box around all regions; None if there is none, or if it is the whole picture, which tells nothing."""
    whole = Rectangle(0, 0, layout.width, layout.height)
    box: Rectangle | None = None
    for left, top, width, height in _REGION.iter_unpack(raw[: len(raw) // _REGION.size * _REGION.size]):
        if not width or not height:
            break
        region = Rectangle(left, top, width, height).intersection(whole)
        box = box if region is None else region.union(box)
    return None if box == whole else box


def _cursor_of(raw: bytes) -> CursorReport:
    number, _, x, y, hot_x, hot_y, at = _CURSOR.unpack_from(raw)
    if not number:
        return CursorReport(None)
    if at < _CURSOR.size or at + _BITMAP.size > len(raw):
        return CursorReport((x, y))
    kind, width, height, stride, offset = _BITMAP.unpack_from(raw, at)
    begin, row = at + offset, width * BYTES_PER_PIXEL
    order = _CURSOR_ORDERS.get(kind)
    stride = stride or row
    if order is None or not width or not height:
        # An empty picture hides the cursor.
        return CursorReport((x, y), Sprite(np.zeros((0, 0, BYTES_PER_PIXEL), np.uint16)))
    if stride < row or begin + stride * (height - 1) + row > len(raw):
        return CursorReport((x, y))
    values = np.ndarray((height, width, BYTES_PER_PIXEL), np.uint8, raw, begin, (stride, BYTES_PER_PIXEL, 1))
    return CursorReport((x, y), Sprite(values[..., order].astype(np.uint16), hot_x, hot_y))
