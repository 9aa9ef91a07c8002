"""Walks the boxes of MP4, MOV and M4A: each has a size and a kind, and many contain others."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

__all__ = ["HEADER_BYTES", "LONG_HEADER_BYTES", "Box", "boxes"]

HEADER_BYTES: Final = 8

#: The header of a box with a size of 64 bits.
LONG_HEADER_BYTES: Final = 16


class Box(NamedTuple):
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
