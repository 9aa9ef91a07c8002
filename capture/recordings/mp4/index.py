"""Reads the index of a finished MP4, MOV or M4A: where each sample is, how large, and when it is decoded.

What the index calls a sample is a packet elsewhere (ISO/IEC 14496-12, section 8.6 to 8.7).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np

from capture.output.mp4_boxes import boxes, boxes_in, child, timescale_of, track_id_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Samples", "Table", "read_index", "read_table"]

_Whole: TypeAlias = "npt.NDArray[np.int64]"

#: The bit of a data reference that says that the samples are in this file (section 8.7.2).
_IN_THIS_FILE: Final = 1

#: FFmpeg takes longer ones for mistakes.
_LONGEST: Final = 2**31

#: An index is held in memory several times. A day of picture and sound has a tenth of this.
_LARGEST_BYTES: Final = 256_000_000


class Samples(NamedTuple):
    """Consecutive samples of one track: arrays of the same length."""

    #: Where each begins in its file, and its length, both in bytes.
    places: _Whole
    sizes: _Whole
    #: When each is decoded.
    times: _Whole
    is_key: npt.NDArray[np.bool_]

    @property
    def length(self) -> int:
        return len(self.sizes)

    def part(self, first: int, last: int) -> Samples:
        """Return those from number `first` up to `last`."""
        return Samples(self.places[first:last], self.sizes[first:last], self.times[first:last], self.is_key[first:last])


class Table(NamedTuple):
    """What the index says of a track, whose times begin at 0 and are counted in `units_per_s`."""

    number: int
    units_per_s: int
    samples: Samples
    #: How long each sample lasts.
    durations: _Whole

    @property
    def is_rising(self) -> bool:
        """Whether every sample begins later than the one before."""
        return bool(np.all(self.durations[:-1] > 0))

    def fits(self, size_bytes: int) -> bool:
        """Whether every sample has bytes within a file of this size."""
        places, sizes = self.samples.places, self.samples.sizes
        return bool(sizes.min() > 0 and places.min() >= 0 and (places + sizes).max() <= size_bytes)


def read_index(path: Path) -> dict[int, Table]:
    """Return the table of each track by its number, without those that are in any way unusual.

    Unusual are tracks whose samples are shown in another order than they are stored, have several descriptions, lie in
    another file or outside of this one, or share bytes, and all tracks of a file with fragments. The headers of the
    file have been walked (`headers`), which keeps the counts within bounds. Raises `OSError`.
    """
    with path.open("rb") as file:
        size_bytes = os.fstat(file.fileno()).st_size

        def read(position: int, count: int) -> bytes:
            file.seek(position)
            return file.read(count)

        found = [box for box in boxes(read, 0, size_bytes) if box.kind in (b"moov", b"moof")]
        if [box.kind for box in found] != [b"moov"] or found[0].end - found[0].body > _LARGEST_BYTES:
            return {}
        index = read(found[0].body, found[0].end - found[0].body)
    if child(index, b"mvex"):
        return {}
    tables = {}
    total = 0
    for kind, content in boxes_in(index):
        if kind != b"trak":
            continue
        try:
            table = read_table(content) if _is_usual(content) else None
        except (struct.error, ValueError, IndexError):
            continue
        if table is not None and table.fits(size_bytes):
            total += int(table.samples.sizes.sum())
            tables[table.number] = table
    return tables if total <= size_bytes else {}


def _is_usual(track: bytes) -> bool:
    """Whether a track is stored in the order in which it is shown, and in this file, with samples of its own sizes."""
    inside = [kind for kind, _ in boxes_in(child(track, b"stbl"))]
    # Sound whose samples all have one size is not coded: a packet of it is many of them.
    same, count = struct.unpack_from(">II", child(track, b"stsz"), 4)
    (descriptions,) = struct.unpack_from(">I", child(track, b"stsd"), 4)
    is_plain = not {b"ctts", b"stz2", b"stps"} & set(inside) and len(inside) == len(set(inside))
    return is_plain and not same and count > 0 and descriptions == 1 and _is_in_this_file(child(track, b"minf"))


def read_table(track: bytes) -> Table:
    """Return the table of a track, which is the content of its `trak`.

    Raises `struct.error`, `ValueError` or `IndexError` when something is missing or does not fit.
    """
    inside = dict(boxes_in(child(track, b"stbl")))
    same, count = struct.unpack_from(">II", inside.get(b"stsz", b""), 4)
    sizes = np.full(count, same, np.int64) if same else _numbers(inside[b"stsz"], 12, count, ">u4")
    durations = _durations(inside.get(b"stts", b""), count)
    places = _places(inside, sizes)
    is_key = np.ones(count, np.bool_)
    if b"stss" in inside:
        is_key[:] = False
        (keys,) = struct.unpack_from(">I", inside[b"stss"], 4)
        is_key[_numbers(inside[b"stss"], 8, keys, ">u4") - 1] = True
    times = np.cumsum(durations) - durations
    number, units_per_s = track_id_of(child(track, b"tkhd")), timescale_of(child(track, b"mdhd"))
    if not units_per_s:
        raise ValueError("no unit of time")
    return Table(number, units_per_s, Samples(places, sizes, times, is_key), durations)


def _is_in_this_file(media: bytes) -> bool:
    for kind, content in boxes_in(media):
        if kind == b"dinf":
            references = child(content, b"dref")
            (flags,) = struct.unpack_from(">I", references, 16)
            return references[4:8] == b"\0\0\0\1" and bool(flags & _IN_THIS_FILE)
    return False


def _numbers(table: bytes, at: int, count: int, dtype: str, columns: int = 1) -> _Whole:
    """Return the numbers of a table, (count,) or (count, columns). Raises `ValueError` if some are missing."""
    found: npt.NDArray[Any] = np.frombuffer(table, dtype, count * columns, at).astype(np.int64)
    return found if columns == 1 else found.reshape(count, columns)


def _durations(table: bytes, count: int) -> _Whole:
    (entries,) = struct.unpack_from(">I", table, 4)
    runs = _numbers(table, 8, entries, ">u4", 2)
    if int(runs[:, 0].sum()) != count or runs[:, 1].max(initial=0) >= _LONGEST:
        raise ValueError("wrong times")
    return np.repeat(runs[:, 1], runs[:, 0])


def _places(inside: Mapping[bytes, bytes], sizes: _Whole) -> _Whole:
    """Return where each sample begins."""
    kind, dtype = (b"co64", ">u8") if b"co64" in inside else (b"stco", ">u4")
    (count,) = struct.unpack_from(">I", inside.get(kind, b""), 4)
    chunks = _numbers(inside[kind], 8, count, dtype)
    (entries,) = struct.unpack_from(">I", inside.get(b"stsc", b""), 4)
    rows = _numbers(inside[b"stsc"], 8, entries, ">u4", 3)
    firsts = rows[:, 0] - 1
    if not entries or firsts[0] or np.any(np.diff(firsts) <= 0) or firsts[-1] >= count or np.any(rows[:, 2] != 1):
        raise ValueError("wrong chunks")
    per_chunk = np.repeat(rows[:, 1], np.diff(firsts, append=count))
    if int(per_chunk.sum()) != len(sizes):
        raise ValueError("another number of samples in the chunks")
    before = np.cumsum(sizes) - sizes
    chunk_of = np.repeat(np.arange(count), per_chunk)
    first_of = np.cumsum(per_chunk) - per_chunk
    # A chunk without samples has no first one.
    begins = before[np.minimum(first_of, len(sizes) - 1)] if len(sizes) else before
    places: _Whole = chunks[chunk_of] + before - begins[chunk_of]
    return places
