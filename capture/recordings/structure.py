"""Reads from a container's headers whether its file is complete.

A recording that was killed, or copied only in part, often still opens: players play what they find. Only the container
knows whether everything is there, and each format says so in its own way. This module decodes nothing and reads nothing
large: only headers, a few bytes each, and it seeks past everything in between.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

__all__ = ["Ending", "Structure", "read_structure"]

#: A thousand hours of the busiest container here have fewer headers; a file with more was built to keep readers busy.
_MOST_READS: Final = 4_000_000

#: How much of a damaged file to read at a time while looking for the next intact page.
_CHUNK_BYTES: Final = 65_536


class Ending(Enum):
    """How a file ends, by its container's headers."""

    WHOLE = "whole"
    #: The writer stopped before it could finish; everything up to then is there.
    NEVER_CLOSED = "never closed"
    #: Headers announce more bytes than there are.
    CUT_OFF = "cut off"
    #: Headers lead nowhere.
    DAMAGED = "damaged"
    #: The first bytes belong to no format that capture records.
    UNKNOWN = "unknown"


class Structure(NamedTuple):
    """How a file ends and, when only the length shows whether it is whole, the length that its header states."""

    ending: Ending
    promised_s: float | None = None


class _TooManyHeadersError(Exception):
    """The file has more headers than any recording."""


class _File:
    """Reads bytes by position. A read at the end of the file is short."""

    def __init__(self, file: BinaryIO) -> None:
        self.size = os.fstat(file.fileno()).st_size
        self._file = file
        self._reads = 0

    def at(self, position: int, count: int) -> bytes:
        """Return up to `count` bytes. Raises `_TooManyHeadersError` after `_MOST_READS` calls."""
        self._reads += 1
        if self._reads > _MOST_READS:
            raise _TooManyHeadersError
        self._file.seek(position)
        return self._file.read(count)


def read_structure(path: Path) -> Structure:
    """Read how the file at `path` ends; its first bytes decide the format. Raises `OSError`."""
    with path.open("rb") as opened:
        file = _File(opened)
        walk = _walker(file.at(0, 12))
        try:
            return walk(file) if walk else Structure(Ending.UNKNOWN)
        except _TooManyHeadersError:
            return Structure(Ending.DAMAGED)


def _walker(head: bytes) -> Callable[[_File], Structure] | None:
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
        return _mp4
    if head.startswith(b"\x1aE\xdf\xa3"):
        return _matroska
    if head.startswith(b"OggS"):
        return _ogg
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return _wav
    if head.startswith(b"fLaC"):
        return _flac
    if head.startswith(b"ID3") or _is_mp3_frame(head):
        return _mp3
    return None


# MP4, MOV, M4A: boxes, each with a size and a kind. The recorder writes fragments (moof) while it runs, and one index
# (moov) for all of them when it closes the file.


def _mp4(file: _File) -> Structure:
    kinds: set[bytes] = set()
    position, damaged = 0, False
    while position < file.size:
        header = file.at(position, 16)
        if len(header) < 8:
            position = file.size + 1
            break
        size, kind = struct.unpack(">I4s", header[:8])
        smallest = 8
        if size == 1:
            size, smallest = int.from_bytes(header[8:], "big"), 16
        elif size == 0:
            size = file.size - position
        if size < smallest or not all(0x20 <= letter < 0x7F or letter == 0xA9 for letter in kind):
            damaged = True
            break
        kinds.add(kind)
        position += size
    if b"moof" in kinds and b"mfra" not in kinds:
        return Structure(Ending.NEVER_CLOSED)
    if damaged or position > file.size:
        return Structure(Ending.DAMAGED if damaged else Ending.CUT_OFF)
    return Structure(Ending.WHOLE if {b"moov", b"mdat"} <= kinds else Ending.NEVER_CLOSED)


# Matroska, WebM: elements, each with an id and a size. The size of the outermost one, the duration and the table of key
# frames are filled in on closing.

_SEGMENT: Final = 0x18538067
_INFO: Final = 0x1549A966
_DURATION: Final = 0x4489
_CUES: Final = 0x1C53BB6B


class _Element(NamedTuple):
    id: int
    body: int
    #: None while the size is unknown.
    end: int | None


def _matroska(file: _File) -> Structure:
    segment = next((element for element in _elements(file, 0, file.size) if element.id == _SEGMENT), None)
    if segment is None:
        return Structure(Ending.CUT_OFF)
    if segment.end is None:
        return Structure(Ending.NEVER_CLOSED)
    if segment.end > file.size:
        return Structure(Ending.CUT_OFF)
    found: set[int] = set()
    position = segment.body
    for element in _elements(file, segment.body, segment.end):
        if element.end is None or element.end > segment.end:
            return Structure(Ending.DAMAGED)
        found.add(element.id)
        if element.id == _INFO:
            found.update(inner.id for inner in _elements(file, element.body, element.end))
        position = element.end
    if position != segment.end:
        return Structure(Ending.DAMAGED)
    return Structure(Ending.WHOLE if {_DURATION, _CUES} <= found else Ending.NEVER_CLOSED)


def _elements(file: _File, position: int, end: int) -> Iterator[_Element]:
    """Yield the elements in order from `position` to `end`, or to the first whose end is unknown or unreadable."""
    while position < end:
        header = file.at(position, 12)
        id_bytes = _coded_length(header[:1])
        size_bytes = _coded_length(header[id_bytes : id_bytes + 1])
        if not 1 <= id_bytes <= 4 or not size_bytes or len(header) < id_bytes + size_bytes:
            return
        body = position + id_bytes + size_bytes
        all_ones = (1 << 7 * size_bytes) - 1
        size = int.from_bytes(header[id_bytes : id_bytes + size_bytes], "big") & all_ones
        element = _Element(int.from_bytes(header[:id_bytes], "big"), body, None if size == all_ones else body + size)
        yield element
        if element.end is None:
            return
        position = element.end


def _coded_length(first: bytes) -> int:
    """Return how many bytes a variable-length number takes, from the leading zeros of its first byte; 0 for none."""
    return 9 - first[0].bit_length() if first and first[0] else 0


# Ogg: numbered pages, each of one stream. The last page of a stream is marked as such.

_FIRST_PAGE: Final = 0x02
_LAST_PAGE: Final = 0x04


def _ogg(file: _File) -> Structure:
    # For each stream, the number of its latest page, and whether that is marked as the last.
    latest: dict[bytes, tuple[int, bool]] = {}
    position, damaged = 0, False
    while position < file.size:
        header = file.at(position, 27)
        if not header.startswith(b"OggS"[: len(header)]):
            damaged = True
            position = _next_page(file, position)
            continue
        lengths = file.at(position + 27, header[26]) if len(header) == 27 else b""
        if len(header) < 27 or len(lengths) < header[26]:
            return Structure(Ending.CUT_OFF)
        flags, stream = header[5], header[14:18]
        number: int = struct.unpack("<I", header[18:22])[0]
        if stream in latest or flags & _FIRST_PAGE:
            damaged = damaged or (stream in latest and number != latest[stream][0] + 1)
            latest[stream] = number, bool(flags & _LAST_PAGE)
        else:
            damaged = True
        position += 27 + len(lengths) + sum(lengths)
    if position > file.size:
        return Structure(Ending.CUT_OFF)
    if not all(ended for _, ended in latest.values()):
        return Structure(Ending.NEVER_CLOSED)
    return Structure(Ending.DAMAGED if damaged else Ending.WHOLE)


def _next_page(file: _File, position: int) -> int:
    """Return where the next page after `position` starts, or the end of the file."""
    position += 1
    while position < file.size:
        found = file.at(position, _CHUNK_BYTES).find(b"OggS")
        if found >= 0:
            return position + found
        position += _CHUNK_BYTES - 3
    return file.size


# WAV: chunks, each with a kind and a size. The sizes of the file and of the samples are filled in on closing; beyond
# 4 GB they are in a separate chunk (ds64).

_UNSET: Final = 0xFFFFFFFF


def _wav(file: _File) -> Structure:
    riff_size: int = struct.unpack("<I", file.at(4, 4))[0]
    long_data_size: int | None = None
    position = 12
    while len(header := file.at(position, 8)) == 8:
        kind, size = struct.unpack("<4sI", header)
        if kind == b"ds64":
            riff_size, long_data_size = struct.unpack("<QQ", file.at(position + 8, 16).ljust(16, b"\0"))
        if kind == b"data":
            return Structure(_wav_ending(file.size, riff_size, position + 8, size, long_data_size))
        position += 8 + size + size % 2
    return Structure(Ending.CUT_OFF)


def _wav_ending(file_size: int, riff_size: int, data: int, data_size: int, long_data_size: int | None) -> Ending:
    if data_size == _UNSET and long_data_size is not None:
        data_size = long_data_size
    if riff_size in (0, _UNSET) or data_size == _UNSET or (data_size == 0 and file_size > data):
        return Ending.NEVER_CLOSED
    return Ending.CUT_OFF if data + data_size > file_size else Ending.WHOLE


# FLAC: the first block states the rate and the number of samples, which is filled in on closing.


def _flac(file: _File) -> Structure:
    numbers = file.at(18, 8)
    if len(numbers) < 8:
        return Structure(Ending.CUT_OFF)
    packed = int.from_bytes(numbers, "big")
    sample_rate, samples = packed >> 44, packed & (1 << 36) - 1
    if not samples:
        return Structure(Ending.NEVER_CLOSED)
    if not sample_rate:
        return Structure(Ending.DAMAGED)
    return Structure(Ending.WHOLE, promised_s=samples / sample_rate)


# MP3: independent frames. The first may carry a table instead of sound: how many frames and bytes there are, filled in
# on closing. Without that table nothing shows that frames are missing.

_MPEG_1: Final = 0x18
_LAYER_3: Final = 0x02
_MONO: Final = 0xC0


def _is_mp3_frame(header: bytes) -> bool:
    return len(header) > 3 and header[0] == 0xFF and header[1] & 0xE0 == 0xE0 and header[1] & 0x06 == _LAYER_3


def _mp3(file: _File) -> Structure:
    first = _after_tags(file)
    header = file.at(first, 4)
    if not _is_mp3_frame(header):
        return Structure(Ending.CUT_OFF if first >= file.size else Ending.DAMAGED)
    mono = header[3] & _MONO == _MONO
    mpeg_1 = header[1] & _MPEG_1 == _MPEG_1
    side_bytes = {(True, False): 32, (True, True): 17, (False, False): 17, (False, True): 9}[mpeg_1, mono]
    table = file.at(first + 4 + side_bytes, 16)
    if len(table) < 16 or table[:4] not in (b"Xing", b"Info"):
        return Structure(Ending.WHOLE)
    fields, frames, size = struct.unpack(">III", table[4:])
    if fields & 3 != 3:
        return Structure(Ending.WHOLE)
    if frames == 0:
        return Structure(Ending.NEVER_CLOSED)
    return Structure(Ending.CUT_OFF if first + size > file.size else Ending.WHOLE)


def _after_tags(file: _File) -> int:
    """Return where the first frame starts, after any ID3 tags."""
    position = 0
    while len(tag := file.at(position, 10)) == 10 and tag.startswith(b"ID3"):
        sevens = tag[6:10]
        position += 10 + (sevens[0] << 21 | sevens[1] << 14 | sevens[2] << 7 | sevens[3])
    return position
