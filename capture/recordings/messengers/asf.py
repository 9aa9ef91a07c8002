"""ASF (WMA), in which older phones and voice recorders keep voice notes: objects, each with an id and a size."""

from __future__ import annotations

import struct
from typing import Final
from uuid import UUID

from capture.recordings.messengers.note_sound import NOT_SOUND, NoteSound, Read

__all__ = ["MARK", "asf_sound"]

MARK: Final = UUID("75b22630-668e-11cf-a6d9-00aa0062ce6c").bytes_le
_FILE: Final = UUID("8cabdca1-a947-11cf-8ee4-00c00c205365").bytes_le
_STREAM: Final = UUID("b7dc0791-a9b7-11cf-8ee6-00c00c205365").bytes_le
_SOUND: Final = UUID("f8699e40-5b4d-11cf-a8fd-00805f5c442b").bytes_le
_PICTURE: Final = UUID("bc19efc0-5b4d-11cf-a8fd-00805f5c442b").bytes_le

_OBJECT: Final = struct.Struct("<16sQ")
_HEADER_BYTES: Final = 30
#: Of the file: when it was made, packets, length with what is read ahead, length to send; what is read ahead in ms.
_TIMES: Final = struct.Struct("<24xQQQQQ")
_STREAM_BYTES: Final = 54
_LARGEST_HEADER_BYTES: Final = 1_000_000
_MOST_OBJECTS: Final = 1000

#: Times count tenths of a microsecond, dates from the year 1601.
_UNITS_A_S: Final = 10_000_000
_TO_1970_S: Final = 11_644_473_600

_CODECS: Final = {0x0A: "wmavoice", 0x160: "wmav1", 0x161: "wmav2", 0x162: "wmapro", 0x163: "wmalossless"}


def asf_sound(read: Read, size: int) -> NoteSound:
    """Return what a file says that begins with `MARK`."""
    header = read(0, _HEADER_BYTES)
    end = int.from_bytes(header[16:24], "little")
    if len(header) < _HEADER_BYTES or not _HEADER_BYTES <= end <= min(size, _LARGEST_HEADER_BYTES):
        return NoteSound(problem=NOT_SOUND)
    found = NoteSound("asf")
    position = _HEADER_BYTES
    for _ in range(_MOST_OBJECTS):
        if position + _OBJECT.size > end:
            break
        kind, length = _OBJECT.unpack(read(position, _OBJECT.size))
        if length < _OBJECT.size or position + length > end:
            return NoteSound(problem=NOT_SOUND)
        body = read(position + _OBJECT.size, min(length - _OBJECT.size, 128))
        if kind == _FILE and len(body) >= _TIMES.size:
            found = _with_times(found, body, size)
        elif kind == _STREAM and len(body) >= _STREAM_BYTES + 4:
            if body[:16] == _SOUND:
                tag, channels = struct.unpack_from("<HH", body, _STREAM_BYTES)
                found = found._replace(codec=_CODECS.get(tag, f"wma {tag:#x}"), channels=channels)
            elif body[:16] == _PICTURE:
                found = found._replace(has_picture=True)
        position += length
    return found if found.codec else NoteSound(problem=NOT_SOUND)


def _with_times(found: NoteSound, body: bytes, size: int) -> NoteSound:
    made, _, length, _, ahead_ms = _TIMES.unpack_from(body)
    length_s = length / _UNITS_A_S - ahead_ms / 1000
    return found._replace(
        # One that is sent while it is recorded has no length.
        duration_s=length_s if 0 < length_s < size else None,
        recorded_at_s=made / _UNITS_A_S - _TO_1970_S if made else None,
    )
