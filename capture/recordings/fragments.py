"""Finds the fragments again of an MP4 whose last header reached the disk, and whose index did not.

While it is recorded, an MP4 is a row of fragments, each with an index of its own. When it is closed, one index (`moov`)
for all is written behind them, and then one header (`mdat`) over the start, which hides the fragments: eight bytes, or
sixteen beyond 4 GB. With that header and without the index nothing plays, although everything is there.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

__all__ = ["Header", "overwrite", "shown_fragments"]

_BOX_BYTES: Final = 8

#: Empty boxes: the room that MP4 and M4A, and MOV, leave for the header.
_ROOM: Final = (b"free", b"wide")


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
        size, kind = _box(file, 0)
        if kind != b"ftyp":
            return None
        room = size
        size, kind = _box(file, room)
        # The header has the second half of the room, or, with a size of 64 bits, both halves.
        if kind in _ROOM and size == _BOX_BYTES and _box(file, room + _BOX_BYTES)[1] == b"mdat":
            position, length = room + _BOX_BYTES, _BOX_BYTES
        elif kind == b"mdat" and size == 1:
            kind, position, length = b"free", room, 2 * _BOX_BYTES
        else:
            return None
        behind = room + 2 * _BOX_BYTES
        first_bytes, first = _box(file, behind)
        if first != b"ftyp" or _box(file, behind + first_bytes)[1] != b"moov":
            # It was written in one go, without fragments.
            return None
        file.seek(position)
        hiding = file.read(length)
    # The first, of no content, and one that skips the second `ftyp`: players expect one.
    both = struct.pack(">I4sI4s", _BOX_BYTES, kind, _BOX_BYTES + first_bytes, kind)
    return Header(position, hiding, both[-length:])


def overwrite(path: Path, position: int, content: bytes) -> None:
    """Write `content` into the file at `position`. Raises `OSError`."""
    with path.open("rb+") as file:
        file.seek(position)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _box(file: BinaryIO, position: int) -> tuple[int, bytes]:
    """Return the size and the kind of the box at `position`; 0 and nothing beyond the end."""
    file.seek(position)
    header = file.read(_BOX_BYTES)
    return struct.unpack(">I4s", header) if len(header) == _BOX_BYTES else (0, b"")
