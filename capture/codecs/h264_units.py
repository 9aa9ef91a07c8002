"""The syntax of H.264 (ITU-T H.264) that its sequence parameters and slices share: units, guards and codes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from capture.codecs.bitstream import BitReader, bytes_of

__all__ = [
    "BASIC_PROFILES",
    "KEY_SLICE",
    "SEQUENCE",
    "START_CODE",
    "CodeReader",
    "guarded",
    "head_end",
    "parameters_of",
    "skip_frame_number",
    "unguarded",
    "units_in",
    "with_lengths",
    "with_start_codes",
]

#: The NAL unit types of slices of key frames and of sequence parameters (table 7-1).
KEY_SLICE: Final = 5
SEQUENCE: Final = 7

#: Baseline, Main and Extended: the sequence parameters of all other profiles contain more fields (section 7.3.2.1.1).
BASIC_PROFILES: Final = frozenset({66, 77, 88})

#: The start code of every NAL unit; another zero may precede it.
START_CODE: Final = b"\0\0\1"
_LONG_START_CODE: Final = b"\0" + START_CODE

#: All fields of a slice header that we read or write are within this many bytes of its start.
_HEAD_BYTES: Final = 16


class CodeReader(BitReader):
    """Reads bits and Exp-Golomb codes."""

    def code(self) -> int:
        """Read the next Exp-Golomb code as unsigned (section 9.1). Signed codes can only be skipped this way."""
        zeros = 0
        while not self.number(1):
            zeros += 1
        return (1 << zeros) - 1 + (self.number(zeros) if zeros else 0)

    def replaced(self, count: int, by: str) -> bytes:
        """Return all bits with the next `count` replaced by `by`, with emulation prevention.

        `by` has `count` bits, or whole bytes more.
        """
        return guarded(bytes_of(self.bits[: self.place] + by + self.bits[self.place + count :]))


def units_in(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the type, the begin and the latest possible end of each NAL unit."""
    at = data.find(START_CODE)
    while 0 <= at < len(data) - len(START_CODE):
        begin, at = at + len(START_CODE), data.find(START_CODE, at + len(START_CODE))
        yield data[begin] & 0x1F, begin, at if at >= 0 else len(data)


def skip_frame_number(bits: CodeReader, number_bits: int) -> None:
    """Skip the fields of a slice header up to the frame's number, which has this many bits, and that too."""
    for _ in range(3):
        bits.code()
    bits.number(number_bits)


def head_end(data: bytes, begin: int, unit_end: int) -> int:
    """Return where a slice header can be cut off: after a byte outside any emulation prevention sequence."""
    end = min(begin + _HEAD_BYTES, unit_end)
    while end < unit_end and data[end - 1] <= 3:
        end += 1
    return end


def unguarded(data: bytes) -> bytes:
    """Remove the emulation prevention bytes, which keep a payload from containing a start code (section 7.4.1)."""
    return data.replace(b"\0\0\3", b"\0\0")


def guarded(data: bytes) -> bytes:
    """Insert the emulation prevention bytes."""
    return re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", data)


def parameters_of(extradata: bytes) -> bytes:
    """Return the parameter sets of an `avcC` box with start codes; empty if units have no lengths of four bytes.

    See ISO/IEC 14496-15, section 5.3.3.1.
    """
    if len(extradata) < 7 or extradata[0] != 1 or extradata[4] & 3 != 3:
        return b""
    sets, at = b"", 5
    for mask in (0x1F, 0xFF):
        count, at = int.from_bytes(extradata[at : at + 1], "big") & mask, at + 1
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            sets, at = sets + _LONG_START_CODE + extradata[at + 2 : at + 2 + size], at + 2 + size
    return sets


def with_start_codes(packet: bytes) -> bytes:
    """Replace the lengths before the units of a packet with start codes."""
    parts, at = [], 0
    while at + 4 <= len(packet):
        size = int.from_bytes(packet[at : at + 4], "big")
        parts += [_LONG_START_CODE, packet[at + 4 : at + 4 + size]]
        at += 4 + size
    return b"".join(parts)


def with_lengths(packet: bytes) -> bytes:
    """Replace the start codes, all of four bytes, with lengths."""
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in packet.split(_LONG_START_CODE)[1:])
