"""Lays the sound of a finished M4A out in one piece.

A recording grows in fragments, and their headers stay between the samples when it is closed. Players go by the index,
but some decoders, such as faad and those in small devices, read from the first sample on and stop at such a header.
"""

from __future__ import annotations

from pathlib import Path

from capture.output.chapters import Chapter
from capture.output.muxer import Muxer
from capture.recordings.rewrite import chapters_of, opened, rewrite, tracks_of

__all__ = ["make_contiguous"]


def make_contiguous(path: Path) -> None:
    """Write the recording at `path` without gaps; every packet stays as it is. Raises as `rewrite` does."""

    def fill(muxer: Muxer) -> list[Chapter]:
        with opened(path) as container:
            tracks = tracks_of(container)
            muxer.start(tracks, container.metadata, crash_safe=False)
            places = {stream.index: place for place, stream in enumerate(tracks)}
            for packet in container.demux(tracks):
                if packet.pts is not None and packet.size:
                    muxer.write(places[packet.stream_index], packet)
            return chapters_of(container)

    rewrite(path, fill)
