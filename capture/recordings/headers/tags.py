"""Tags: the comments of Ogg and FLAC, ID3 of MP3 and WAV, and APE."""

from __future__ import annotations

import struct
from typing import Final

from capture.recordings.headers.bounds import (
    LARGEST_PICTURES_BYTES,
    MOST_CHAPTERS,
    MOST_PICTURES,
    MOST_TAGS,
    Tally,
)
from capture.recordings.headers.file import File, id3_end

__all__ = ["COMMENTS_START_BYTES", "hold_ape", "hold_comments", "hold_id3"]

#: Programs have shorter names.
COMMENTS_START_BYTES: Final = 64_000

_ID3: Final = b"ID3"
_ID3V1_BYTES: Final = 128
_APE_FOOTER_BYTES: Final = 32


def hold_comments(tally: Tally, start: bytes) -> None:
    """Hold the number of comments in `start`: the first `COMMENTS_START_BYTES` of them, or fewer at the end of a file.

    They begin with the length of a program's name, the name, and the number.
    """
    name_bytes = int.from_bytes(start[:4], "little")
    if len(start) == COMMENTS_START_BYTES:
        tally.hold("the name of a program", name_bytes, COMMENTS_START_BYTES - 8)
    tally.add("tags", int.from_bytes(start[4 + name_bytes : 8 + name_bytes], "little"), MOST_TAGS)


def hold_id3(tally: Tally, file: File, position: int) -> int:
    """Hold what the ID3 tag at `position` claims; return where it ends, or `position` if there is none."""
    head = file.at(position, 10)
    if len(head) < 10 or not head.startswith(_ID3):
        return position
    end = id3_end(head, position)
    version = head[3]
    tally.hold("a tag", min(end, file.size) - position, LARGEST_PICTURES_BYTES)
    at, short = position + 10, version == 2
    header_bytes = 6 if short else 10
    while at + header_bytes <= min(end, file.size):
        frame = file.at(at, header_bytes + 5)
        kind = frame[: 3 if short else 4]
        if not kind.strip(b"\0"):
            return end
        tally.add("tags", 1, MOST_TAGS)
        if kind in (b"APIC", b"PIC"):
            tally.add("pictures", 1, MOST_PICTURES)
        elif kind == b"CHAP":
            tally.add("chapters", 1, MOST_CHAPTERS)
        if short:
            size = int.from_bytes(frame[3:6], "big")
        else:
            size = int.from_bytes(frame[4:8], "big") if version == 3 else id3_end(b"......" + frame[4:8], -10)
            compressed = frame[9] & (0x80 if version == 3 else 0x08)
            if compressed:
                tally.hold("a compressed tag", int.from_bytes(frame[10:14], "big"), LARGEST_PICTURES_BYTES)
        at += header_bytes + size
    return end


def hold_ape(tally: Tally, file: File) -> None:
    """Hold the number of entries of an APE tag, which is at the end, or before an ID3 tag of version 1."""
    for end in (file.size, file.size - _ID3V1_BYTES):
        footer = file.at(max(0, end - _APE_FOOTER_BYTES), _APE_FOOTER_BYTES)
        if footer.startswith(b"APETAGEX") and len(footer) == _APE_FOOTER_BYTES:
            _, size, count = struct.unpack("<III", footer[8:20])
            tally.hold("a tag", min(size, file.size), LARGEST_PICTURES_BYTES)
            tally.add("tags", count, MOST_TAGS)
