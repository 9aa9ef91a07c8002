"""MKV and WebM: elements in elements.

Only what is beside the packets is walked; packets are counted when they are read.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from capture.recordings.headers.bounds import (
    LARGEST_CONFIGURATION_BYTES,
    LARGEST_PICTURES_BYTES,
    MOST_CHAPTERS,
    MOST_PICTURES,
    MOST_TAGS,
    MOST_TRACKS,
    ExcessError,
    Tally,
)
from capture.recordings.headers.file import File

__all__ = ["SEGMENT", "Element", "elements", "walk"]

SEGMENT: Final = 0x18538067

_CLUSTER: Final = 0x1F43B675
_SEEK_HEAD: Final = 0x114D9B74
_SEEK: Final = 0x4DBB
_SEEK_POSITION: Final = 0x53AC
_TRACKS: Final = 0x1654AE6B
_CODEC_ID: Final = 0x86
_ATTACHMENTS: Final = 0x1941A469

#: What FFmpeg makes a list of, and the most of each.
_COUNTED: Final = {
    0xAE: ("tracks", MOST_TRACKS),
    0x67C8: ("tags", MOST_TAGS),
    0x7373: ("tags", MOST_TAGS),
    0xB6: ("chapters", MOST_CHAPTERS),
    0x45B9: ("chapters", MOST_CHAPTERS),
    0x61A7: ("pictures", MOST_PICTURES),
}

#: Elements that contain others: heads and entries of seek tables, tracks, cues, chapters, tags and attachments.
_PARENTS: Final = frozenset(
    (
        *(_SEEK_HEAD, _SEEK, 0x1549A966, _TRACKS, 0xAE, 0xE0, 0xE1, 0xE2, 0xE3, 0xE4, 0xE8, 0x55B0, 0x55D0, 0x7670),
        *(0x6D80, 0x6240, 0x5034, 0x5035, 0x47E7, 0x41E4, 0x6624, 0x1C53BB6B, 0xBB, 0xB7, 0xDB),
        *(0x1043A770, 0x45B9, 0xB6, 0x8F, 0x80, 0x6944, 0x6911, 0x1254C367, 0x7373, 0x63C0, 0x67C8),
        *(_ATTACHMENTS, 0x61A7),
    )
)

#: FFmpeg goes sixteen elements deep.
_DEEPEST: Final = 20

#: Elements beside the packets: a table of key frames has six for each.
_MOST_ELEMENTS: Final = 300_000

#: In larger files, there is at most one for this many bytes.
_LEAST_BYTES: Final = 150


class Element(NamedTuple):
    id: int
    body: int
    #: None while the size is unknown.
    end: int | None


def elements(file: File, position: int, end: int) -> Iterator[Element]:
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
        element = Element(int.from_bytes(header[:id_bytes], "big"), body, None if size == all_ones else body + size)
        yield element
        if element.end is None:
            return
        position = element.end


def _coded_length(first: bytes) -> int:
    """Return how many bytes a variable-length number takes, from the leading zeros of its first byte; 0 for none."""
    return 9 - first[0].bit_length() if first and first[0] else 0


def walk(file: File) -> None:
    """Raises `ExcessError`."""
    _Walk(file).run()


class _Walk:
    def __init__(self, file: File) -> None:
        self._file = file
        self._tally = Tally()
        self._most_elements = max(_MOST_ELEMENTS, file.size // _LEAST_BYTES)
        self._segment = 0
        self._walked: set[int] = set()
        self._referred: list[int] = []

    def run(self) -> None:
        for outer in elements(self._file, 0, self._file.size):
            if outer.id == SEGMENT:
                self._segment = outer.body
                self._top(outer.body, self._file.size if outer.end is None else min(outer.end, self._file.size))
        # FFmpeg follows seek tables to wherever they point.
        for position in self._referred:
            for element in elements(self._file, position, self._file.size):
                self._level_one(element)
                break

    def _top(self, position: int, end: int) -> None:
        for element in elements(self._file, position, end):
            if element.id == _CLUSTER and element.end is None:
                self._top(element.body, end)
                return
            self._level_one(element)

    def _level_one(self, element: Element) -> None:
        if element.id == _CLUSTER or element.body in self._walked:
            return
        self._walked.add(element.body)
        end = self._file.size if element.end is None else min(element.end, self._file.size)
        if element.id in _PARENTS:
            self._inside(element.body, end, element.id, 1)

    def _inside(self, position: int, end: int, top: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise ExcessError(f"the file is damaged: its headers are more than {_DEEPEST} levels deep")
        for element in elements(self._file, position, end):
            self._tally.add("entries in the tables beside its packets", 1, self._most_elements)
            if element.id in _COUNTED:
                things, most = _COUNTED[element.id]
                self._tally.add(things, 1, most)
            # Its header may reach beyond the element around it.
            inner_end = max(element.body, end if element.end is None else min(element.end, end))
            if element.id in _PARENTS:
                self._inside(element.body, inner_end, top, depth + 1)
                continue
            self._leaf(element, inner_end - element.body, top)

    def _leaf(self, element: Element, size: int, top: int) -> None:
        if top == _ATTACHMENTS:
            self._tally.add("bytes of pictures and fonts", size, LARGEST_PICTURES_BYTES)
        elif top == _TRACKS:
            self._tally.hold("the description of a track", size, LARGEST_CONFIGURATION_BYTES)
        else:
            self._tally.add("bytes of titles", size, LARGEST_PICTURES_BYTES)
        if element.id == _SEEK_POSITION and size <= 8:
            position = self._segment + int.from_bytes(self._file.at(element.body, size), "big")
            if position < self._file.size:
                self._referred.append(position)
        elif element.id == _CODEC_ID and self._file.at(element.body, 6) == b"A_REAL":
            raise ExcessError("it holds sound in RealAudio, which capture does not read")
