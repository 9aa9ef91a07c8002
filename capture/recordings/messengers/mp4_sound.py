"""The family of MP4, M4A and 3GP: boxes, of which the index says what tracks there are."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from capture.output.mp4_boxes import Box, boxes
from capture.recordings.messengers.note_sound import CUT_OFF, NoteSound, Read

__all__ = ["mp4_sound"]

#: Of each kind, wherever they are.
_MOST_BOXES: Final = 1000
_MOST_TRACKS: Final = 20

#: Dates count from the year 1904.
_TO_1970_S: Final = 2_082_844_800

_CODECS: Final = {b"mp4a": "aac", b"samr": "amr_nb", b"sawb": "amr_wb", b"Opus": "opus", b"alac": "alac"}


def mp4_sound(read: Read, size: int) -> NoteSound:
    """Return what a file of this family says."""
    index = next(_inside(read, 0, size, b"moov"), None)
    header = None if index is None else next(_inside(read, index.body, index.end, b"mvhd"), None)
    if index is None or header is None:
        return NoteSound("mov", "aac", problem=CUT_OFF)
    body = read(header.body, 32)
    form = ">4xI4xII" if body[:1] == b"\0" else ">4xQ8xIQ"
    if len(body) < struct.calcsize(form):
        return NoteSound("mov", "aac", problem=CUT_OFF)
    made, rate, length = struct.unpack_from(form, body)
    codec, channels, has_picture = "", 0, False
    for number, track in enumerate(_inside(read, index.body, index.end, b"trak")):
        if number == _MOST_TRACKS:
            break
        kind, found, count = _track(read, track)
        has_picture |= kind == b"vide"
        if kind == b"soun" and not codec:
            codec, channels = found, count
    return NoteSound(
        "mov",
        # What is damaged is said when it is opened.
        codec or "aac",
        channels,
        length / rate if rate and length < rate * size else None,
        recorded_at_s=made - _TO_1970_S if made else None,
        has_picture=has_picture,
    )


def _track(read: Read, track: Box) -> tuple[bytes, str, int]:
    """Return the kind of a track; and if it is sound its codec and its channels."""
    media = next(_inside(read, track.body, track.end, b"mdia"), None)
    handler = None if media is None else next(_inside(read, media.body, media.end, b"hdlr"), None)
    if media is None or handler is None:
        return b"", "", 0
    kind = read(handler.body + 8, 4)
    place: Box | None = media
    for name in (b"minf", b"stbl", b"stsd"):
        place = None if place is None else next(_inside(read, place.body, place.end, name), None)
    entry = b"" if place is None or kind != b"soun" else read(place.body + 8, 26)
    if len(entry) < 26:
        return kind, "", 0
    name = entry[4:8]
    return kind, _CODECS.get(name, name.decode("ascii", "replace").strip()), int.from_bytes(entry[24:26], "big")


def _inside(read: Read, position: int, end: int, kind: bytes) -> Iterator[Box]:
    """Yield the boxes of this kind between two positions; what reaches beyond is cut off there."""
    for number, box in enumerate(boxes(read, position, end)):
        if box.kind == kind:
            yield box._replace(end=min(box.end, end))
        if number == _MOST_BOXES:
            return
