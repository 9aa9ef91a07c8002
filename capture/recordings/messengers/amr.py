"""AMR, in which phones record voices: frames of 20 ms, each of which says by its first byte how long it is."""

from __future__ import annotations

from typing import Final, NamedTuple

from capture.recordings.messengers.note_sound import CUT_OFF, NOT_SOUND, NoteSound, Read

__all__ = ["amr_sound", "is_amr"]


class _Kind(NamedTuple):
    mark: bytes
    codec: str
    #: The bytes of a frame of each type; the rest of 16 types has one byte.
    sizes: tuple[int, ...]


#: RFC 4867, section 5. FFmpeg reads one channel only, and phones write no other.
_KINDS: Final = (
    _Kind(b"#!AMR\n", "amr_nb", (13, 14, 16, 18, 20, 21, 27, 32, 6)),
    _Kind(b"#!AMR-WB\n", "amr_wb", (18, 24, 33, 37, 41, 47, 51, 59, 61, 6)),
)

_FRAME_S: Final = 0.02

#: Eight hours. A frame may have one byte; a file with more was built to keep readers busy.
_MOST_FRAMES: Final = 1_440_000

_CHUNK_BYTES: Final = 65_536


def is_amr(head: bytes) -> bool:
    return any(head.startswith(kind.mark) for kind in _KINDS)


def amr_sound(read: Read, size: int) -> NoteSound:
    """Return what a file says that `is_amr`."""
    head = read(0, max(len(kind.mark) for kind in _KINDS))
    kind = next(kind for kind in _KINDS if head.startswith(kind.mark))
    sizes = [kind.sizes[number] if number < len(kind.sizes) else 1 for number in range(16)]
    position, frames = len(kind.mark), 0
    while position < size:
        # One read for each frame would take ten times as long.
        chunk = read(position, _CHUNK_BYTES)
        at = 0
        while at < len(chunk):
            at += sizes[chunk[at] >> 3 & 0x0F]
            frames += 1
        position += at
        if not chunk or frames > _MOST_FRAMES:
            return NoteSound(problem=NOT_SOUND)
    if not frames:
        return NoteSound(problem=NOT_SOUND)
    return NoteSound("amr", kind.codec, 1, frames * _FRAME_S, "" if position == size else CUT_OFF)
