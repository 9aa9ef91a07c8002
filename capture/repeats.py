"""Pictures of H.264 that show the one before once more: ten bytes, made without an encoder.

A screen that rests is repeated a thousand times an hour, on a constant grid thirty times a second. For an encoder each
is a whole picture to compare with the last one, milliseconds of work to find that nothing has changed. What it would
write then is a slice that says of every macroblock that it is skipped (ITU-T H.264, sections 7.3.3 and 7.3.4), and that
can be written by whoever knows how the stream is laid out.

A picture that later ones are predicted from has a number, one more than the last: pictures put between those of an
encoder need one as well, and the numbers of the encoder's own, up to its next key frame, have to go up by as many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["Repeats"]

#: Kinds of NAL units (table 7-1).
_SLICE: Final = 1
_KEY_SLICE: Final = 5
_SEQUENCE: Final = 7
_PICTURE: Final = 8

#: What stands before every unit, after a further zero or not.
_MARK: Final = b"\0\0\1"

#: The first byte of a unit with a slice of a picture that others are predicted from.
_REFERENCE_SLICE: Final = b"\x41"

#: `slice_type` of a picture all of whose slices are predicted from one other (table 7-6).
_ALL_PREDICTED: Final = 5

#: Profiles whose parameters tell more than those of Baseline, Main and Extended (section 7.3.2.1.1).
_BASIC_PROFILES: Final = frozenset({66, 77, 88})

#: Everything that has to be read or written of the beginning of a slice lies within so many bytes.
_HEAD_BYTES: Final = 16


class Repeats:
    """Repeats for one stream. `renumbered` takes every packet of the encoder in its order; `picture` comes between."""

    def __init__(self, macroblocks: int, number_bits: int, *, tells_deblocking: bool) -> None:
        self._macroblocks = macroblocks
        self._number_bits = number_bits
        self._tells_deblocking = tells_deblocking
        # The number of the last picture, and how many have been put in since the last key frame.
        self._number = 0
        self._added = 0

    @classmethod
    def of(cls, parameters: bytes) -> Repeats | None:
        """For the stream that these parameter sets describe, as an encoder gives them; None where it does not do."""
        sets = {kind: _unguarded(parameters[begin + 1 : end]) for kind, begin, end in _units(parameters)}
        if _SEQUENCE not in sets or _PICTURE not in sets:
            return None
        try:
            return cls._read(_Bits(sets[_SEQUENCE]), _Bits(sets[_PICTURE]))
        except IndexError:
            return None

    @classmethod
    def _read(cls, sequence: _Bits, picture: _Bits) -> Repeats | None:
        profile = sequence.number(8)
        sequence.number(16)
        sequence.code()
        if profile not in _BASIC_PROFILES:
            chroma, luma_depth, chroma_depth = sequence.code(), sequence.code(), sequence.code()
            bypass, scaled = sequence.number(1), sequence.number(1)
            if (chroma, luma_depth, chroma_depth, bypass, scaled) != (1, 0, 0, 0, 0):
                return None
        number_bits = sequence.code() + 4
        # Anything else than 2: the order in which pictures are shown is told in each.
        in_order = sequence.code() == 2
        sequence.code()
        sequence.number(1)
        macroblocks = (sequence.code() + 1) * (sequence.code() + 1)
        progressive = sequence.number(1) == 1
        picture.code()
        picture.code()
        arithmetic, fields, groups = picture.number(1), picture.number(1), picture.code()
        picture.code()
        picture.code()
        weighted = picture.number(1)
        picture.number(2)
        for _ in range(3):
            picture.code()
        tells_deblocking = picture.number(1) == 1
        picture.number(1)
        redundant = picture.number(1)
        if not (in_order and progressive) or any((arithmetic, fields, groups, weighted, redundant)):
            return None
        return cls(macroblocks, number_bits, tells_deblocking=tells_deblocking)

    def picture(self) -> bytes:
        """One more picture, the same as the last."""
        self._added += 1
        self._number = (self._number + 1) % (1 << self._number_bits)
        bits = _code(0) + _code(_ALL_PREDICTED) + _code(0) + f"{self._number:0{self._number_bits}b}"
        # As many references as usual, in their usual order, kept for as long as usual; the usual quantiser.
        bits += "000" + _code(0)
        if self._tells_deblocking:
            bits += _code(1)
        bits += _code(self._macroblocks) + "1"
        bits += "0" * (-len(bits) % 8)
        payload = int(bits, 2).to_bytes(len(bits) // 8, "big")
        return b"\0" + _MARK + _REFERENCE_SLICE + _guarded(payload)

    def renumbered(self, packet: bytes) -> bytes:
        """The encoder's next packet, as it has to be behind the pictures that were put in."""
        parts, copied = [], 0
        for kind, begin, end in _units(packet):
            if kind == _KEY_SLICE:
                self._number = self._added = 0
                return packet
            if kind == _SLICE:
                end = _head_end(packet, begin + 1, end)
                parts += [packet[copied : begin + 1], self._slice_renumbered(packet[begin + 1 : end])]
                copied = end
        return b"".join((*parts, packet[copied:])) if self._added else packet

    def _slice_renumbered(self, head: bytes) -> bytes:
        plain = _unguarded(head)
        bits = _Bits(plain)
        for _ in range(3):
            bits.code()
        place = bits.place
        self._number = (bits.number(self._number_bits) + self._added) % (1 << self._number_bits)
        if not self._added:
            return head
        below = 8 * len(plain) - place - self._number_bits
        mask = ((1 << self._number_bits) - 1) << below
        value = int.from_bytes(plain, "big") & ~mask | self._number << below
        return _guarded(value.to_bytes(len(plain), "big"))


class _Bits:
    """Reads bits from the front. `IndexError` at the end."""

    def __init__(self, data: bytes) -> None:
        self._bits = "".join(f"{byte:08b}" for byte in data)
        self.place = 0

    def number(self, count: int) -> int:
        """The next `count` bits."""
        self.place += count
        if self.place > len(self._bits):
            raise IndexError("the parameters end early")
        return int(self._bits[self.place - count : self.place], 2)

    def code(self) -> int:
        """The next Exp-Golomb code (section 9.1); of one with a sign only that it was there is of use."""
        zeros = 0
        while not self.number(1):
            zeros += 1
        return (1 << zeros) - 1 + (self.number(zeros) if zeros else 0)


def _code(value: int) -> str:
    """`value` as an Exp-Golomb code."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits


def _units(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Of each NAL unit its kind, where it begins, and where at the latest it ends."""
    at = data.find(_MARK)
    while 0 <= at < len(data) - len(_MARK):
        begin, at = at + len(_MARK), data.find(_MARK, at + len(_MARK))
        yield data[begin] & 0x1F, begin, at if at >= 0 else len(data)


def _head_end(data: bytes, begin: int, unit_end: int) -> int:
    """Where the head of a slice can be cut off: behind a byte that is no part of a guarded sequence."""
    end = min(begin + _HEAD_BYTES, unit_end)
    while end < unit_end and data[end - 1] <= 3:
        end += 1
    return end


def _unguarded(data: bytes) -> bytes:
    """Without the bytes that keep the payload from looking like the beginning of a unit (section 7.4.1)."""
    return data.replace(b"\0\0\3", b"\0\0")


def _guarded(data: bytes) -> bytes:
    return re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", data)
