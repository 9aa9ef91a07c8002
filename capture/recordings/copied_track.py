"""Copies the packets of one track of a recording into a new file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import av
from av.container import InputContainer, OutputContainer
from av.stream import Stream

from capture.media import as_fraction, in_seconds
from capture.recordings.opening import origin_s
from capture.recordings.progress import OnProgress
from capture.recordings.rewrite import read_alone

__all__ = ["CopiedTrack"]


class CopiedTrack:
    """One track of the new file `made`: `track` of `container`, which is open for this alone."""

    def __init__(
        self, container: InputContainer, track: Stream, made: OutputContainer, on_progress: OnProgress, name: str = ""
    ) -> None:
        self._container = container
        self._track = track
        self._on_progress = on_progress
        self._stream = made.add_stream_from_template(track, opaque=True)
        if name:
            # Players and editors read one or the other.
            self._stream.metadata.update(title=name, handler_name=name)
        read_alone(container, track)

    def close(self) -> None:
        """Nothing to do: its stream belongs to the file."""

    def packets(self) -> Iterator[tuple[float, av.Packet[Any]]]:
        """Yield the packets, with their times in seconds: from the start of the recording, where its first track is."""
        unit_s = as_fraction(self._track.time_base)
        earlier = round(origin_s(self._container) / unit_s)
        size_bytes = max(1, self._container.size or 1)
        for packet in self._container.demux(self._track):
            if packet.pts is None or packet.dts is None or not packet.size:
                continue
            if packet.pos is not None:
                self._on_progress(packet.pos / size_bytes)
            packet.pts, packet.dts = packet.pts - earlier, packet.dts - earlier
            packet.stream = self._stream
            yield in_seconds(packet.dts, packet.time_base), packet
