"""FLAC: blocks of metadata before the sound."""

from __future__ import annotations

from typing import Final

from capture.recordings.headers.bounds import LARGEST_PICTURES_BYTES, MOST_CHAPTERS, MOST_PICTURES, Tally
from capture.recordings.headers.file import File
from capture.recordings.headers.tags import COMMENTS_START_BYTES, hold_comments

__all__ = ["walk"]

_SEEK_TABLE: Final = 3
_COMMENTS: Final = 4
_CUE_SHEET: Final = 5
_PICTURE: Final = 6

_SEEK_POINT_BYTES: Final = 18
_MOST_SEEK_POINTS: Final = 100_000
_MOST_BLOCKS: Final = 10_000


def walk(file: File, position: int = 0) -> None:
    """Walk the blocks behind the mark `fLaC` at `position`. Raises `ExcessError`."""
    tally = Tally()
    position += 4
    while len(header := file.at(position, 4)) == 4:
        kind, size = header[0] & 0x7F, int.from_bytes(header[1:], "big")
        tally.add("blocks of metadata", 1, _MOST_BLOCKS)
        tally.add("bytes of titles and pictures", min(size, file.size), LARGEST_PICTURES_BYTES)
        if kind == _SEEK_TABLE:
            tally.add("places to seek to", size // _SEEK_POINT_BYTES, _MOST_SEEK_POINTS)
        elif kind == _COMMENTS:
            hold_comments(tally, file.at(position + 4, min(size, COMMENTS_START_BYTES)))
        elif kind == _CUE_SHEET:
            tally.add("chapters", size // 36, MOST_CHAPTERS)
        elif kind == _PICTURE:
            tally.add("pictures", 1, MOST_PICTURES)
        position += 4 + size
        if header[0] & 0x80:
            return
