"""Pictures of H.264 made without an encoder: the one before once more, or with some macroblocks of it replaced.

A screen that rests is repeated a thousand times an hour, on a constant grid thirty times a second; and where somebody
types, a caret blinks or a clock ticks, next to nothing of it changes. For an encoder each is a whole picture to compare
with the last one: milliseconds of work. What it would write is a slice that says of nearly every macroblock that it is
skipped (ITU-T H.264, sections 7.3.3 and 7.3.4), and that can be written by whoever knows how the stream is laid out.
The others are given as they are, sample by sample (`I_PCM`): 384 bytes each.

The encoder knows nothing of that, so its own pictures must not be predicted from these. Each of the encoder's is marked
as a long-term reference, of which there is one, and the next is told to refer to it; those between are short-term ones,
each predicted from the picture that is shown before it (sections 7.4.3.1 and 7.4.3.3). To say that takes two bytes of
the head of each slice, and none of what follows has to be moved by bits.

A picture that later ones are predicted from has a number, one more than the last: pictures put between those of an
encoder need one as well, and the numbers of the encoder's own, up to its next key frame, have to go up by as many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from capture.codecs.bitstream import BitReader, bytes_of
from capture.errors import EncoderError

__all__ = ["SliceWriter"]

#: Kinds of NAL units (table 7-1).
_SLICE: Final = 1
_KEY_SLICE: Final = 5
_SEQUENCE: Final = 7
_PICTURE: Final = 8

#: What stands before every unit, after a further zero or not.
_MARK: Final = b"\0\0\1"

#: The first byte of a unit with a slice of a picture that others are predicted from.
_REFERENCE_SLICE: Final = b"\x41"

#: `slice_type` of a picture all of whose slices are predicted from one other (table 7-6), and `mb_type` of samples in
#: such a picture (tables 7-11 and 7-13).
_ALL_PREDICTED: Final = 5
_SAMPLES: Final = 30

#: Profiles whose parameters tell more than those of Baseline, Main and Extended (section 7.3.2.1.1).
_BASIC_PROFILES: Final = frozenset({66, 77, 88})

#: Everything that has to be read or written of the beginning of a slice lies within so many bytes.
_HEAD_BYTES: Final = 16

#: `ref_pic_list_modification` to the long-term picture number 0, and that nothing is modified.
_FROM_ENCODERS: Final = "1011100100"
_FROM_LAST: Final = "0"

#: `dec_ref_pic_marking` that makes a picture the long-term one number 0, and that the oldest short-term one goes.
_KEEP_AS_ENCODERS: Final = "10011111"
_KEEP_AS_LAST: Final = "0"


class SliceWriter:
    """Pictures for one stream. `renumbered` takes every packet of the encoder in its order; `picture` comes between.

    Where macroblocks can be replaced `takes_macroblocks` is true: then the encoder must predict each picture from its
    last one alone.
    """

    def __init__(self, macroblocks: int, number_bits: int, *, tells_deblocking: bool, takes_macroblocks: bool) -> None:
        self._macroblocks = macroblocks
        self._number_bits = number_bits
        self._tells_deblocking = tells_deblocking
        self.takes_macroblocks = takes_macroblocks
        # The number of the last picture, how many have been put in since the last key frame, and whether that was one.
        self._number = 0
        self._added = 0
        self._is_last = False

    @classmethod
    def of(cls, parameters: bytes, *, from_last_alone: bool = False) -> SliceWriter | None:
        """For the stream that these parameter sets describe, as an encoder gives them; None where it does not do.

        Macroblocks can be replaced where the encoder predicts each picture `from_last_alone`, and decoders keep two.
        """
        sets = {kind: _unguarded(parameters[begin + 1 : end]) for kind, begin, end in _units(parameters)}
        if _SEQUENCE not in sets or _PICTURE not in sets:
            return None
        try:
            return cls._read(_Bits(sets[_SEQUENCE]), _Bits(sets[_PICTURE]), from_last_alone=from_last_alone)
        except IndexError:
            return None

    @classmethod
    def _read(cls, sequence: _Bits, picture: _Bits, *, from_last_alone: bool) -> SliceWriter | None:
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
        references = sequence.code()
        sequence.number(1)
        macroblocks = (sequence.code() + 1) * (sequence.code() + 1)
        progressive = sequence.number(1) == 1
        picture.code()
        picture.code()
        arithmetic, fields, groups = picture.number(1), picture.number(1), picture.code()
        choices = picture.code()
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
        # Filtered, the edges of what was replaced would run into what was not.
        takes_macroblocks = from_last_alone and references >= 2 and choices == 0 and tells_deblocking
        return cls(macroblocks, number_bits, tells_deblocking=tells_deblocking, takes_macroblocks=takes_macroblocks)

    def picture(self, replaced: Sequence[tuple[int, bytes]] = ()) -> bytes:
        """One more picture, the same as the last but for the macroblocks that are `replaced`.

        Of each the address, ascending, and its 384 samples, as `macroblocks.samples_of` gives them.
        """
        self._added += 1
        self._number = (self._number + 1) % (1 << self._number_bits)
        source = _FROM_ENCODERS if self.takes_macroblocks and not self._is_last else _FROM_LAST
        self._is_last = True
        bits = _code(0) + _code(_ALL_PREDICTED) + _code(0) + f"{self._number:0{self._number_bits}b}"
        # As many references as usual; the usual quantiser.
        bits += "0" + source + _KEEP_AS_LAST + _code(0)
        if self._tells_deblocking:
            bits += _code(1)
        parts, following = [], 0
        for address, samples in replaced:
            parts += [bytes_of(bits + _code(address - following) + _code(_SAMPLES)), samples]
            bits, following = "", address + 1
        if following < self._macroblocks:
            bits += _code(self._macroblocks - following)
        parts.append(bytes_of(bits + "1"))
        return b"\0" + _MARK + _REFERENCE_SLICE + _guarded(b"".join(parts))

    def renumbered(self, packet: bytes) -> bytes:
        """The encoder's next packet, as it has to be among the pictures that are put in."""
        parts, copied = [], 0
        for kind, begin, end in _units(packet):
            if kind == _KEY_SLICE:
                self._number = self._added = 0
            if kind == _SLICE or (kind == _KEY_SLICE and self.takes_macroblocks):
                end = _head_end(packet, begin + 1, end)
                head = packet[begin + 1 : end]
                parts += [packet[copied : begin + 1], self._marked(head) if kind == _KEY_SLICE else self._moved(head)]
                copied = end
        self._is_last = False
        return b"".join((*parts, packet[copied:])) if self._added or self.takes_macroblocks else packet

    def _marked(self, head: bytes) -> bytes:
        """The head of a slice of a key frame, which is made the long-term reference."""
        bits = _Bits(_unguarded(head))
        for _ in range(3):
            bits.code()
        bits.number(self._number_bits)
        bits.code()
        bits.number(1)
        return bits.replaced(1, "1")

    def _moved(self, head: bytes) -> bytes:
        """The head of a slice of another picture, with its new number and, where macroblocks may be replaced, marks."""
        bits = _Bits(_unguarded(head))
        for _ in range(3):
            bits.code()
        place = bits.place
        self._number = (bits.number(self._number_bits) + self._added) % (1 << self._number_bits)
        number = f"{self._number:0{self._number_bits}b}"
        if not self.takes_macroblocks:
            bits.place = place
            return bits.replaced(self._number_bits, number) if self._added else head
        # Whether the slice has another count of references than usual, changes their order, or forgets some.
        if bits.number(3) != 0:
            raise EncoderError("the encoder predicts from other pictures than the last")
        bits.place = place
        return bits.replaced(self._number_bits + 3, number + "0" + _FROM_ENCODERS + _KEEP_AS_ENCODERS)


class _Bits(BitReader):
    """Bits with codes among them."""

    def code(self) -> int:
        """The next Exp-Golomb code (section 9.1); of one with a sign only that it was there is of use."""
        zeros = 0
        while not self.number(1):
            zeros += 1
        return (1 << zeros) - 1 + (self.number(zeros) if zeros else 0)

    def replaced(self, count: int, by: str) -> bytes:
        """All of it, guarded, with the next `count` bits replaced: by as many, or by whole bytes more."""
        return _guarded(bytes_of(self.bits[: self.place] + by + self.bits[self.place + count :]))


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
