"""Finds fields in the sequence parameters of H.264 (ITU-T H.264, sections 7.3.2.1.1 and E.1.1)."""

from __future__ import annotations

from capture.codecs.h264_units import BASIC_PROFILES, CodeReader

__all__ = ["frame_number_bits", "skip_to_rate", "skip_to_references"]

#: `aspect_ratio_idc` of a ratio that is written out (table E-1).
_OWN_RATIO = 255


def frame_number_bits(bits: CodeReader) -> int | None:
    """Return how many bits the number of a frame has; None if fields are not supported, or a frame may be two of them.

    Raises `IndexError` where the bits end early.
    """
    if not _skip_to_numbers(bits):
        return None
    count = bits.code() + 4
    _skip_order(bits)
    bits.code()
    bits.number(1)
    bits.code()
    bits.code()
    return count if bits.number(1) else None


def skip_to_references(bits: CodeReader) -> bool:
    """Skip the fields before `max_num_ref_frames`; False if there are some that are not supported.

    Raises `IndexError` where the bits end early.
    """
    if not _skip_to_numbers(bits):
        return False
    bits.code()
    _skip_order(bits)
    return True


def _skip_to_numbers(bits: CodeReader) -> bool:
    """Skip the fields before `log2_max_frame_num_minus4`; False if there are some that are not supported."""
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
    return True


def _skip_order(bits: CodeReader) -> None:
    """Skip the fields that say in which order pictures are shown."""
    order = bits.code()
    if order == 0:
        bits.code()
    elif order == 1:
        bits.number(1)
        for _ in range(2):
            bits.code()
        for _ in range(bits.code()):
            bits.code()


def skip_to_rate(bits: CodeReader) -> bool:
    """Skip the fields from `max_num_ref_frames` up to `fixed_frame_rate_flag`; False if that is not there.

    Raises `IndexError` where the bits end early.
    """
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
    return bits.number(1) == 1 and _skip_usability(bits)


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
