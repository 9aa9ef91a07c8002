"""WAV: chunks. FFmpeg reserves what a chunk claims, before it reads it."""

from __future__ import annotations

import struct
from typing import Final

from capture.recordings.headers.bounds import (
    LARGEST_CONFIGURATION_BYTES,
    LARGEST_PICTURES_BYTES,
    MOST_CHAPTERS,
    MOST_TAGS,
    Tally,
)
from capture.recordings.headers.file import File
from capture.recordings.headers.tags import hold_id3

__all__ = ["walk"]

_MOST_CHUNKS: Final = 10_000
_DATA: Final = b"data"

#: The size of a file that is not finished, or too large for this field.
_UNSET: Final = 0xFFFFFFFF

#: What FFmpeg reads into memory.
_READ: Final = (b"LIST", b"bext", b"iXML", b"cue ", b"id3 ", b"ID3 ")


def walk(file: File) -> None:
    """Raises `ExcessError`."""
    tally = Tally()
    position = 12
    long_data_size = _UNSET
    while len(header := file.at(position, 8)) == 8:
        kind, size = struct.unpack("<4sI", header)
        body = position + 8
        tally.add("chunks", 1, _MOST_CHUNKS)
        if kind == b"ds64":
            long_data_size = int.from_bytes(file.at(body + 8, 8), "little")
        if kind == b"fmt ":
            tally.hold("the format of the sound", size, LARGEST_CONFIGURATION_BYTES)
        elif kind == _DATA:
            size = long_data_size if size == _UNSET else size
            if size in (0, _UNSET):
                # The writer was stopped: FFmpeg takes all that follows for sound.
                return
        elif kind in _READ:
            tally.hold(f"'{kind.decode().strip()}'", size, LARGEST_PICTURES_BYTES)
        if kind == b"LIST":
            _hold_list(tally, file, body, body + size)
        elif kind == b"cue ":
            tally.add("chapters", int.from_bytes(file.at(body, 4), "little"), MOST_CHAPTERS)
        elif kind.lower() == b"id3 ":
            hold_id3(tally, file, body)
        position = body + size + size % 2


def _hold_list(tally: Tally, file: File, position: int, end: int) -> None:
    position += 4
    while position + 8 <= end and len(header := file.at(position, 8)) == 8:
        _, size = struct.unpack("<4sI", header)
        tally.add("tags", 1, MOST_TAGS)
        tally.hold("a tag", size, LARGEST_PICTURES_BYTES)
        position += 8 + size + size % 2
