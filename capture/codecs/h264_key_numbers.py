"""Gives a key frame of H.264 another number than the one right before it.

Decoders may take two key frames in a row for one picture if they have the same number (`idr_pic_id`, ITU-T H.264,
section 7.4.3). Two encoders count alike, so this happens where a picture of one is followed by a picture of another.
The new number takes a whole byte more in the slice header, so the rest of the slice is not shifted by bits.
"""

from __future__ import annotations

from typing import Final

from capture.codecs.h264_sequence import frame_number_bits
from capture.codecs.h264_units import KEY_SLICE, SEQUENCE, CodeReader, head_end, skip_frame_number, unguarded, units_in

__all__ = ["told_apart"]

#: The largest number has 16 bits, and its code as many zeros at most.
_MOST_ZEROS: Final = 15

#: Four zeros and four more bits are a byte.
_MORE_ZEROS: Final = 4


def told_apart(packet: bytes, before: bytes, parameters: bytes) -> bytes:
    """Return the key frame `packet` with another number than `before`, if that is a key frame with the same one.

    All have start codes. Returns `packet` itself if nothing has to be changed, or the stream is not supported.
    """
    sequence = next((parameters[begin + 1 : end] for kind, begin, end in units_in(parameters) if kind == SEQUENCE), b"")
    try:
        bits = frame_number_bits(CodeReader(unguarded(sequence)))
        if bits is None:
            return packet
        numbers = _numbers(packet, bits)
        return _with_larger_number(packet, bits) if numbers and numbers == _numbers(before, bits) else packet
    except IndexError:
        return packet


def _slices(packet: bytes) -> list[tuple[int, int]]:
    """Return where the headers of a key frame's slices begin and can be cut off."""
    return [(begin + 1, head_end(packet, begin + 1, end)) for kind, begin, end in units_in(packet) if kind == KEY_SLICE]


def _numbers(packet: bytes, frame_number_bits: int) -> set[int]:
    """Return the number of a key frame; nothing for another frame."""
    return {_at_number(packet[begin:end], frame_number_bits).code() for begin, end in _slices(packet)}


def _at_number(head: bytes, frame_number_bits: int) -> CodeReader:
    bits = CodeReader(unguarded(head))
    skip_frame_number(bits, frame_number_bits)
    return bits


def _with_larger_number(packet: bytes, frame_number_bits: int) -> bytes:
    parts, copied = [], 0
    for begin, end in _slices(packet):
        bits = _at_number(packet[begin:end], frame_number_bits)
        place = bits.place
        bits.code()
        length, bits.place = bits.place - place, place
        zeros = length // 2 + _MORE_ZEROS
        if zeros > _MOST_ZEROS:
            return packet
        parts += [packet[copied:begin], bits.replaced(length, "0" * zeros + "1" + "0" * zeros)]
        copied = end
    return b"".join((*parts, packet[copied:]))
