"""Finds the chunks in the header of a WAV: everything up to the samples."""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["FIRST_CHUNK", "HEADER_BYTES", "places_of"]

#: The header of a WAV is within this many bytes; FFmpeg writes about a hundred.
HEADER_BYTES: Final = 4096

#: Where the chunks begin, behind `RIFF`, a size and `WAVE`.
FIRST_CHUNK: Final = 12


def places_of(head: bytes) -> dict[bytes, int]:
    """Return where each chunk begins, by its kind, up to `data`; none if a file that begins with `head` has no `data`
    within it.
    """
    places: dict[bytes, int] = {}
    place = FIRST_CHUNK
    while len(head) >= place + 8:
        kind, size = struct.unpack_from("<4sI", head, place)
        places[kind] = place
        if kind == b"data":
            return places
        place += 8 + size + size % 2
    return {}
