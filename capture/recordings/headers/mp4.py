"""MP4, MOV and M4A: boxes in boxes, and tables with counts.

FFmpeg reads a box by its kind, wherever it is. So does this walk: it enters all boxes that contain others, and holds
the count of every table, whatever the box around it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from capture.output.mp4_boxes import Box, boxes
from capture.recordings.headers.bounds import (
    LARGEST_CONFIGURATION_BYTES,
    LARGEST_PICTURES_BYTES,
    MOST_CHAPTERS,
    MOST_PICTURES,
    MOST_TAGS,
    MOST_TRACKS,
    ExcessError,
    Tally,
    most_packets,
)
from capture.recordings.headers.file import File

__all__ = ["walk"]

_CONTAINERS: Final = frozenset(
    (
        b"moov trak mdia minf stbl dinf edts moof traf mvex mfra udta meta ilst tref wave sinf iprp ipco strk ----"
    ).split()
)

#: Tables, and where the count is behind version and flags.
_TABLES: Final = {
    **dict.fromkeys((b"stts", b"ctts", b"stsc", b"stco", b"co64", b"stss", b"stps", b"senc", b"saio"), 0),
    b"saiz": 1,
    b"sbgp": 4,
    b"sgpd": 4,
    b"tfra": 8,
}

#: FFmpeg goes ten boxes deep.
_DEEPEST: Final = 16

#: Boxes beside those of fragments.
_MOST_BOXES: Final = 100_000

#: Edits of a film. FFmpeg may list the samples of a track once for each.
_MOST_EDITS: Final = 1_000

#: Tables of pictures, in files that are no film.
_MOST_ITEMS: Final = 10_000

#: Protection schemes. FFmpeg copies all whenever it finds one.
_MOST_KEYS: Final = 100

#: How much FFmpeg reads at a time. A chunk further on, or before the last one, takes a seek and a read of that.
_FAR_BYTES: Final = 32_768

#: Such chunks of one file, beside those that its size allows in the order of their bytes.
_MOST_FAR: Final = 100_000

#: Samples of plain sound that FFmpeg joins, at least.
_JOINED_SAMPLES: Final = 160


@dataclass(slots=True)
class _Track:
    """What is known of a track: its number and the tables that say how many samples it has."""

    number: int = 0
    samples: int = 0
    chunks: int = 0
    edits: int = 0
    #: The table of chunks: a row for the first chunk of each kind, with its samples in the second column.
    per_chunk: np.ndarray[Any, Any] = field(default_factory=lambda: np.zeros((0, 3), ">u4"))
    is_plain: bool = False
    chapters_in: list[int] = field(default_factory=list)


def walk(file: File) -> None:
    """Raises `ExcessError`."""
    _Walk(file).run()


class _Walk:
    def __init__(self, file: File) -> None:
        self._file = file
        self._tally = Tally()
        self._most = most_packets(file.size)
        self._tracks = [_Track()]

    def run(self) -> None:
        self._boxes(0, self._file.size, 0)
        for track in self._tracks:
            self._hold_samples(track)
        chapters = {number for track in self._tracks for number in track.chapters_in}
        for track in self._tracks:
            if track.number in chapters:
                self._tally.add("chapters", track.samples, MOST_CHAPTERS)

    def _boxes(self, position: int, end: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise ExcessError(f"the file is damaged: its headers are more than {_DEEPEST} levels deep")
        for box in boxes(self._file.at, position, end):
            # Its header may reach beyond the box around it.
            self._box(box, max(box.body, min(box.end, end)), depth)

    def _box(self, box: Box, end: int, depth: int) -> None:
        """Hold what a box claims, or those in it; it ends no later than the box around it."""
        kind, body = box.kind, box.body
        if depth and kind not in (b"traf", b"tfhd", b"tfdt", b"trun", b"mfhd"):
            self._tally.add("boxes in its index", 1, _MOST_BOXES)
        if kind == b"trak":
            self._tally.add("tracks", 1, MOST_TRACKS)
            self._tracks.append(_Track())
        elif kind == b"cmov":
            raise ExcessError("its index is compressed, which no recorder of today does: capture does not read it")
        if kind in (b"udta", b"meta"):
            self._tally.hold("titles and pictures", end - body, LARGEST_PICTURES_BYTES)
        if kind == b"meta" and self._file.at(body + 4, 4) != b"hdlr":
            body += 4
        if kind in _CONTAINERS:
            self._boxes(body, end, depth + 1)
        elif kind == b"stsd":
            self._tally.hold("the description of a track", end - body, LARGEST_CONFIGURATION_BYTES)
        elif kind in _TABLES:
            self._table(box)
        else:
            self._other(box, end)

    def _numbers(self, position: int, count: int) -> tuple[int, ...]:
        """Return `count` numbers of 32 bits; 0 for those beyond the file."""
        return struct.unpack(f">{count}I", self._file.at(position, 4 * count).ljust(4 * count, b"\0"))

    def _table(self, box: Box) -> None:
        track = self._tracks[-1]
        at = box.body + 4 + _TABLES[box.kind]
        version_and_flags = self._file.at(box.body, 4).ljust(4, b"\0")
        if box.kind in (b"sbgp", b"sgpd") and version_and_flags[0]:
            at += 4
        elif box.kind in (b"saiz", b"saio") and version_and_flags[3] & 1:
            at += 8
        (count,) = self._numbers(at, 1)
        if box.kind == b"stts":
            track.is_plain = count == 1 and self._numbers(box.body + 12, 1) == (1,)
        elif box.kind in (b"stco", b"co64"):
            track.chunks += count
        self._tally.add("entries in the tables of its index", count, 4 * self._most)
        if box.kind == b"stsc":
            track.per_chunk = self._rows(at + 4, count, ">u4", 3)
        elif box.kind in (b"stco", b"co64"):
            places = self._rows(at + 4, count, ">u4" if box.kind == b"stco" else ">u8", 1)[:, 0].astype(np.int64)
            far = np.count_nonzero((np.diff(places) < 0) | (np.diff(places) > _FAR_BYTES))
            most = _MOST_FAR + self._file.size // _FAR_BYTES
            self._tally.add("chunks far from the ones before them", int(far), most)

    def _rows(self, position: int, count: int, dtype: str, columns: int) -> np.ndarray[Any, Any]:
        """Return the rows of a table that are in the file."""
        row_bytes = columns * np.dtype(dtype).itemsize
        table = self._file.at(position, count * row_bytes)
        return np.frombuffer(table[: len(table) // row_bytes * row_bytes], dtype).reshape(-1, columns)

    def _other(self, box: Box, end: int) -> None:
        track, kind, body = self._tracks[-1], box.kind, box.body
        if kind == b"tkhd":
            version = self._file.at(body, 1)
            (track.number,) = self._numbers(body + (20 if version == b"\1" else 12), 1)
        elif kind in (b"stsz", b"stz2"):
            track.samples += self._numbers(body + 8, 1)[0]
        elif kind == b"trun":
            self._tally.add("samples in its fragments", self._numbers(body + 4, 1)[0], self._most)
        elif kind == b"elst":
            count = self._numbers(body + 4, 1)[0]
            self._tally.add("edits", count, _MOST_EDITS)
            track.edits += count
        elif kind == b"chap":
            track.chapters_in += self._numbers(body, min(end - body, 4 * MOST_TRACKS) // 4)
        elif kind == b"HMMT":
            self._tally.add("chapters", self._numbers(body, 1)[0], MOST_CHAPTERS)
        elif kind == b"keys":
            self._tally.add("tags", self._numbers(body + 4, 1)[0], MOST_TAGS)
        elif kind in (b"iinf", b"iloc", b"ipma"):
            at = body + (6 if kind == b"iloc" else 4)
            wide = self._file.at(body, 1) > (b"\1" if kind == b"iloc" else b"\0")
            self._tally.add("pictures", int.from_bytes(self._file.at(at, 4 if wide else 2), "big"), _MOST_ITEMS)
        elif kind == b"pssh":
            self._tally.add("keys of protected tracks", 1, _MOST_KEYS)
        elif kind == b"covr":
            self._tally.add("pictures", 1, MOST_PICTURES)
        elif kind[:1] == b"\xa9" or kind == b"data":
            self._tally.add("tags", 1, MOST_TAGS)

    def _hold_samples(self, track: _Track) -> None:
        samples = track.samples
        if track.is_plain:
            # Chunks from one entry to the next have the same number of samples.
            firsts = np.minimum(track.per_chunk[:, 0].astype(np.int64), track.chunks + 1)
            chunks = np.diff(firsts, append=track.chunks + 1).clip(0)
            total = float(chunks.astype(np.float64) @ track.per_chunk[:, 1].astype(np.float64))
            samples = track.chunks + int(total) // _JOINED_SAMPLES
        # An empty edit, for a track that starts late, repeats nothing.
        self._tally.add("samples", samples * max(1, track.edits - 1), self._most)
