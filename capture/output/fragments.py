"""Reads what the header of an MP4 fragment (`moof`) says about its tracks: ISO/IEC 14496-12, 8.8."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from capture.output.mp4_boxes import boxes_in

__all__ = ["Part", "parts"]

#: Fields of `tfhd` that come before the default duration and the default flags of its samples, with their bytes.
_BEFORE_DURATION: Final = ((0x000001, 8), (0x000002, 4))
_BEFORE_FLAGS: Final = (*_BEFORE_DURATION, (0x000008, 4), (0x000010, 4))
_DEFAULT_DURATION: Final = 0x000008
_DEFAULT_FLAGS: Final = 0x000020

#: Fields of `trun`, and those of each of its samples, of four bytes each.
_DATA_OFFSET: Final = 0x000001
_FIRST_FLAGS: Final = 0x000004
_DURATION: Final = 0x000100
_FLAGS: Final = 0x000400
_OF_SAMPLE: Final = (_DURATION, 0x000200, _FLAGS, 0x000800)

#: The flag of a sample that is no key frame.
_NO_KEY_FRAME: Final = 0x00010000


class Part(NamedTuple):
    """The samples of one track in a fragment. Times are in units of the track."""

    track_id: int
    begins: int
    ends: int
    #: Whether a key frame is the first.
    begins_with_key: bool


def parts(fragment: bytes) -> Iterator[Part]:
    """Yield what the content of a `moof` says about each track. Raises `struct.error` if it is cut off."""
    for kind, content in boxes_in(fragment):
        if kind != b"traf":
            continue
        track_id = begins = duration = usual_duration = usual_flags = 0
        first_flags: int | None = None
        for inner, body in boxes_in(content):
            flags = int.from_bytes(body[1:4], "big")
            if inner == b"tfhd":
                (track_id,) = struct.unpack_from(">I", body, 4)
                usual_duration = _field(body, 8, flags, _DEFAULT_DURATION, _BEFORE_DURATION)
                usual_flags = _field(body, 8, flags, _DEFAULT_FLAGS, _BEFORE_FLAGS)
            elif inner == b"tfdt":
                (begins,) = struct.unpack_from(">Q" if body[0] else ">I", body, 4)
            elif inner == b"trun":
                (count,) = struct.unpack_from(">I", body, 4)
                start = 8 + 4 * bool(flags & _DATA_OFFSET) + 4 * bool(flags & _FIRST_FLAGS)
                fields = [field for field in _OF_SAMPLE if flags & field]
                numbers = struct.unpack_from(f">{count * len(fields)}I", body, start)
                if flags & _DURATION:
                    duration += sum(numbers[fields.index(_DURATION) :: len(fields)])
                else:
                    duration += count * usual_duration
                if first_flags is None and flags & _FIRST_FLAGS:
                    (first_flags,) = struct.unpack_from(">I", body, start - 4)
                elif first_flags is None and flags & _FLAGS and count:
                    first_flags = numbers[fields.index(_FLAGS)]
        is_key = not (usual_flags if first_flags is None else first_flags) & _NO_KEY_FRAME
        yield Part(track_id, begins, begins + duration, is_key)


def _field(body: bytes, at: int, flags: int, field: int, before: tuple[tuple[int, int], ...]) -> int:
    """Return an optional field, 0 if it is not there."""
    if not flags & field:
        return 0
    at += sum(size for other, size in before if flags & other)
    return int(struct.unpack_from(">I", body, at)[0])
