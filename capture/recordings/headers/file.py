"""Reads headers by position, and tells the formats apart by their first bytes."""

from __future__ import annotations

import os
from enum import Enum
from typing import BinaryIO, Final

__all__ = ["File", "Form", "TooManyReadsError", "form_of", "id3_end", "is_mp3_frame"]

#: Five hours of the busiest container here have fewer headers; a file with more was built to keep readers busy.
_MOST_READS: Final = 1_000_000

#: In larger files, there is at most one header for this many bytes.
_LEAST_BYTES: Final = 50

_LAYER_3: Final = 0x02


class TooManyReadsError(Exception):
    """The file has more headers than any recording."""


class File:
    """Reads bytes by position. A read at the end of the file is short."""

    def __init__(self, file: BinaryIO, most_reads: int = 0) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self.most_reads = most_reads or max(_MOST_READS, self.size // _LEAST_BYTES)
        self._file = file
        self._reads = 0

    def at(self, position: int, count: int) -> bytes:
        """Return up to `count` bytes. Raises `TooManyReadsError` after `most_reads` calls."""
        self._reads += 1
        if self._reads > self.most_reads:
            raise TooManyReadsError
        self._file.seek(position)
        return self._file.read(count)


class Form(Enum):
    """The containers that capture reads, by FFmpeg's name for their demuxer."""

    MP4 = "mov"
    MATROSKA = "matroska"
    OGG = "ogg"
    WAV = "wav"
    FLAC = "flac"
    MP3 = "mp3"


def form_of(head: bytes) -> Form | None:
    """Return the container that starts with these twelve bytes; None for any other file."""
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return Form.MP4
    if head.startswith(b"\x1aE\xdf\xa3"):
        return Form.MATROSKA
    if head.startswith(b"OggS"):
        return Form.OGG
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return Form.WAV
    if head.startswith(b"fLaC"):
        return Form.FLAC
    if head.startswith(b"ID3") or is_mp3_frame(head):
        return Form.MP3
    return None


def is_mp3_frame(header: bytes) -> bool:
    return len(header) > 3 and header[0] == 0xFF and header[1] & 0xE0 == 0xE0 and header[1] & 0x06 == _LAYER_3


def id3_end(tag: bytes, position: int) -> int:
    """Return where the ID3 tag ends that starts with these ten bytes at `position`."""
    sevens = tag[6:10]
    return position + 10 + (sevens[0] << 21 | sevens[1] << 14 | sevens[2] << 7 | sevens[3])
