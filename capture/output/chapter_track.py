"""Adds the chapters of a fragmented MP4 once more, as the text track that QuickTime and others read.

FFmpeg writes that track only when it knows the chapters at the start, or without fragments. So we let it write a small
file with these chapters in memory, and move the track from there.

It happens while the file is being closed, once its index (`moov`) is written and before the header that makes use of
it: until then, the file is a row of fragments, and what follows them does not matter.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Final

import av

from capture.output.mp4_boxes import (
    HEADER_BYTES,
    box,
    boxes,
    boxes_in,
    changed,
    child,
    handler_of,
    timescale_of,
    with_track_id,
)
from capture.output.output_file import OutputFile

__all__ = ["add_chapter_track"]

#: The handlers of the tracks that get a reference to the chapters.
_PLAYED: Final = frozenset({b"vide", b"soun"})


def add_chapter_track(file: OutputFile, chapters: Sequence[Any]) -> None:
    """Add a text track to the index at the end of `file`. `chapters` are what PyAV takes. Raises `OSError`."""
    found = _last_index(file)
    if found is None:
        return
    place, index = found
    movie = child(index, b"mvhd")
    made = _track(chapters, timescale_of(movie))
    if made is None:
        return
    texts, track = made
    # The last field is the number of the next track.
    number = struct.unpack(">I", movie[-4:])[0]
    track = changed(track, b"tkhd", partial(_numbered, number=number))
    track = changed(track, b"stco", partial(_moved, by=place + HEADER_BYTES))
    reference = box(b"tref", box(b"chap", struct.pack(">I", number)))
    parts = []
    for kind, content in boxes_in(index):
        if kind == b"mvhd":
            content = content[:-4] + struct.pack(">I", number + 1)
        elif kind == b"trak" and handler_of(content) in _PLAYED:
            content += reference
        parts.append(box(kind, content))
        if kind == b"trak":
            last_track = len(parts)
    parts.insert(last_track, box(b"trak", track))
    file.replace_end(place, box(b"mdat", texts) + box(b"moov", b"".join(parts)))


def _track(chapters: Sequence[Any], timescale: int) -> tuple[bytes, bytes] | None:
    """Return the texts of the chapters, and the content of a track (`trak`) whose offsets count from them.

    It is for a movie that counts in `timescale` units per second.
    """
    memory = io.BytesIO()
    options = {"movie_timescale": str(timescale)}
    with av.open(memory, "w", format="mov", container_options=options) as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        stream.codec_context.layout = "mono"
        packet: av.Packet[Any] = av.Packet(bytes(16))
        packet.stream, packet.pts, packet.dts, packet.time_base = stream, 0, 0, Fraction(1, 8000)
        container.start_encoding()
        container.mux_one(packet)
        container.set_chapters(list(chapters))
    data = memory.getvalue()
    index = next(content for kind, content in boxes_in(data) if kind == b"moov")
    for kind, track in boxes_in(index):
        if kind == b"trak" and handler_of(track) == b"text":
            sizes, offsets = child(track, b"stsz"), child(track, b"stco")
            same, count = struct.unpack(">II", sizes[4:12])
            length = same * count or sum(struct.unpack(f">{count}I", sizes[12 : 12 + 4 * count]))
            (begin,) = struct.unpack(">I", offsets[8:12])
            return data[begin : begin + length], changed(track, b"stco", partial(_moved, by=-begin))
    return None


def _last_index(file: OutputFile) -> tuple[int, bytes] | None:
    """Return the place and the content of the last `moov`, which ends the file."""
    for found in boxes(file.read_at, 0, file.size_bytes):
        if found.kind == b"moov" and found.end == file.size_bytes:
            return found.position, file.read_at(found.body, found.end - found.body)
    return None


def _numbered(track_header: bytes, number: int) -> tuple[bytes, bytes]:
    return b"tkhd", with_track_id(track_header, number)


def _moved(offsets: bytes, by: int) -> tuple[bytes, bytes]:
    """Return the table of the chunks' offsets, each `by` bytes further on; with 64 bits where they are needed."""
    (count,) = struct.unpack(">I", offsets[4:8])
    moved = [offset + by for offset in struct.unpack(f">{count}I", offsets[8 : 8 + 4 * count])]
    is_large = max(moved, default=0) > 0xFFFFFFFF
    content = offsets[:8] + struct.pack(f">{count}{'Q' if is_large else 'I'}", *moved)
    return b"co64" if is_large else b"stco", content
