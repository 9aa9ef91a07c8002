"""AAC of two channels that are often one: what is the same on both sides is encoded once.

A voice, a lecture, a phone call, and silence most of all, come out of a computer alike on both sides, and for an
encoder that is twice the work. Here one side is encoded, and its packet is made into one of two channels: as their
middle, beside a difference in which there is nothing (ISO/IEC 14496-3, 4.6.8.1). What is decoded from it is twice what
is decoded from the one side. The standard's names of what is read and written are those of its section 4.4.2.

Where the sides begin to differ, an encoder of both goes on, and an encoder of one when they have long been the same. A
packet overlaps the one before it, so whoever goes on is first fed what went before; what it makes of that is thrown
away.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

import av
import numpy as np

from capture.codecs.bitstream import bits_of
from capture.errors import EncoderError
from capture.media import SAMPLE_RATE, SampleArray

__all__ = ["FRAME_SAMPLES", "StereoAac", "as_pair"]

#: Samples a packet, which is also by how much the first begins before the sound.
FRAME_SAMPLES: Final = 1024

#: What an encoder is fed before it goes on. It overlaps two frames, and when it looks for the beginnings of sounds, for
#: which it cuts frames into short ones, it looks back on some more.
_RUN_IN_FRAMES: Final = 8

#: Sides that have been the same for so long, two seconds, are expected to stay so.
_ALIKE_FRAMES: Final = 94

#: `id_syn_ele`, the kind of an element; where it is a channel or a pair, its number follows in four bits.
_CHANNEL: Final = "000" + "0000"
_PAIR: Final = "001" + "0000"
_FILL: Final = "110"
_END: Final = "111"

#: `common_window` of a pair whose channels have the windows that are told first, and `ms_mask_present` where all of
#: it is middle and difference.
_COMMON_WINDOW: Final = "1"
_ALL_MIDDLE: Final = "10"

#: `window_sequence` of eight short windows; how many bits `ics_info` has without them and with them, in AAC-LC.
_EIGHT_SHORT: Final = "10"
_INFO_BITS: Final = 11
_SHORT_INFO_BITS: Final = 15

#: `global_gain`, and in front of a channel's spectrum no pulses, no noise shaping, no gain control.
_GAIN_BITS: Final = 8
_NO_TOOLS: Final = "000"

_ZERO_CODEBOOK: Final = "0000"

#: The head of a packet lies within so many bytes, or so many with filling in front of it.
_HEAD_BYTES: Final = 4
_FILLED_HEAD_BYTES: Final = 64

_TIME_BASE: Final = Fraction(1, SAMPLE_RATE)

Packet: TypeAlias = "av.Packet[Any]"
Encode: TypeAlias = Callable[["av.AudioFrame | None"], "list[Packet]"]


class StereoAac:
    """Encodes an unbroken run of samples with `both`, an encoder of two channels, or with `one`, of one channel.

    Both are FFmpeg's, fresh, and alike but for the channels; and `one` substitutes no noise, for noise has no middle.
    Used by one thread. Packets are numbered as if one encoder had made them all.
    """

    def __init__(self, both: Encode, one: Encode) -> None:
        self._both = _Line(both, "stereo")
        self._one = _Line(one, "mono")
        self._line = self._one
        self._waiting: SampleArray = np.zeros((0, 2), np.float32)
        # What was fed last, and the last packet that came of it.
        self._recent = self._waiting
        self._last = b""
        self._made = 0
        # For how many frames the sides have been the same.
        self._alike = 0

    def encode(self, samples: SampleArray) -> list[Packet]:
        """Take float32 (n, 2), any n; return the packets that became complete."""
        waiting = np.concatenate((self._waiting, samples))
        whole = len(waiting) // FRAME_SAMPLES * FRAME_SAMPLES
        frames, self._waiting = waiting[:whole], waiting[whole:]
        if not whole:
            return []
        alike = (frames[:, 0] == frames[:, 1]).reshape(-1, FRAME_SAMPLES).all(axis=1)
        packets = []
        if alike.all():
            self._alike += len(alike)
        else:
            if self._line is self._one:
                same = int(alike.argmin()) * FRAME_SAMPLES
                packets += self._feed(frames[:same])
                frames = frames[same:]
                self._go_to_both()
            self._alike = int(alike[::-1].argmin())
        packets += self._feed(frames)
        if self._line is self._both and self._alike >= _ALIKE_FRAMES:
            self._go_to_one()
        return packets

    def finish(self) -> list[Packet]:
        """The rest, as a shorter last frame; nothing more is taken."""
        rest, self._waiting = self._waiting, self._waiting[:0]
        if self._line is self._one and not np.array_equal(rest[:, 0], rest[:, 1]):
            self._go_to_both()
        return self._feed(rest) + self._numbered(self._line.finish())

    def _feed(self, samples: SampleArray) -> list[Packet]:
        if not len(samples):
            return []
        self._recent = np.concatenate((self._recent, samples))[-_RUN_IN_FRAMES * FRAME_SAMPLES :]
        return self._numbered(self._line.feed(samples))

    def _go_to_both(self) -> None:
        self._both.feed(self._recent)
        self._line = self._both

    def _go_to_one(self) -> None:
        """Have one side encoded from here on, if that fits what was made last; if not, see again later."""
        before = self._one.feed(self._recent)
        self._alike = 0
        if before and _windows(bytes(before[-1])) == _windows(self._last):
            self._line = self._one

    def _numbered(self, packets: list[Packet]) -> list[Packet]:
        """The packets of the line as ones of two channels, in their places."""
        if self._line is self._one:
            packets = [_pair(packet) for packet in packets]
        for packet in packets:
            packet.pts = packet.dts = (self._made - 1) * FRAME_SAMPLES
            packet.time_base = _TIME_BASE
            self._made += 1
        if packets:
            self._last = bytes(packets[-1])
        return packets


class _Line:
    """An encoder that is fed frames, each of which has its packet when the next one comes."""

    def __init__(self, encode: Encode, layout: Literal["mono", "stereo"]) -> None:
        self._encode = encode
        self._layout = layout
        self._channels = 1 if layout == "mono" else 2
        self._fed = 0

    def feed(self, samples: SampleArray) -> list[Packet]:
        if not len(samples):
            return []
        planes = np.ascontiguousarray(samples[:, : self._channels].T)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._fed, _TIME_BASE
        self._fed += len(samples)
        return self._encode(frame)

    def finish(self) -> list[Packet]:
        return self._encode(None)


def as_pair(packet: bytes) -> bytes:
    """A packet of one channel made into one of two that both sound like it.

    Raises `EncoderError` for one that is not as FFmpeg's encoder makes them.
    """
    head, gain_at = _head(packet)
    if not head.startswith(_CHANNEL, gain_at):
        raise EncoderError(f"the encoder aac made no packet of one channel ({packet[:4].hex()}…)")
    gain_at += len(_CHANNEL)
    info_at = gain_at + _GAIN_BITS
    spectrum_at = info_at + (_SHORT_INFO_BITS if _is_short(head[info_at:]) else _INFO_BITS)
    gain, info = head[gain_at:info_at], head[info_at:spectrum_at]
    before = _PAIR + _COMMON_WINDOW + info + _ALL_MIDDLE + gain
    after = "0" * _GAIN_BITS + _empty_sections(info) + _NO_TOOLS + _END
    # What is long is moved in one go: all between the head and the end, behind which are zeros up to a whole byte.
    value = int.from_bytes(packet, "big")
    end = (value & -value).bit_length() - 1 + len(_END)
    count = 8 * len(packet) - spectrum_at - end
    spectrum = value >> end & ((1 << count) - 1)
    pair = (int(before, 2) << count | spectrum) << len(after) | int(after, 2)
    size = len(before) + count + len(after)
    return (pair << -size % 8).to_bytes(-(-size // 8), "big")


def _pair(packet: Packet) -> Packet:
    pair: Packet = av.Packet(as_pair(bytes(packet)))
    pair.is_keyframe, pair.duration = True, packet.duration
    for note in packet.iter_sidedata():
        pair.set_sidedata(note)
    return pair


def _head(packet: bytes) -> tuple[str, int]:
    """The first bits, and where the first element begins that is no filling: the encoder's name is in one, at times."""
    bits = bits_of(packet[:_HEAD_BYTES])
    if not bits.startswith(_FILL):
        return bits, 0
    bits = bits_of(packet[:_FILLED_HEAD_BYTES])
    place = 0
    while bits.startswith(_FILL, place):
        count = int(bits[place + 3 : place + 7], 2)
        place += 7
        if count == 15:
            count += int(bits[place : place + 8], 2) - 1
            place += 8
        place += 8 * count
    return bits, place


def _windows(packet: bytes) -> str:
    """What the windows of a packet are, which those of the next one have to fit; "" where its channels differ in it."""
    bits, place = _head(packet)
    if bits.startswith(_CHANNEL, place):
        place += len(_CHANNEL) + _GAIN_BITS
    elif bits.startswith(_PAIR + _COMMON_WINDOW, place):
        place += len(_PAIR + _COMMON_WINDOW)
    else:
        return ""
    return bits[place + 1 : place + 4]


def _is_short(info: str) -> bool:
    return info[1:3] == _EIGHT_SHORT


@lru_cache(maxsize=64)
def _empty_sections(info: str) -> str:
    """`section_data` of a channel with these windows in which there is nothing."""
    if _is_short(info):
        # Windows that are no group with the one before begin one.
        bands, groups, length_bits = int(info[4:8], 2), 1 + info[8:].count("0"), 3
    else:
        bands, groups, length_bits = int(info[4:10], 2), 1, 5
    if not bands:
        return ""
    escape = (1 << length_bits) - 1
    length = f"{escape:b}" * (bands // escape) + f"{bands % escape:0{length_bits}b}"
    return (_ZERO_CODEBOOK + length) * groups
