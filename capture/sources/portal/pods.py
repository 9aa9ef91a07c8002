"""Writes and reads PODs, the binary values in which PipeWire negotiates what a stream delivers.

The numbers are those of SPA's headers. A POD is its length, its type and its body, padded to eight bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["BYTES_PER_PIXEL", "PARAM_FORMAT", "VideoFormat", "buffers", "meta", "read_format", "video_formats"]

BYTES_PER_PIXEL: Final = 4

_ID: Final = 3
_INT: Final = 4
_RECTANGLE: Final = 10
_FRACTION: Final = 11
_OBJECT: Final = 15
_CHOICE: Final = 19

_RANGE: Final = 1
_ENUM: Final = 3
_FLAGS: Final = 4

_OBJECT_FORMAT: Final = 0x40003
_OBJECT_BUFFERS: Final = 0x40004
_OBJECT_META: Final = 0x40005

_PARAM_ENUM_FORMAT: Final = 3
#: The parameter with the format that was agreed on.
PARAM_FORMAT: Final = 4
_PARAM_BUFFERS: Final = 5
_PARAM_META: Final = 6

_MEDIA_TYPE: Final = 1
_MEDIA_SUBTYPE: Final = 2
_VIDEO_FORMAT: Final = 0x20001
_VIDEO_SIZE: Final = 0x20003
_VIDEO_RATE: Final = 0x20004
_VIDEO_MAX_RATE: Final = 0x20005
_VIDEO: Final = 2
_RAW: Final = 1

_BUFFERS_COUNT: Final = 1
_BUFFERS_BLOCKS: Final = 2
_BUFFERS_SIZE: Final = 3
_BUFFERS_STRIDE: Final = 4
_BUFFERS_DATA_TYPE: Final = 6

_META_TYPE: Final = 1
_META_SIZE: Final = 2

#: The formats of four bytes a pixel by their numbers, and whether red comes first. Ours, blue first, is preferred.
_FORMATS: Final = {8: False, 12: False, 7: True, 11: True}

_HIGHEST_RATE: Final = 1000
_LARGEST_SIDE: Final = 16384


class VideoFormat(NamedTuple):
    """What a stream delivers: its size in pixels, and whether red comes first in each pixel, not blue."""

    width: int
    height: int
    is_rgb: bool


def video_formats(max_fps: float, *, size: tuple[int, int] | None = None) -> bytes:
    """Return an offer of all formats that can be read, at most `max_fps` pictures a second; only of `size` if given.

    No modifiers are offered, so that producers use memory that can be mapped.
    """
    width, height = size or (1920, 1080)
    sizes = [_rectangle(width, height), _rectangle(1, 1), _rectangle(_LARGEST_SIDE, _LARGEST_SIDE)]
    rates = [_fraction(0), _fraction(0), _fraction(_HIGHEST_RATE)]
    # Only the upper end of a range limits the rate; a single value does nothing.
    limits = [_fraction(max_fps), _fraction(1), _fraction(max_fps)]
    first, *others = _FORMATS
    return _object(
        _OBJECT_FORMAT,
        _PARAM_ENUM_FORMAT,
        (_MEDIA_TYPE, _id(_VIDEO)),
        (_MEDIA_SUBTYPE, _id(_RAW)),
        (_VIDEO_FORMAT, _choice(_ENUM, [_id(first), _id(first), *map(_id, others)])),
        (_VIDEO_SIZE, sizes[0] if size else _choice(_RANGE, sizes)),
        (_VIDEO_RATE, _choice(_RANGE, rates)),
        (_VIDEO_MAX_RATE, _choice(_RANGE, limits)),
    )


def buffers(data_types: Sequence[int], *, count: int, least: int, size_bytes: int = 0, stride: int = 0) -> bytes:
    """Return a request for at least `least` buffers, better `count`, in memory of one of `data_types`.

    A producer also gives the `size_bytes` of a buffer and of a row.
    """
    sizes = [(_BUFFERS_SIZE, _int(size_bytes)), (_BUFFERS_STRIDE, _int(stride))] if size_bytes else []
    return _object(
        _OBJECT_BUFFERS,
        _PARAM_BUFFERS,
        (_BUFFERS_COUNT, _choice(_RANGE, [_int(count), _int(least), _int(32)])),
        (_BUFFERS_BLOCKS, _int(1)),
        *sizes,
        (_BUFFERS_DATA_TYPE, _choice(_FLAGS, [_int(sum(1 << number for number in data_types))])),
    )


def meta(kind: int, size_bytes: int, least: int | None = None, most: int | None = None) -> bytes:
    """Return a request for metadata of `kind`, of this size or in this range of sizes."""
    size = _int(size_bytes)
    if least is not None and most is not None:
        size = _choice(_RANGE, [size, _int(least), _int(most)])
    return _object(_OBJECT_META, _PARAM_META, (_META_TYPE, _id(kind)), (_META_SIZE, size))


def read_format(pod: bytes) -> VideoFormat | None:
    """Return the format that was agreed on; None if it is none that can be read."""
    found = dict(_properties(pod))
    try:
        width, height = struct.unpack_from("=II", found[_VIDEO_SIZE])
        (number,) = struct.unpack_from("=I", found[_VIDEO_FORMAT])
        return VideoFormat(width, height, _FORMATS[number])
    except (KeyError, struct.error):
        return None


def _properties(pod: bytes) -> list[tuple[int, bytes]]:
    """Return the properties of an object with their values; of a choice the first one."""
    found = []
    at = 16
    while at + 16 <= len(pod):
        key, _, length, kind = struct.unpack_from("=IIII", pod, at)
        body = pod[at + 16 : at + 16 + length]
        # A choice: its kind, flags, and the head of a value before the values.
        found.append((key, body[16:] if kind == _CHOICE else body))
        at += 16 + -(-length // 8) * 8
    return found


def _pod(kind: int, body: bytes) -> bytes:
    return struct.pack("=II", len(body), kind) + body + bytes(-len(body) % 8)


def _id(value: int) -> bytes:
    return _pod(_ID, struct.pack("=I", value))


def _int(value: int) -> bytes:
    return _pod(_INT, struct.pack("=i", value))


def _rectangle(width: int, height: int) -> bytes:
    return _pod(_RECTANGLE, struct.pack("=II", width, height))


def _fraction(value: float) -> bytes:
    # A thousandth is closer than any producer keeps its rate.
    whole = float(value).is_integer()
    return _pod(_FRACTION, struct.pack("=II", round(value if whole else value * 1000), 1 if whole else 1000))


def _choice(kind: int, values: Sequence[bytes]) -> bytes:
    """Return a choice between values of the same type, the default first."""
    (length,) = struct.unpack_from("=I", values[0])
    bodies = b"".join(value[8 : 8 + length] for value in values)
    return _pod(_CHOICE, struct.pack("=II", kind, 0) + values[0][:8] + bodies)


def _object(kind: int, number: int, *properties: tuple[int, bytes]) -> bytes:
    body = b"".join(struct.pack("=II", key, 0) + value for key, value in properties)
    return _pod(_OBJECT, struct.pack("=II", kind, number) + body)
