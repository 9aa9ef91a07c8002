"""Writes finished recordings once more as they are: an M4A in one piece, and chapters where they come before the sound.

A recording grows in fragments, and their headers stay between the samples when it is closed. Players go by the index,
but some decoders, such as faad and those in small devices, read from the first sample on and stop at such a header.

Ogg, FLAC and MP3 have their chapters at the start, where a recording that grows has no room for those to come.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from capture.output.chapters import Chapter
from capture.output.muxer import Muxer
from capture.recordings.rewrite import chapters_of, opened, rewrite, tracks_of

__all__ = ["add_chapters", "make_contiguous"]


def make_contiguous(path: Path) -> None:
    """Write the recording at `path` without gaps; every packet stays as it is. Raises as `rewrite` does."""
    _write_again(path, None)


def add_chapters(path: Path, chapters: Sequence[Chapter]) -> None:
    """Give the recording at `path` these chapters, in place of its own. Raises as `rewrite` does."""
    _write_again(path, chapters)


def _write_again(path: Path, chapters: Sequence[Chapter] | None) -> None:
    def fill(muxer: Muxer) -> Sequence[Chapter]:
        with opened(path) as container:
            tracks = tracks_of(container)
            new = chapters_of(container) if chapters is None else chapters
            muxer.start(tracks, container.metadata, crash_safe=False, chapters=new)
            places = {stream.index: place for place, stream in enumerate(tracks)}
            for packet in container.demux(tracks):
                if packet.pts is not None and packet.size:
                    muxer.write(places[packet.stream_index], packet)
            return new

    rewrite(path, fill)
