"""Finds the fragments again of an MP4 whose last header reached the disk, and whose index did not.

While it is recorded, an MP4 is a row of fragments, each with an index of its own. When it is closed, one index (`moov`)
for all is written behind them, and then one header (`mdat`) over the start, which hides the fragments: eight bytes, or
sixteen beyond 4 GB. With that header and without the index nothing plays, although everything is there.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final, NamedTuple

from capture.output.mp4_boxes import HEADER_BYTES, LONG_HEADER_BYTES, Box, boxes

__all__ = ["Header", "overwrite", "shown_fragments"]

#: Empty boxes: the room that MP4 and M4A, and MOV, leave for the header.
_ROOM: Final = (b"free", b"wide")

#: In place of a box that is not there.
_NONE: Final = Box(b"", 0, 0, 0)


class Header(NamedTuple):
    """Bytes of a file at a position: those that are there, and those that show the fragments."""

    position: int
    hiding: bytes
    showing: bytes


def shown_fragments(path: Path) -> Header | None:
    """Return the header that hides fragments, with its replacement; None if no such header is there. Raises `OSError`.

    It does not look at the index: call it for a file that does not play.
    """
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size

        def read(position: int, count: int) -> bytes:
            file.seek(position)
            return file.read(count)

        def box_at(position: int) -> Box:
            return next(boxes(read, position, size_bytes), _NONE)

        start = box_at(0)
        room = box_at(start.end)
        if start.kind != b"ftyp":
            return None
        # The header has the second half of the room, or, with a size of 64 bits, both halves.
        if room.kind in _ROOM and room.end == room.position + HEADER_BYTES and box_at(room.end).kind == b"mdat":
            kind, position, length = room.kind, room.end, HEADER_BYTES
        elif room.kind == b"mdat" and room.body == room.position + LONG_HEADER_BYTES:
            kind, position, length = b"free", room.position, LONG_HEADER_BYTES
        else:
            return None
        first = box_at(start.end + LONG_HEADER_BYTES)
        if first.kind != b"ftyp" or box_at(first.end).kind != b"moov":
            # It was written in one go, without fragments.
            return None
        hiding = read(position, length)
    # The first, of no content, and one that skips the second `ftyp`: players expect one.
    both = struct.pack(">I4sI4s", HEADER_BYTES, kind, HEADER_BYTES + first.end - first.position, kind)
    return Header(position, hiding, both[-length:])


def overwrite(path: Path, position: int, content: bytes) -> None:
    """Write `content` into the file at `position`. Raises `OSError`."""
    with path.open("rb+") as file:
        file.seek(position)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
