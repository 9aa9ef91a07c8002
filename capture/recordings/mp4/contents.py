"""Reads what is in the tracks of an MP4 by its index, in a tenth of the time that reading every packet takes.

The index says where each packet is, how large, and when it is shown. FFmpeg has to read the index alike; at the
beginning and at the end of the tracks, where edit lists and priming matter, its packets count.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.container import InputContainer
from av.stream import Stream

from capture.errors import RecordingError
from capture.recordings.contents import Contents, Tally, Track, is_track
from capture.recordings.headers.file import Form, form_of
from capture.recordings.mp4.index import Table, read_index
from capture.recordings.opening import open_recording

__all__ = ["read_by_index"]

#: One packet of this many is looked up in FFmpeg's index.
_COMPARED: Final = 31

#: How many packets of each track to read from its beginning, and how much from its end.
_FIRST: Final = 64
_LAST_S: Final = 1.0


def read_by_index(path: Path) -> Contents | None:
    """Return the contents of the MP4 at `path`; None for another file, and where packets have to be read one by one.

    The file is trusted. Raises `RecordingError` when it cannot be opened as a recording.
    """
    try:
        with path.open("rb") as file:
            if form_of(file.read(12)) is not Form.MP4:
                return None
        tables = read_index(path)
        container = open_recording(path, in_file_order=True)
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        raise RecordingError(f"{path} cannot be opened as a recording", reason) from error
    with container:
        tracks = [stream for stream in container.streams if is_track(stream)]
        own = {stream.index: tables[stream.id] for stream in tracks if stream.id in tables}
        if not tracks or not all(_is_read_alike(stream, own.get(stream.index)) for stream in tracks):
            return None
        tallies = {stream.index: Tally(stream, None, None) for stream in tracks}
        try:
            for packet in _edges(container, own):
                tallies[packet.stream_index].add(packet)
        except (av.FFmpegError, OSError, ValueError):
            return None
        return Contents(tuple(_whole(tally.track(), own[index]) for index, tally in tallies.items()))


def _is_read_alike(stream: Stream, table: Table | None) -> bool:
    """Whether FFmpeg has the same packets of a track as the table, but for a common shift of their times."""
    if table is None or not table.is_rising:
        return False
    entries, samples = stream.index_entries, table.samples
    if len(entries) != samples.length:
        return False
    later = entries[0].timestamp - int(samples.times[0])
    for number in {*range(0, samples.length, _COMPARED), samples.length - 1}:
        entry = entries[number]
        found = entry.pos, entry.size, entry.timestamp - later, entry.is_keyframe
        if found != tuple(each[number] for each in samples):
            return False
    return True


def _edges(container: InputContainer, tables: Mapping[int, Table]) -> Iterator[av.Packet[Any]]:
    """Yield the first and the last packets of each track, those between if they are few."""
    streams = [container.streams[index] for index in tables]
    counts = dict.fromkeys(tables, 0)
    last: dict[int, int] = {}
    for packet in container.demux(streams):
        if not packet.size:
            continue
        yield packet
        counts[packet.stream_index] += 1
        last[packet.stream_index] = packet.dts or 0
        if all(counts[index] >= min(_FIRST, table.samples.length) for index, table in tables.items()):
            break
    if all(counts[index] == table.samples.length for index, table in tables.items()):
        return
    container.seek(max(0, (container.duration or 0) - round(_LAST_S * av.time_base)))
    for packet in container.demux(streams):
        if packet.size and (packet.dts or 0) > last[packet.stream_index]:
            yield packet


def _whole(track: Track, table: Table) -> Track:
    """Return what is known of a track at its edges, with what the table says of all of it."""
    durations = table.durations
    distances = durations[:-1]
    is_constant = len(distances) > 0 and int(np.ptp(distances)) <= 1
    span = int(table.samples.times[-1])
    return track._replace(
        packets=table.samples.length,
        held_s=int(durations.sum()) / table.units_per_s,
        constant_fps=len(distances) / (span / table.units_per_s) if track.kind == "video" and is_constant else None,
    )
