"""Encodes stereo AAC at the cost of mono while both channels are identical.

A voice, a lecture, a phone call and above all silence come out of a computer the same on both channels, which is twice
the work for an encoder. Here one channel is encoded, and its packet is rewritten as a stereo packet in mid/side coding:
the channel is the mid, and the side is empty (ISO/IEC 14496-3, 4.6.8.1). Both channels of it decode to the samples of
the mono packet. The names of syntax elements are those of the standard's section 4.4.2.

Silence costs next to nothing: once the encoder has heard enough of it, its packets are all the same.

When the channels start to differ, a stereo encoder takes over, and a mono encoder again once they have been identical
for a while. Each packet overlaps the previous one, so the encoder that takes over first gets the preceding sound, and
its packets for that are discarded.
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

__all__ = ["FRAME_SAMPLES", "StereoAac", "as_stereo", "windows"]

#: Samples in a packet. The first packet starts this much before the sound.
FRAME_SAMPLES: Final = 1024

#: How many frames an encoder gets before it takes over, half a second. It overlaps two frames, looks further back for
#: the attacks of sounds, where it switches to short windows, and adapts to how hard the sound is to encode: after eight
#: frames of a voice, what it makes has 4 dB more noise for as long as it runs.
_RUN_IN_FRAMES: Final = 24

#: Channels that have been identical for this many frames, two seconds, are expected to stay so.
_ALIKE_FRAMES: Final = 94

#: After this many silent frames, half a second, nothing in the encoder changes any more: what follows is, bit for bit,
#: the same after 20 silent frames as after 140.
_SETTLED_FRAMES: Final = 24

#: `id_syn_ele`, the kind of an element; a channel or a pair has its number in four more bits.
_CHANNEL: Final = "000" + "0000"
_PAIR: Final = "001" + "0000"
_FILL: Final = "110"
_END: Final = "111"

#: `common_window` of a pair whose channels share their windows, and `ms_mask_present` when every band is mid/side.
_COMMON_WINDOW: Final = "1"
_ALL_MIDDLE: Final = "10"

#: `window_sequence` of eight short windows, and the length of `ics_info` in AAC-LC without and with them.
_EIGHT_SHORT: Final = "10"
_INFO_BITS: Final = 11
_SHORT_INFO_BITS: Final = 15

#: Length of `global_gain`; and the flags before a channel's spectrum: no pulses, no noise shaping, no gain control.
_GAIN_BITS: Final = 8
_NO_TOOLS: Final = "000"

_ZERO_CODEBOOK: Final = "0000"

#: The header of a packet is within this many bytes, or within the second number if fill elements precede it.
_HEAD_BYTES: Final = 4
_FILLED_HEAD_BYTES: Final = 64

_TIME_BASE: Final = Fraction(1, SAMPLE_RATE)

Packet: TypeAlias = "av.Packet[Any]"
Encode: TypeAlias = Callable[["av.AudioFrame | None"], "list[Packet]"]


class StereoAac:
    """Encodes continuous samples with `both`, a stereo encoder, or with `one`, a mono encoder.

    Both must be new FFmpeg encoders that differ only in their channels. They must not use noise substitution (PNS),
    because noise cannot be coded as mid/side. The pts of the packets are those of a single encoder. Used by one thread.
    """

    def __init__(self, both: Encode, one: Encode) -> None:
        self._both = _Line(both, "stereo")
        self._one = _Line(one, "mono")
        self._line = self._one
        self._waiting: SampleArray = np.zeros((0, 2), np.float32)
        # The samples fed last, and the last two packets.
        self._recent = self._waiting
        self._last = self._before_last = b""
        # For how many frames the current encoder has been fed silence.
        self._silent = 0
        self._made = 0
        # For how many frames the channels have been identical.
        self._alike = 0

    def encode(self, samples: SampleArray) -> list[Packet]:
        """Encode float32 (n, 2), any n; return the packets that are complete."""
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
        """Encode the rest, in a shorter last frame, and finish the encoder."""
        rest, self._waiting = self._waiting, self._waiting[:0]
        if self._line is self._one and not np.array_equal(rest[:, 0], rest[:, 1]):
            self._go_to_both()
        return self._feed(rest) + self._numbered(self._line.finish())

    def _feed(self, samples: SampleArray) -> list[Packet]:
        if not len(samples):
            return []
        if samples.any():
            self._silent = 0
        elif self._silent >= _SETTLED_FRAMES and self._last == self._before_last and len(samples) % FRAME_SAMPLES == 0:
            return self._stamped([_copy_of(self._last) for _ in range(len(samples) // FRAME_SAMPLES)])
        else:
            self._silent += len(samples) // FRAME_SAMPLES
        self._recent = np.concatenate((self._recent, samples))[-_RUN_IN_FRAMES * FRAME_SAMPLES :]
        return self._numbered(self._line.feed(samples))

    def _go_to_both(self) -> None:
        self._both.feed(self._recent)
        self._line, self._silent = self._both, 0

    def _go_to_one(self) -> None:
        """Switch to mono if its windows fit the last packet; otherwise try again after `_ALIKE_FRAMES`."""
        before = self._one.feed(self._recent)
        self._alike = 0
        if before and windows(bytes(before[-1])) == windows(self._last):
            self._line, self._silent = self._one, 0

    def _numbered(self, packets: list[Packet]) -> list[Packet]:
        """Return the packets of the current line as stereo packets with their pts."""
        if self._line is self._one:
            packets = [_pair(packet) for packet in packets]
        if len(packets) > 1:
            self._last = bytes(packets[-2])
        if packets:
            self._before_last, self._last = self._last, bytes(packets[-1])
        return self._stamped(packets)

    def _stamped(self, packets: list[Packet]) -> list[Packet]:
        for packet in packets:
            packet.pts = packet.dts = (self._made - 1) * FRAME_SAMPLES
            packet.time_base = _TIME_BASE
            self._made += 1
        return packets


class _Line:
    """One encoder and what it was fed; the packet of a frame comes out with the next frame."""

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


def as_stereo(packet: bytes) -> bytes:
    """Rewrite a mono packet as a stereo packet with that sound on both channels.

    Raises `EncoderError` if the packet does not have the layout of FFmpeg's encoder.
    """
    head, gain_at = _head(packet)
    if not head.startswith(_CHANNEL, gain_at):
        raise EncoderError(f"the aac encoder did not make a mono packet ({packet[:4].hex()}…)")
    gain_at += len(_CHANNEL)
    info_at = gain_at + _GAIN_BITS
    spectrum_at = info_at + (_SHORT_INFO_BITS if _is_short(head[info_at:]) else _INFO_BITS)
    gain, info = head[gain_at:info_at], head[info_at:spectrum_at]
    before = _PAIR + _COMMON_WINDOW + info + _ALL_MIDDLE + gain
    after = "0" * _GAIN_BITS + _empty_sections(info) + _NO_TOOLS + _END
    # The spectrum is long, so it is shifted as one number: all bits between the header and the end element, which zeros
    # pad to a whole byte.
    value = int.from_bytes(packet, "big")
    end = (value & -value).bit_length() - 1 + len(_END)
    count = 8 * len(packet) - spectrum_at - end
    spectrum = value >> end & ((1 << count) - 1)
    pair = (int(before, 2) << count | spectrum) << len(after) | int(after, 2)
    size = len(before) + count + len(after)
    return (pair << -size % 8).to_bytes(-(-size // 8), "big")


def _copy_of(data: bytes) -> Packet:
    packet: Packet = av.Packet(data)
    packet.is_keyframe, packet.duration = True, FRAME_SAMPLES
    return packet


def _pair(packet: Packet) -> Packet:
    pair: Packet = av.Packet(as_stereo(bytes(packet)))
    pair.is_keyframe, pair.duration = True, packet.duration
    for note in packet.iter_sidedata():
        pair.set_sidedata(note)
    return pair


def _head(packet: bytes) -> tuple[str, int]:
    """Return the first bits, and where the first element begins after any fill elements, as with the encoder's name."""
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


def windows(packet: bytes) -> str:
    """Return the bits of a packet's windows, which the next packet has to match; "" if its channels differ in them."""
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
    """Return the `section_data` of an empty channel with these windows."""
    if _is_short(info):
        # A 0 bit starts a new group of windows.
        bands, groups, length_bits = int(info[4:8], 2), 1 + info[8:].count("0"), 3
    else:
        bands, groups, length_bits = int(info[4:10], 2), 1, 5
    if not bands:
        return ""
    escape = (1 << length_bits) - 1
    length = f"{escape:b}" * (bands // escape) + f"{bands % escape:0{length_bits}b}"
    return (_ZERO_CODEBOOK + length) * groups
