"""Says in an H.264 stream whether its frames come at a constant rate.

Encoders say so in their sequence parameters (`fixed_frame_rate_flag`, ITU-T H.264, sections E.1.1 and E.2.1), because
they do not know that frames are left out while nothing changes. Programs that believe it compute wrong times.
"""

from __future__ import annotations

from capture.codecs.h264_sequence import skip_to_rate, skip_to_references
from capture.codecs.h264_units import SEQUENCE, CodeReader, unguarded, units_in

__all__ = ["says_constant_rate", "with_rate_stated"]


def with_rate_stated(data: bytes, *, constant: bool) -> bytes:
    """Return parameter sets or a packet, with start codes, that say whether the frame rate is constant.

    Returns `data` itself if it has no sequence parameters, or they say so already, say nothing or are not supported.
    """
    parts, copied = [], 0
    for kind, begin, end in units_in(data):
        if kind != SEQUENCE:
            continue
        bits = _at_flag(data[begin + 1 : end])
        if bits is not None and (bits.bits[bits.place] == "1") is not constant:
            parts += [data[copied : begin + 1], bits.replaced(1, str(int(constant)))]
            copied = end
    return b"".join((*parts, data[copied:])) if parts else data


def says_constant_rate(parameters: bytes) -> bool:
    """Whether parameter sets with start codes say that the frame rate is constant."""
    found = (_at_flag(parameters[begin + 1 : end]) for kind, begin, end in units_in(parameters) if kind == SEQUENCE)
    return any(bits is not None and bits.bits[bits.place] == "1" for bits in found)


def _at_flag(payload: bytes) -> CodeReader | None:
    """Return a reader of sequence parameters that is at the flag, or None without one."""
    bits = CodeReader(unguarded(payload))
    try:
        return bits if skip_to_references(bits) and skip_to_rate(bits) else None
    except IndexError:
        return None
