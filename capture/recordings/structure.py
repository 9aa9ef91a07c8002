"""Reads from a container's headers whether its file is complete.

A recording that was killed, or copied only in part, often still opens: players play what they find. Only the container
knows whether everything is there, and each format says so in its own way. This module decodes nothing and reads nothing
large: only headers, a few bytes each, and it seeks past everything in between.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from capture.output.mp4_boxes import HEADER_BYTES, boxes
from capture.recordings.headers.file import File, Form, TooManyReadsError, form_of, id3_end, is_mp3_frame
from capture.recordings.headers.matroska import SEGMENT, elements
from capture.recordings.headers.ogg import FIRST_PAGE, MARK, pages
from capture.recordings.headers.wav import DATA, LONG_SIZES, UNSET, chunks

__all__ = ["Ending", "Structure", "read_structure"]

#: A thousand hours of the busiest container here have fewer headers; a file with more was built to keep readers busy.
_MOST_READS: Final = 4_000_000


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


def read_structure(path: Path) -> Structure:
    """Read how the file at `path` ends; its first bytes decide the format. Raises `OSError`."""
    with path.open("rb") as opened:
        file = File(opened, _MOST_READS)
        form = form_of(file.at(0, 12))
        try:
            return _WALKS[form](file) if form else Structure(Ending.UNKNOWN)
        except TooManyReadsError:
            return Structure(Ending.DAMAGED)


# MP4, MOV, M4A: boxes, each with a size and a kind. The recorder writes fragments (moof) while it runs, and one index
# (moov) for all of them when it closes the file.


def _mp4(file: File) -> Structure:
    kinds: set[bytes] = set()
    end = 0
    for box in boxes(file.at, 0, file.size):
        if not all(0x20 <= letter < 0x7F or letter == 0xA9 for letter in box.kind):
            break
        kinds.add(box.kind)
        end = box.end
    if b"moof" in kinds and b"mfra" not in kinds:
        return Structure(Ending.NEVER_CLOSED)
    if end != file.size:
        return Structure(Ending.DAMAGED if end + HEADER_BYTES <= file.size else Ending.CUT_OFF)
    return Structure(Ending.WHOLE if {b"moov", b"mdat"} <= kinds else Ending.NEVER_CLOSED)


# Matroska, WebM: elements, each with an id and a size. The size of the outermost one, the duration and the table of key
# frames are filled in on closing.

_INFO: Final = 0x1549A966
_DURATION: Final = 0x4489
_CUES: Final = 0x1C53BB6B


def _matroska(file: File) -> Structure:
    segment = next((element for element in elements(file, 0, file.size) if element.id == SEGMENT), None)
    if segment is None:
        return Structure(Ending.CUT_OFF)
    if segment.end is None:
        return Structure(Ending.NEVER_CLOSED)
    if segment.end > file.size:
        return Structure(Ending.CUT_OFF)
    found: set[int] = set()
    position = segment.body
    for element in elements(file, segment.body, segment.end):
        if element.end is None or element.end > segment.end:
            return Structure(Ending.DAMAGED)
        found.add(element.id)
        if element.id == _INFO:
            found.update(inner.id for inner in elements(file, element.body, element.end))
        position = element.end
    if position != segment.end:
        return Structure(Ending.DAMAGED)
    return Structure(Ending.WHOLE if {_DURATION, _CUES} <= found else Ending.NEVER_CLOSED)


# Ogg: numbered pages, each of one stream. The last page of a stream is marked as such.

_LAST_PAGE: Final = 0x04


def _ogg(file: File) -> Structure:
    # For each stream, the number of its latest page, and whether that is marked as the last.
    latest: dict[bytes, tuple[int, bool]] = {}
    end, damaged = 0, False
    for page in pages(file):
        before = latest.get(page.stream)
        is_expected = bool(page.flags & FIRST_PAGE) if before is None else page.number == before[0] + 1
        damaged = damaged or page.position != end or not is_expected
        if before is not None or is_expected:
            latest[page.stream] = page.number, bool(page.flags & _LAST_PAGE)
        end = page.end
    rest = file.at(end, len(MARK)) if end < file.size else b""
    if end > file.size or (rest and MARK.startswith(rest)):
        return Structure(Ending.CUT_OFF)
    if not all(ended for _, ended in latest.values()):
        return Structure(Ending.NEVER_CLOSED)
    return Structure(Ending.DAMAGED if damaged or rest else Ending.WHOLE)


# WAV: chunks, each with a kind and a size.


def _wav(file: File) -> Structure:
    stated = int.from_bytes(file.at(4, 4), "little")
    for chunk in chunks(file):
        if chunk.kind == LONG_SIZES:
            stated = int.from_bytes(file.at(chunk.body, 8), "little")
        elif chunk.kind == DATA:
            if stated in (0, UNSET) or chunk.size == UNSET:
                return Structure(Ending.NEVER_CLOSED)
            return Structure(Ending.CUT_OFF if chunk.body + chunk.size > file.size else Ending.WHOLE)
    return Structure(Ending.CUT_OFF)


# FLAC: the first block states the rate and the number of samples, which is filled in on closing.


def _flac(file: File) -> Structure:
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
_MONO: Final = 0xC0


def _mp3(file: File) -> Structure:
    first = _after_tags(file)
    header = file.at(first, 4)
    if not is_mp3_frame(header):
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


def _after_tags(file: File) -> int:
    """Return where the first frame starts, after any ID3 tags."""
    position = 0
    while len(tag := file.at(position, 10)) == 10 and tag.startswith(b"ID3"):
        position = id3_end(tag, position)
    return position


_WALKS: Final[dict[Form, Callable[[File], Structure]]] = {
    Form.MP4: _mp4,
    Form.MATROSKA: _matroska,
    Form.OGG: _ogg,
    Form.WAV: _wav,
    Form.FLAC: _flac,
    Form.MP3: _mp3,
}
