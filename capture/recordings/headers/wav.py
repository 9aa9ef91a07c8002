"""WAV: chunks. FFmpeg reserves what a chunk claims, before it reads it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from capture.recordings.headers.bounds import (
    LARGEST_CONFIGURATION_BYTES,
    LARGEST_PICTURES_BYTES,
    MOST_CHAPTERS,
    MOST_TAGS,
    Tally,
)
from capture.recordings.headers.file import File
from capture.recordings.headers.tags import hold_id3

__all__ = ["DATA", "LONG_SIZES", "UNSET", "Chunk", "chunks", "walk"]

_MOST_CHUNKS: Final = 10_000
DATA: Final = b"data"

#: The sizes of 64 bits.
LONG_SIZES: Final = b"ds64"

#: The size of a file that is not finished, or too large for this field.
UNSET: Final = 0xFFFFFFFF

#: What FFmpeg reads into memory.
_READ: Final = (b"LIST", b"bext", b"iXML", b"cue ", b"id3 ", b"ID3 ")


class Chunk(NamedTuple):
    kind: bytes
    body: int
    #: That of the samples may come from another chunk; `UNSET` if the writer was stopped before it stated any.
    size: int


def chunks(file: File) -> Iterator[Chunk]:
    """Yield the chunks in order, up to one that is cut off or whose size was never set.

    The sizes of the file and of the samples are filled in on closing; beyond 4 GB they are in a chunk of their own.
    """
    position, long_data_size = 12, UNSET
    while len(header := file.at(position, 8)) == 8:
        kind, size = struct.unpack("<4sI", header)
        body = position + 8
        if kind == LONG_SIZES:
            long_data_size = int.from_bytes(file.at(body + 8, 8).ljust(8, b"\0"), "little")
        elif kind == DATA:
            size = long_data_size if size == UNSET else size
            # FFmpeg takes everything that follows for samples, too.
            size = size or (UNSET if file.size > body else 0)
        yield Chunk(kind, body, size)
        if kind == DATA and size == UNSET:
            return
        position = body + size + size % 2


def walk(file: File) -> None:
    """Raises `ExcessError`."""
    tally = Tally()
    for kind, body, size in chunks(file):
        tally.add("chunks", 1, _MOST_CHUNKS)
        if kind == b"fmt ":
            tally.hold("the format of the sound", size, LARGEST_CONFIGURATION_BYTES)
        elif kind in _READ:
            tally.hold(f"'{kind.decode().strip()}'", size, LARGEST_PICTURES_BYTES)
        if kind == b"LIST":
            _hold_list(tally, file, body, body + size)
        elif kind == b"cue ":
            tally.add("chapters", int.from_bytes(file.at(body, 4), "little"), MOST_CHAPTERS)
        elif kind.lower() == b"id3 ":
            hold_id3(tally, file, body)


def _hold_list(tally: Tally, file: File, position: int, end: int) -> None:
    position += 4
    while position + 8 <= end and len(header := file.at(position, 8)) == 8:
        _, size = struct.unpack("<4sI", header)
        tally.add("tags", 1, MOST_TAGS)
        tally.hold("a tag", size, LARGEST_PICTURES_BYTES)
        position += 8 + size + size % 2
