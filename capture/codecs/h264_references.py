"""Lets decoders of an H.264 stream keep two references, although its encoder keeps one.

`h264_slices` writes pictures that need the second. An encoder that is asked for two keeps both itself, and never looks
at the other: 6 MB at 1080p, 15 MB at 4K. Its slices are the same, bit for bit.
"""

from __future__ import annotations

from typing import Final

from capture.codecs.h264_sequence import skip_to_rate, skip_to_references
from capture.codecs.h264_units import SEQUENCE, CodeReader, unguarded, units_in

__all__ = ["with_two_references"]

#: The Exp-Golomb codes of 1 and of 2, equally long.
_ONE: Final = "010"
_TWO: Final = "011"


def with_two_references(data: bytes) -> bytes:
    """Return parameter sets with start codes whose decoders keep two references in place of one.

    Every level leaves room for two (ITU-T H.264, table A-1). Returns `data` itself if it has no sequence parameters,
    or they state another number or are not supported.
    """
    parts, copied = [], 0
    for kind, begin, end in units_in(data):
        changed = _changed(data[begin + 1 : end]) if kind == SEQUENCE else None
        if changed is not None:
            parts += [data[copied : begin + 1], changed]
            copied = end
    return b"".join((*parts, data[copied:])) if parts else data


def _changed(payload: bytes) -> bytes | None:
    bits = CodeReader(unguarded(payload))
    try:
        places = _places(bits)
    except IndexError:
        return None
    if not places:
        return None
    for place in places:
        bits.bits = bits.bits[:place] + _TWO + bits.bits[place + len(_TWO) :]
    return bits.replaced(0, "")


def _places(bits: CodeReader) -> list[int]:
    """Return where `max_num_ref_frames` and, if it is there, `max_dec_frame_buffering` are 1; none if not both are."""
    if not skip_to_references(bits):
        return []
    places = [bits.place]
    if not skip_to_rate(bits):
        return []
    bits.number(1)
    if bits.number(2):
        # The parameters of a decoder's buffer (section E.1.2).
        return []
    bits.number(1)
    if bits.number(1):
        bits.number(1)
        for _ in range(5):
            bits.code()
        places.append(bits.place)
    return places if all(bits.bits.startswith(_ONE, place) for place in places) else []
