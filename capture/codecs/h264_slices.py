"""Writes H.264 pictures without an encoder: the last one again, or the last one with some macroblocks replaced.

A still screen is repeated a thousand times an hour, or on a constant grid thirty times a second. And when the user
types, a caret blinks or a clock ticks, almost nothing changes. For an encoder each of these is a whole picture to
compare with the last one, which takes milliseconds. Its output would be a slice that marks nearly every macroblock as
skipped (ITU-T H.264, sections 7.3.3 and 7.3.4). Given the layout of the stream, we can write that slice ourselves. The
other macroblocks are stored uncompressed (`I_PCM`), 384 bytes each.

The encoder does not know about the inserted pictures, so its own must not be predicted from them. We mark each of the
encoder's pictures as the one long-term reference, and make its next picture refer to that. Inserted pictures are
short-term references, each predicted from the picture shown before it (sections 7.4.3.1 and 7.4.3.3). These marks add
two whole bytes to a slice header, none in a key frame, so the rest of the slice does not have to be shifted by bits.

A reference picture has a number, one more than the last. Inserted pictures need one too, so we raise the numbers of the
encoder's own pictures accordingly, until its next key frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from capture.codecs.bitstream import bytes_of
from capture.codecs.h264_units import (
    BASIC_PROFILES,
    KEY_SLICE,
    SEQUENCE,
    START_CODE,
    CodeReader,
    guarded,
    head_end,
    skip_frame_number,
    unguarded,
    units_in,
)
from capture.errors import EncoderError

__all__ = ["SliceWriter"]

#: NAL unit types (table 7-1).
_SLICE: Final = 1
_PICTURE: Final = 8

#: The first byte of a NAL unit that holds a slice of a reference picture.
_REFERENCE_SLICE: Final = b"\x41"

#: `slice_type` of a picture with only P slices (table 7-6), and `mb_type` of `I_PCM` in a P slice (tables 7-11 and
#: 7-13).
_ALL_PREDICTED: Final = 5
_SAMPLES: Final = 30

#: The bits of a NAL unit's first byte that say whether other pictures are predicted from it.
_REFERENCE_BITS: Final = 0x60

#: `ref_pic_list_modification` that refers to long-term picture 0, and the one that modifies nothing.
_FROM_ENCODERS: Final = "1011100100"
_FROM_LAST: Final = "0"

#: `dec_ref_pic_marking` that makes the picture long-term picture 0, and the one that drops the oldest short-term
#: picture.
_KEEP_AS_ENCODERS: Final = "10011111"
_KEEP_AS_LAST: Final = "0"


class SliceWriter:
    """Writes pictures into one H.264 stream.

    Pass every packet of the encoder through `renumbered`, in order; call `picture` in between. If `takes_macroblocks`
    is true, `picture` can replace macroblocks; the encoder must then predict each picture only from its previous one.
    """

    def __init__(
        self,
        macroblocks: int,
        number_bits: int,
        *,
        controls_deblocking: bool,
        takes_macroblocks: bool,
        has_one_reference: bool,
    ) -> None:
        self._macroblocks = macroblocks
        self._number_bits = number_bits
        self._controls_deblocking = controls_deblocking
        self.takes_macroblocks = takes_macroblocks
        # With several references, an inserted one would push another out.
        self._has_one_reference = has_one_reference
        # The number of the last picture, how many were inserted since the last key frame, and whether the last one is
        # the long-term reference.
        self._number = 0
        self._added = 0
        self._last_is_long_term = False

    @classmethod
    def of(cls, parameters: bytes, *, from_last_alone: bool = False) -> SliceWriter | None:
        """Return a writer for the stream with these parameter sets, or None if the stream is not supported.

        Macroblocks can be replaced if the encoder predicts each picture `from_last_alone` and decoders keep at least
        two reference pictures.
        """
        sets = {kind: unguarded(parameters[begin + 1 : end]) for kind, begin, end in units_in(parameters)}
        if SEQUENCE not in sets or _PICTURE not in sets:
            return None
        try:
            return cls._read(CodeReader(sets[SEQUENCE]), CodeReader(sets[_PICTURE]), from_last_alone=from_last_alone)
        except IndexError:
            return None

    @classmethod
    def _read(cls, sequence: CodeReader, picture: CodeReader, *, from_last_alone: bool) -> SliceWriter | None:
        profile = sequence.number(8)
        sequence.number(16)
        sequence.code()
        if profile not in BASIC_PROFILES:
            chroma, luma_depth, chroma_depth = sequence.code(), sequence.code(), sequence.code()
            bypass, scaled = sequence.number(1), sequence.number(1)
            if (chroma, luma_depth, chroma_depth, bypass, scaled) != (1, 0, 0, 0, 0):
                return None
        number_bits = sequence.code() + 4
        # With any other value than 2, each picture states its place in display order.
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
        controls_deblocking = picture.number(1) == 1
        picture.number(1)
        redundant = picture.number(1)
        if not (in_order and progressive) or any((arithmetic, fields, groups, weighted, redundant)):
            return None
        # Deblocking would blur the edges of replaced macroblocks into their neighbours, so it must be switched off.
        takes_macroblocks = from_last_alone and references >= 2 and choices == 0 and controls_deblocking
        return cls(
            macroblocks,
            number_bits,
            controls_deblocking=controls_deblocking,
            takes_macroblocks=takes_macroblocks,
            has_one_reference=references == 1,
        )

    def picture(self, replaced: Sequence[tuple[int, bytes]] = ()) -> bytes:
        """Return a picture that is the same as the last one except for the `replaced` macroblocks.

        Each item is an address, ascending, and its 384 samples, as `macroblocks.samples_of` returns them.
        """
        self._added += 1
        self._number = (self._number + 1) % (1 << self._number_bits)
        source = _FROM_ENCODERS if self._last_is_long_term else _FROM_LAST
        self._last_is_long_term = False
        bits = _code(0) + _code(_ALL_PREDICTED) + _code(0) + f"{self._number:0{self._number_bits}b}"
        # The default number of references and the default quantiser.
        bits += "0" + source + _KEEP_AS_LAST + _code(0)
        if self._controls_deblocking:
            bits += _code(1)
        parts, following = [], 0
        for address, samples in replaced:
            parts += [bytes_of(bits + _code(address - following) + _code(_SAMPLES)), samples]
            bits, following = "", address + 1
        if following < self._macroblocks:
            bits += _code(self._macroblocks - following)
        parts.append(bytes_of(bits + "1"))
        return b"\0" + START_CODE + _REFERENCE_SLICE + guarded(b"".join(parts))

    def renumbered(self, packet: bytes) -> bytes:
        """Return the encoder's next packet, adapted to the inserted pictures. Raises `EncoderError`."""
        parts, copied = [], 0
        for kind, begin, end in units_in(packet):
            if kind == KEY_SLICE:
                self._number = self._added = 0
            if kind == _SLICE or (kind == KEY_SLICE and self.takes_macroblocks):
                end = head_end(packet, begin + 1, end)
                head = packet[begin + 1 : end]
                parts += [packet[copied : begin + 1], self._marked(head) if kind == KEY_SLICE else self._moved(head)]
                copied = end
        self._last_is_long_term = self.takes_macroblocks
        return b"".join((*parts, packet[copied:])) if self._added or self.takes_macroblocks else packet

    def followed(self, packet: bytes) -> bytes:
        """Return the next packet of a finished stream, adapted to the inserted pictures.

        Use it in place of `renumbered`, for a stream that may already contain inserted pictures. Raises `EncoderError`
        if a picture refers to others in a way that inserted ones would disturb, or is damaged.
        """
        try:
            return self._followed(packet)
        except IndexError as error:
            raise EncoderError("its H.264 is damaged") from error

    def _followed(self, packet: bytes) -> bytes:
        parts, copied = [], 0
        for kind, begin, end in units_in(packet):
            if kind not in (_SLICE, KEY_SLICE):
                continue
            end = head_end(packet, begin + 1, end)
            bits = CodeReader(unguarded(packet[begin + 1 : end]))
            if kind == KEY_SLICE:
                self._number = self._added = 0
                self._last_is_long_term = self._is_marked(bits)
                if not (self._has_one_reference or self._last_is_long_term):
                    raise EncoderError("its H.264 predicts from several pictures")
                continue
            is_reference = packet[begin] & _REFERENCE_BITS != 0
            parts += [packet[copied : begin + 1], self._shifted(bits, is_reference=is_reference)]
            copied = end
        return b"".join((*parts, packet[copied:]))

    def leave_out(self, count: int) -> None:
        """Note that `count` inserted pictures are left out after the last packet; `followed` closes the gap."""
        self._added -= count

    def _is_marked(self, bits: CodeReader) -> bool:
        """Whether the slice header of a key frame marks it as a long-term reference."""
        skip_frame_number(bits, self._number_bits)
        bits.code()
        bits.number(1)
        return bits.number(1) == 1

    def _shifted(self, bits: CodeReader, *, is_reference: bool) -> bytes:
        """Return the slice header of a picture of a finished stream with its new number."""
        bits.code()
        kind = bits.code() % 5
        bits.code()
        place = bits.place
        number = (bits.number(self._number_bits) + self._added) % (1 << self._number_bits)
        if not is_reference or kind not in (0, 2):
            raise EncoderError("its H.264 has pictures that no other is predicted from")
        if kind == 0:
            if bits.number(1):
                bits.code()
            if bits.number(1):
                self._skip_pairs(bits, ends_with=3, refused=(0, 1))
        self._last_is_long_term = bits.number(1) == 1 and self._skip_pairs(bits, ends_with=0, refused=(1, 2, 3, 4, 5))
        self._number = number
        bits.place = place
        return bits.replaced(self._number_bits, f"{number:0{self._number_bits}b}")

    @staticmethod
    def _skip_pairs(bits: CodeReader, *, ends_with: int, refused: tuple[int, ...]) -> bool:
        """Skip operations, each with one value; return whether there were any. Refuses those that count pictures."""
        found = False
        while (operation := bits.code()) != ends_with:
            if operation in refused:
                raise EncoderError("its H.264 refers to pictures by their distance")
            bits.code()
            found = True
        return found

    def _marked(self, head: bytes) -> bytes:
        """Return the slice header of a key frame, marked as the long-term reference."""
        bits = CodeReader(unguarded(head))
        skip_frame_number(bits, self._number_bits)
        bits.code()
        bits.number(1)
        return bits.replaced(1, "1")

    def _moved(self, head: bytes) -> bytes:
        """Return the slice header of another picture with its new number and, if macroblocks can be replaced, marks."""
        bits = CodeReader(unguarded(head))
        for _ in range(3):
            bits.code()
        place = bits.place
        self._number = (bits.number(self._number_bits) + self._added) % (1 << self._number_bits)
        number = f"{self._number:0{self._number_bits}b}"
        if not self.takes_macroblocks:
            bits.place = place
            return bits.replaced(self._number_bits, number) if self._added else head
        # The slice overrides the number of references, reorders them, or drops some.
        if bits.number(3) != 0:
            raise EncoderError("the H.264 encoder predicts from pictures other than the last one")
        bits.place = place
        return bits.replaced(self._number_bits + 3, number + "0" + _FROM_ENCODERS + _KEEP_AS_ENCODERS)


def _code(value: int) -> str:
    """Return `value` as an Exp-Golomb code."""
    bits = f"{value + 1:b}"
    return "0" * (len(bits) - 1) + bits
