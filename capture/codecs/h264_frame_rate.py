"""Says in an H.264 stream whether its frames come at a constant rate.

Encoders say so in their sequence parameters (`fixed_frame_rate_flag`, ITU-T H.264, sections E.1.1 and E.2.1), because
they do not know that frames are left out while nothing changes. Programs that believe it compute wrong times.
"""

from __future__ import annotations

from capture.codecs.h264_units import BASIC_PROFILES, SEQUENCE, CodeReader, unguarded, units_in

__all__ = ["says_constant_rate", "with_rate_stated"]

#: `aspect_ratio_idc` of a ratio that is written out (table E-1).
_OWN_RATIO = 255


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
        return bits if _skip_sequence(bits) and _skip_usability(bits) else None
    except IndexError:
        return None


def _skip_sequence(bits: CodeReader) -> bool:
    """Skip the fields before the usability information (section 7.3.2.1.1); return whether that is there."""
    profile = bits.number(8)
    bits.number(16)
    bits.code()
    if profile not in BASIC_PROFILES:
        if bits.code() == 3:
            bits.number(1)
        bits.code()
        bits.code()
        bits.number(1)
        if bits.number(1):
            # Scaling matrices.
            return False
    bits.code()
    order = bits.code()
    if order == 0:
        bits.code()
    elif order == 1:
        bits.number(1)
        for _ in range(2):
            bits.code()
        for _ in range(bits.code()):
            bits.code()
    bits.code()
    bits.number(1)
    bits.code()
    bits.code()
    if not bits.number(1):
        bits.number(1)
    bits.number(1)
    if bits.number(1):
        for _ in range(4):
            bits.code()
    return bits.number(1) == 1


def _skip_usability(bits: CodeReader) -> bool:
    """Skip the usability information up to the flag (section E.1.1); return whether it is there."""
    if bits.number(1) and bits.number(8) == _OWN_RATIO:
        bits.number(32)
    if bits.number(1):
        bits.number(1)
    if bits.number(1):
        bits.number(4)
        if bits.number(1):
            bits.number(24)
    if bits.number(1):
        bits.code()
        bits.code()
    if not bits.number(1):
        return False
    bits.number(64)
    return bits.place < len(bits.bits)
