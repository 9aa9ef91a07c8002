"""Adds the chapters of a fragmented MP4 once more, as the text track that QuickTime and others read.

FFmpeg writes that track only when it knows the chapters at the start, or without fragments. So we let it write a small
file with these chapters in memory, and move the track from there.

It happens while the file is being closed, once its index (`moov`) is written and before the header that makes use of
it: until then, the file is a row of fragments, and what follows them does not matter.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, Final

import av

from capture.output.mp4_boxes import HEADER_BYTES, boxes
from capture.output.output_file import OutputFile

__all__ = ["add_chapter_track"]

#: Boxes that consist of boxes, on the way to the tables of a track.
_PARENTS: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})

#: The handlers of the tracks that get a reference to the chapters.
_PLAYED: Final = frozenset({b"vide", b"soun"})

#: Where `mvhd` has its timescale, and `tkhd` the number of its track, by their version; and where `hdlr` has its kind.
_TIMESCALE_AT: Final = (12, 20)
_TRACK_ID_AT: Final = (12, 20)
_HANDLER: Final = slice(8, 12)


def add_chapter_track(file: OutputFile, chapters: Sequence[Any]) -> None:
    """Add a text track to the index at the end of `file`. `chapters` are what PyAV takes. Raises `OSError`."""
    found = _last_index(file)
    if found is None:
        return
    place, index = found
    movie = _child(index, b"mvhd")
    made = _track(chapters, _timescale(movie))
    if made is None:
        return
    texts, track = made
    # The last field is the number of the next track.
    number = struct.unpack(">I", movie[-4:])[0]
    track = _changed(track, b"tkhd", partial(_numbered, number=number))
    track = _changed(track, b"stco", partial(_moved, by=place + HEADER_BYTES))
    reference = _box(b"tref", _box(b"chap", struct.pack(">I", number)))
    parts = []
    for kind, content in _boxes(index):
        if kind == b"mvhd":
            content = content[:-4] + struct.pack(">I", number + 1)
        elif kind == b"trak" and _child(content, b"hdlr")[_HANDLER] in _PLAYED:
            content += reference
        parts.append(_box(kind, content))
        if kind == b"trak":
            last_track = len(parts)
    parts.insert(last_track, _box(b"trak", track))
    file.replace_end(place, _box(b"mdat", texts) + _box(b"moov", b"".join(parts)))


def _timescale(movie_header: bytes) -> int:
    """Return the units per second in which the movie counts the durations of its tracks."""
    (units_per_s,) = struct.unpack_from(">I", movie_header, _TIMESCALE_AT[movie_header[0]])
    return int(units_per_s)


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
    index = next(content for kind, content in _boxes(data) if kind == b"moov")
    for kind, track in _boxes(index):
        if kind == b"trak" and _child(track, b"hdlr")[_HANDLER] == b"text":
            sizes, offsets = _child(track, b"stsz"), _child(track, b"stco")
            same, count = struct.unpack(">II", sizes[4:12])
            length = same * count or sum(struct.unpack(f">{count}I", sizes[12 : 12 + 4 * count]))
            (begin,) = struct.unpack(">I", offsets[8:12])
            return data[begin : begin + length], _changed(track, b"stco", partial(_moved, by=-begin))
    return None


def _last_index(file: OutputFile) -> tuple[int, bytes] | None:
    """Return the place and the content of the last `moov`, which ends the file."""
    for box in boxes(file.read_at, 0, file.size_bytes):
        if box.kind == b"moov" and box.end == file.size_bytes:
            return box.position, file.read_at(box.body, box.end - box.body)
    return None


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the content of each box in `data`."""
    for box in boxes(lambda position, count: data[position : position + count], 0, len(data)):
        yield box.kind, data[box.body : box.end]


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", HEADER_BYTES + len(content), kind) + content


def _child(data: bytes, kind: bytes) -> bytes:
    """Return the content of the first box of this kind at any depth; empty if there is none."""
    for found, content in _boxes(data):
        if found == kind:
            return content
        if found in _PARENTS and (inner := _child(content, kind)):
            return inner
    return b""


def _changed(data: bytes, kind: bytes, change: Callable[[bytes], tuple[bytes, bytes]]) -> bytes:
    """Return boxes with those of this kind, at any depth, replaced by the kind and content that `change` returns."""
    parts = []
    for found, content in _boxes(data):
        if found == kind:
            parts.append(_box(*change(content)))
        else:
            parts.append(_box(found, _changed(content, kind, change) if found in _PARENTS else content))
    return b"".join(parts)


def _numbered(track_header: bytes, number: int) -> tuple[bytes, bytes]:
    at = _TRACK_ID_AT[track_header[0]]
    return b"tkhd", track_header[:at] + struct.pack(">I", number) + track_header[at + 4 :]


def _moved(offsets: bytes, by: int) -> tuple[bytes, bytes]:
    """Return the table of the chunks' offsets, each `by` bytes further on; with 64 bits where they are needed."""
    (count,) = struct.unpack(">I", offsets[4:8])
    moved = [offset + by for offset in struct.unpack(f">{count}I", offsets[8 : 8 + 4 * count])]
    is_large = max(moved, default=0) > 0xFFFFFFFF
    content = offsets[:8] + struct.pack(f">{count}{'Q' if is_large else 'I'}", *moved)
    return b"co64" if is_large else b"stco", content
