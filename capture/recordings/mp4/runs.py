"""Lets the packets of an MP4 be copied as ranges of bytes: by its index, once FFmpeg has read the index alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias

import av
import numpy as np
import numpy.typing as npt
from av.stream import Stream

from capture.media import as_fraction
from capture.recordings.mp4.index import Samples, Table, read_index

__all__ = ["Run", "Store", "StoredTrack", "rising"]

_Packet: TypeAlias = "av.Packet[Any]"

#: A shorter run is not worth it. The first pictures of a file, of which `output.frame_times` moves a hundred, are none.
_LEAST: Final = 128

#: A longer one would be a frame of this length to FFmpeg, for a moment. It takes no more than 2**31 units of a track's
#: time, 6.6 hours in 1/90000 s.
_LONGEST_S: Final = 3600

#: How many entries of FFmpeg's index to compare within each run.
_COMPARED: Final = 16


class Run(NamedTuple):
    """Consecutive packets of the recording at `path`, to be copied unread. The packet before and the next one are not.

    Their times are those in the new file.
    """

    path: Path
    samples: Samples

    def at(self, times: npt.NDArray[np.int64], after: int | None = None) -> Run:
        """Return the same packets at these times; where they do not rise, each is moved behind the one before.

        `after` is the time of the packet before the first.
        """
        return Run(self.path, self.samples._replace(times=rising(times, after)))


def rising(times: npt.NDArray[np.int64], after: int | None = None) -> npt.NDArray[np.int64]:
    """Return the times, each at least one later than the one before, the first one than `after`."""
    numbers = np.arange(len(times))
    least: npt.NDArray[np.int64] = times - numbers
    if after is not None:
        least = np.maximum(least, after + 1)
    return np.maximum.accumulate(least) + numbers


class Store:
    """The indexes of recordings, each read once. The files stay open until `stack` ends."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._files: dict[Path, tuple[BinaryIO, Mapping[int, Table]]] = {}

    def track(self, path: Path, stream: Stream) -> StoredTrack | None:
        """Return the track that FFmpeg has open as `stream`; None if its packets have to be read one by one."""
        if path not in self._files:
            self._files[path] = self._stack.enter_context(path.open("rb")), read_index(path)
        file, tables = self._files[path]
        table = tables.get(stream.id)
        if table is None or not table.is_rising or as_fraction(stream.time_base) != Fraction(1, table.units_per_s):
            return None
        return StoredTrack(path, file, stream, table)


class StoredTrack:
    """One track of an MP4 at `path` that FFmpeg has open as `stream`, with its `table`; reads from `file`."""

    def __init__(self, path: Path, file: BinaryIO, stream: Stream, table: Table) -> None:
        self._path = path
        self._file = file
        self._stream = stream
        self._table = table
        self._unit_s = as_fraction(stream.time_base)
        self._longest = round(_LONGEST_S / self._unit_s)
        #: From the table's times to FFmpeg's.
        self._later: int | None = None

    def with_runs(self, packets: Iterable[_Packet], end: float) -> Iterator[_Packet | Run]:
        """Yield the consecutive `packets`, in FFmpeg's time; from the first ones on, most of them as runs.

        Between runs, and behind `end`, they come one by one.
        """
        left = iter(packets)
        while True:
            near = list(islice(left, _LEAST))
            if not near:
                return
            # Read now: once they are handed on, their times are changed.
            last = near[-1].pts, near[-1].pos
            yield from near
            found = self._run_after(*last, end)
            if found is not None:
                run, following = found
                yield run
                left = self._packets(following)

    def _run_after(self, pts: int | None, place: int | None, end: float) -> tuple[Run, int] | None:
        """Return a run behind the packet at a place, and the number of the packet that follows; None without one.

        That one begins before `end`.
        """
        samples = self._table.samples
        number = self._number(pts, place)
        if number is None or self._later is None:
            return None
        stop = samples.length if end == math.inf else int(np.searchsorted(samples.times, end - self._later))
        longest = int(np.searchsorted(samples.times, samples.times[number] + self._longest))
        following = min(stop - 1, longest)
        if following - number <= _LEAST or not self._is_alike(number, following):
            return None
        run = samples.part(number + 1, following)
        return Run(self._path, run._replace(times=run.times + self._later)), following

    def _number(self, pts: int | None, place: int | None) -> int | None:
        """Return the number of a packet; None for one that is not in the index like this."""
        if pts is None or place is None:
            return None
        samples = self._table.samples
        if self._later is None:
            found = np.flatnonzero(samples.places == place)
            if len(found) != 1 or not self._ends_alike(pts, int(found[0])):
                return None
            self._later = pts - int(samples.times[found[0]])
        number = int(np.searchsorted(samples.times, pts - self._later))
        is_it = number < samples.length and (samples.times[number], samples.places[number]) == (
            pts - self._later,
            place,
        )
        return number if is_it else None

    def _ends_alike(self, pts: int, number: int) -> bool:
        """Whether FFmpeg reads all packets behind this one: the end of a track may be left out (`elst`)."""
        entries, samples = self._stream.index_entries, self._table.samples
        begin = entries.search_timestamp(pts, any_frame=True)
        if begin < 0 or len(entries) - begin != samples.length - number:
            return False
        return entries[len(entries) - 1].pos == samples.places[-1] and not entries[len(entries) - 1].is_discard

    def _is_alike(self, first: int, last: int) -> bool:
        """Whether FFmpeg's index has the samples from one number to another as the table does."""
        entries, samples = self._stream.index_entries, self._table.samples
        begin = entries.search_timestamp(int(samples.times[first]) + (self._later or 0), any_frame=True)
        if begin < 0 or begin + last - first >= len(entries):
            return False
        for number in np.linspace(first, last, _COMPARED, dtype=np.int64):
            entry = entries[begin + int(number) - first]
            wanted = samples.places[number], samples.sizes[number], samples.times[number] + (self._later or 0)
            if (entry.pos, entry.size, entry.timestamp) != wanted or entry.is_discard:
                return False
        return True

    def _packets(self, first: int) -> Iterator[_Packet]:
        """Yield the packets from number `first` on, read without FFmpeg."""
        samples, later = self._table.samples, self._later or 0
        for number in range(first, samples.length):
            self._file.seek(int(samples.places[number]))
            packet: _Packet = av.Packet(self._file.read(int(samples.sizes[number])))
            packet.pts = packet.dts = int(samples.times[number]) + later
            packet.time_base = self._unit_s
            packet.duration, packet.is_keyframe = int(self._table.durations[number]), bool(samples.is_key[number])
            yield packet
