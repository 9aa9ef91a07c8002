"""Walks the boxes of MP4, MOV and M4A: each has a size and a kind, and many contain others."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

__all__ = [
    "HEADER_BYTES",
    "LONG_HEADER_BYTES",
    "Box",
    "box",
    "boxes",
    "boxes_in",
    "changed",
    "child",
    "handler_of",
    "timescale_of",
    "track_id_of",
    "with_track_id",
]

HEADER_BYTES: Final = 8

#: The header of a box with a size of 64 bits.
LONG_HEADER_BYTES: Final = 16

#: Boxes that consist of boxes, on the way to the tables of a track.
_PARENTS: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})

#: Where `mvhd` and `mdhd` have the units per second, and `tkhd` the number of its track, by their version.
_NUMBER_AT: Final = (12, 20)

#: Where `hdlr` has its kind.
_HANDLER: Final = slice(8, 12)


class Box(NamedTuple):
    """Where a box is: its header, its content, and its end."""

    kind: bytes
    position: int
    body: int
    #: Where it says that it ends, which may be beyond everything.
    end: int


def boxes(read: Callable[[int, int], bytes], position: int, end: int) -> Iterator[Box]:
    """Yield the boxes in order from `position` to `end`, or to the first whose header is cut off or leads nowhere.

    `read` takes a position and a number of bytes, and returns fewer bytes at the end.
    """
    while position + HEADER_BYTES <= end:
        header = read(position, LONG_HEADER_BYTES)
        if len(header) < HEADER_BYTES:
            return
        size, kind = struct.unpack(">I4s", header[:HEADER_BYTES])
        body = position + HEADER_BYTES
        if size == 1 and len(header) == LONG_HEADER_BYTES:
            size, body = int.from_bytes(header[HEADER_BYTES:], "big"), position + LONG_HEADER_BYTES
        elif size == 0:
            size = end - position
        if size < body - position:
            return
        yield Box(kind, position, body, position + size)
        position += size


def boxes_in(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each box in `data`."""
    for found in boxes(lambda position, count: data[position : position + count], 0, len(data)):
        yield found.kind, data[found.body : found.end]


def box(kind: bytes, content: bytes) -> bytes:
    """Return a box of less than 4 GB."""
    return struct.pack(">I4s", HEADER_BYTES + len(content), kind) + content


def child(data: bytes, kind: bytes) -> bytes:
    """Return the content of the first box of this kind at any depth; empty if there is none."""
    for found, content in boxes_in(data):
        if found == kind:
            return content
        if found in _PARENTS and (inner := child(content, kind)):
            return inner
    return b""


def changed(data: bytes, kind: bytes, change: Callable[[bytes], tuple[bytes, bytes]]) -> bytes:
    """Return boxes with those of this kind, at any depth, replaced by the kind and content that `change` returns."""
    parts = []
    for found, content in boxes_in(data):
        if found == kind:
            parts.append(box(*change(content)))
        else:
            parts.append(box(found, changed(content, kind, change) if found in _PARENTS else content))
    return b"".join(parts)


def timescale_of(header: bytes) -> int:
    """Return the units per second of a movie (`mvhd`) or a track (`mdhd`)."""
    return _number_in(header)


def track_id_of(header: bytes) -> int:
    """Return the number of the track with this `tkhd`."""
    return _number_in(header)


def _number_in(header: bytes) -> int:
    return int(struct.unpack_from(">I", header, _NUMBER_AT[header[0]])[0])


def with_track_id(header: bytes, number: int) -> bytes:
    """Return a `tkhd` with another number."""
    at = _NUMBER_AT[header[0]]
    return header[:at] + struct.pack(">I", number) + header[at + 4 :]


def handler_of(track: bytes) -> bytes:
    """Return the kind of a track: `vide`, `soun`, `text`."""
    return child(track, b"hdlr")[_HANDLER]
