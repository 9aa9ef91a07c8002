"""Puts an MP4 together: a small file that FFmpeg wrote, and runs of packets from recordings, copied as bytes.

FFmpeg writes the packets between the runs at their final times. So all of its headers are right but for the tables of
the samples; these get the runs, and the bytes are laid out in the order of their times.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from capture.errors import OutputError
from capture.output.mp4_boxes import HEADER_BYTES, LONG_HEADER_BYTES, box, boxes, boxes_in, changed
from capture.recordings.mp4.index import Samples, Table, read_table
from capture.recordings.mp4.ranges import Range, copy_ranges
from capture.recordings.mp4.runs import Run, rising
from capture.recordings.mp4.tables import sample_tables, with_chunks
from capture.recordings.progress import OnProgress

__all__ = ["Clock", "Insertion", "assemble"]

_Whole = npt.NDArray[np.int64]

#: FFmpeg's chunks are no larger. Longer ones would keep tracks apart that are played together; those of a recording
#: last 0.3 s.
_LARGEST_CHUNK_BYTES: Final = 1 << 20
_LONGEST_CHUNK_S: Final = 0.5

_SMALL: Final = 2**32

#: How many ranges to read again once they were copied, and how much at either end of each.
_COMPARED: Final = 200
_COMPARED_BYTES: Final = 64


class Insertion(NamedTuple):
    """A run that follows packet number `after`, counted from 1, of track number `place`."""

    place: int
    after: int
    run: Run


class Clock(NamedTuple):
    """What a track counts in, and when its first packet comes in that: times in the index begin at 0."""

    unit_s: Fraction
    begins: int


class _Chunks(NamedTuple):
    """Chunks of one track: arrays of the same length."""

    files: _Whole
    places: _Whole
    sizes: _Whole
    times_s: npt.NDArray[np.float64]
    counts: _Whole


def assemble(
    written: Path, insertions: Sequence[Insertion], clocks: Sequence[Clock], path: Path, on_progress: OnProgress
) -> None:
    """Write the MP4 `written` with the insertions to `path`, which does not exist.

    `written` comes from FFmpeg, closed; `clocks` are those of the runs, for each of its tracks. Raises `OutputError`
    when its index is not as expected or the new file does not hold what was copied, and `OSError`.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(written.open("rb"))]
        numbers: dict[Path, int] = {}
        for one in insertions:
            if one.run.path not in numbers:
                numbers[one.run.path] = len(files)
                files.append(stack.enter_context(one.run.path.open("rb")))
        try:
            start, index = _parts_of(files[0])
            tracks = [content for kind, content in boxes_in(index) if kind == b"trak"]
            others = [Clock(Fraction(1), 0)] * max(0, len(tracks) - len(clocks))
            made = [
                _with_runs(track, [one for one in insertions if one.place == place], clock, numbers)
                for place, (track, clock) in enumerate(zip(tracks, [*clocks, *others], strict=False))
            ]
        except (struct.error, ValueError, IndexError) as error:
            raise OutputError(f"its index is not as expected ({error})") from error
        chunks = [one for _, one in made]
        order = _order(chunks, len(clocks))
        all_of = [np.concatenate([getattr(one, name) for one in chunks]) for name in ("files", "places", "sizes")]
        ranges = _ranges(*(each[order] for each in all_of))
        total = int(all_of[2].sum())
        begin = len(start) + LONG_HEADER_BYTES
        new_places = np.empty(len(order), np.int64)
        new_places[order] = begin + np.cumsum(all_of[2][order]) - all_of[2][order]
        splits = np.split(new_places, np.cumsum([len(one.places) for one in chunks])[:-1])
        placed = [_placed(track, places, one.counts) for (track, one), places in zip(made, splits, strict=True)]
        out = stack.enter_context(open(path, "xb", opener=_private))
        out.write(start + _header(total))
        copy_ranges(((files[number], place, size) for number, place, size in ranges), out, total, on_progress)
        out.write(_index(index, placed))
        out.flush()
        _compare(files, ranges, begin, path)


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _parts_of(file: BinaryIO) -> tuple[bytes, bytes]:
    """Return what is before the samples and the room for their header, and the content of `moov`."""

    def read(position: int, count: int) -> bytes:
        file.seek(position)
        return file.read(count)

    found = {each.kind: each for each in boxes(read, 0, os.fstat(file.fileno()).st_size)}
    if not {b"ftyp", b"mdat", b"moov"} <= set(found):
        raise ValueError("a box is missing")
    return read(0, found[b"ftyp"].end), read(found[b"moov"].body, found[b"moov"].end - found[b"moov"].body)


def _header(size_bytes: int) -> bytes:
    """Return the header of the samples, in the room for one with 64 bits."""
    if HEADER_BYTES + size_bytes < _SMALL:
        return box(b"free", b"") + struct.pack(">I4s", HEADER_BYTES + size_bytes, b"mdat")
    return struct.pack(">I4sQ", 1, b"mdat", LONG_HEADER_BYTES + size_bytes)


def _with_runs(
    track: bytes, insertions: Sequence[Insertion], clock: Clock, numbers: Mapping[Path, int]
) -> tuple[bytes, _Chunks]:
    """Return a track with the insertions in its tables, and its chunks, which still have to be placed."""
    table = read_table(track)
    if not insertions:
        return track, _chunks(np.zeros(table.samples.length, np.int64), table.samples, table.units_per_s, clock)
    merged, files = _merged(table, insertions, clock, numbers)
    chunks = _chunks(files, merged, table.units_per_s, clock)
    durations = np.diff(merged.times, append=merged.times[-1] + table.durations[-1])
    if durations.min() < 0 or merged.times[0]:
        raise ValueError("times that run back")

    def changed_tables(old: bytes) -> tuple[bytes, bytes]:
        return b"stbl", sample_tables(old, merged.sizes, durations, merged.is_key, table.units_per_s)

    return changed(track, b"stbl", changed_tables), chunks


def _merged(
    table: Table, insertions: Sequence[Insertion], clock: Clock, numbers: Mapping[Path, int]
) -> tuple[Samples, _Whole]:
    """Return all samples of a track, and the number of the file that each is in."""
    parts: list[Samples] = []
    files: list[_Whole] = []
    factor = clock.unit_s * table.units_per_s
    at = 0
    for _, after, run in insertions:
        if not at < after < table.samples.length:
            raise ValueError("another number of samples")
        parts.append(table.samples.part(at, after))
        files.append(np.zeros(after - at, np.int64))
        times = (run.samples.times - clock.begins) * factor.numerator
        times = (2 * times + factor.denominator) // (2 * factor.denominator)
        parts.append(run.samples._replace(times=rising(times, int(parts[-1].times[-1]))))
        files.append(np.full(run.samples.length, numbers[run.path], np.int64))
        at = after
    parts.append(table.samples.part(at, table.samples.length))
    files.append(np.zeros(table.samples.length - at, np.int64))
    return Samples(*map(np.concatenate, zip(*parts, strict=True))), np.concatenate(files)


def _chunks(files: _Whole, samples: Samples, units_per_s: int, clock: Clock) -> _Chunks:
    """Return the largest chunks that these samples make."""
    ends = samples.places + samples.sizes
    is_first = np.concatenate(([True], (files[1:] != files[:-1]) | (samples.places[1:] != ends[:-1])))
    # Those that are too large are divided where a multiple of the largest size is passed.
    stretches = np.flatnonzero(is_first)
    lengths = np.diff(stretches, append=len(ends))
    for values, most in ((samples.places, _LARGEST_CHUNK_BYTES), (samples.times, _LONGEST_CHUNK_S * units_per_s)):
        step = (values - np.repeat(values[stretches], lengths)) // most
        is_first[1:] |= step[1:] != step[:-1]
    firsts = np.flatnonzero(is_first)
    lasts = np.append(firsts[1:], len(ends)) - 1
    return _Chunks(
        files[firsts],
        samples.places[firsts],
        ends[lasts] - samples.places[firsts],
        samples.times[firsts] / units_per_s + float(clock.begins * clock.unit_s),
        lasts - firsts + 1,
    )


def _order(chunks: Sequence[_Chunks], played: int) -> _Whole:
    """Return the numbers of the chunks in the order of their times; what is not of the `played` tracks comes last.

    FFmpeg writes them like this. The others are the titles of chapters.
    """
    times_s = np.concatenate(
        [one.times_s if place < played else np.full(len(one.places), np.inf) for place, one in enumerate(chunks)]
    )
    tracks = np.repeat(np.arange(len(chunks)), [len(one.places) for one in chunks])
    return np.lexsort((tracks, times_s))


def _ranges(files: _Whole, places: _Whole, sizes: _Whole) -> list[Range]:
    """Return the ranges that these chunks make in this order."""
    is_first = np.concatenate(([True], (files[1:] != files[:-1]) | (places[1:] != places[:-1] + sizes[:-1])))
    firsts = np.flatnonzero(is_first)
    totals = np.add.reduceat(sizes, firsts)
    return list(zip(files[firsts].tolist(), places[firsts].tolist(), totals.tolist(), strict=True))


def _placed(track: bytes, places: _Whole, per_chunk: _Whole) -> bytes:
    """Return a track whose chunks are at these places; `per_chunk` is how many samples each has."""
    return changed(track, b"stbl", lambda tables: (b"stbl", with_chunks(tables, places, per_chunk)))


def _index(index: bytes, tracks: Sequence[bytes]) -> bytes:
    """Return `moov` with these tracks."""
    left = iter(tracks)
    return box(b"moov", b"".join(box(kind, next(left) if kind == b"trak" else old) for kind, old in boxes_in(index)))


def _compare(files: Sequence[BinaryIO], ranges: Sequence[Range], begin: int, path: Path) -> None:
    """Raise `OutputError` unless the new file has the ranges from `begin` on, one behind the other."""
    sizes = np.array([size for _, _, size in ranges])
    begins = begin + np.cumsum(sizes) - sizes
    with path.open("rb") as new:
        for number in np.unique(np.linspace(0, len(ranges) - 1, _COMPARED, dtype=np.int64)):
            which, place, size = ranges[number]
            count = min(size, _COMPARED_BYTES)
            for inside in (0, size - count):
                files[which].seek(place + inside)
                new.seek(int(begins[number]) + inside)
                if files[which].read(count) != new.read(count):
                    raise OutputError("it does not hold what was copied")
