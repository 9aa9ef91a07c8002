"""CAF, in which iPhones and Macs keep the voice notes of Messages: chunks, each with a kind and a size."""

from __future__ import annotations

import math
import struct
from typing import Final

from capture.recordings.messengers.note_sound import CUT_OFF, NOT_SOUND, NoteSound, Read

__all__ = ["MARK", "caf_sound"]

MARK: Final = b"caff"

_FILE_HEADER_BYTES: Final = 8
_CHUNK: Final = struct.Struct(">4sq")
#: Samples a second, codec, flags, bytes and samples of a packet (0 if they vary), channels, bits.
_DESCRIPTION: Final = struct.Struct(">d4sIIIII")
#: How many packets there are, and how many samples in them are to be heard.
_PACKETS: Final = struct.Struct(">qqii")

#: Of chunks that say how to read the others, and that programs read as a whole.
_LARGEST_CHUNK_BYTES: Final = 256_000
_READ_WHOLE: Final = frozenset({b"kuki", b"chan", b"info", b"strg"})
_MOST_CHUNKS: Final = 1000

#: FFmpeg's names of the codecs that need another than that of the file.
_CODECS: Final = {"aac": "aac", "lpcm": "pcm", "samr": "amr_nb", "sawb": "amr_wb", "ima4": "adpcm_ima_qt"}


def caf_sound(read: Read, size: int) -> NoteSound:
    """Return what a file says that begins with `MARK`."""
    position, chunks = _FILE_HEADER_BYTES, 0
    codec, rate, channels, packet_bytes, packet_samples = "", 0.0, 0, 0, 0
    sound_bytes: int | None = None
    packets: tuple[int, ...] = ()
    problem = ""
    while len(header := read(position, _CHUNK.size)) == _CHUNK.size:
        kind, length = _CHUNK.unpack(header)
        body = position + _CHUNK.size
        if kind == b"data" and length == -1:
            # A recorder that did not come to its end.
            length = size - body
        chunks += 1
        is_whole = kind in _READ_WHOLE or kind in (b"desc", b"pakt")
        if length < 0 or chunks > _MOST_CHUNKS or (kind in _READ_WHOLE and length > _LARGEST_CHUNK_BYTES):
            return NoteSound(problem=NOT_SOUND)
        if body + length > size:
            if is_whole:
                return NoteSound(problem=NOT_SOUND)
            problem, length = CUT_OFF, size - body
        if kind == b"desc" and length >= _DESCRIPTION.size:
            rate, name, _, packet_bytes, packet_samples, channels, _ = _DESCRIPTION.unpack(read(body, 32))
            codec = name.decode("ascii", "replace").strip()
        elif kind == b"pakt" and length >= _PACKETS.size:
            packets = _PACKETS.unpack(read(body, _PACKETS.size))
            # Each has at least a byte in this list, unless all are alike.
            if not packet_bytes and not 0 <= packets[0] <= length:
                return NoteSound(problem=NOT_SOUND)
        elif kind == b"data":
            sound_bytes = length
        position = body + length
    if not codec or not math.isfinite(rate) or rate <= 0 or sound_bytes is None:
        return NoteSound(problem=NOT_SOUND)
    codec = _CODECS.get(codec, codec)
    samples: float | None = None
    if packet_bytes and packet_samples:
        samples = max(0, sound_bytes - 4) / packet_bytes * packet_samples
    elif packets:
        samples = packets[1]
    else:
        problem = CUT_OFF
    duration_s = None if samples is None else samples / rate
    # No codec packs more than a second into a byte.
    if duration_s is not None and not 0 <= duration_s <= size:
        return NoteSound(problem=NOT_SOUND)
    return NoteSound("caf", codec, channels, duration_s, problem)
