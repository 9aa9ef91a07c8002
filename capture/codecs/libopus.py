"""Encodes Opus with libopus itself, at two thirds of the cost while both channels are identical.

A voice, a lecture, a phone call come out of a computer the same on both channels. A packet of Opus says by itself
whether it holds one channel or two, and decoders play one on both sides (RFC 6716, section 2.1.2). libopus goes over
from one to the other between two packets without a seam, but FFmpeg, which calls it, has no option for that. So this
module calls the library that came with FFmpeg. Packets with two channels are, bit for bit, those of FFmpeg's encoder.
"""

from __future__ import annotations

import ctypes
import struct
from ctypes import POINTER, byref, c_char_p, c_int, c_int32
from ctypes import c_void_p as Pointer  # noqa: N812 - used as the type of a pointer
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Final, cast

import av
import numpy as np
from av.packet import PacketSideData

from capture.errors import EncoderError
from capture.media import SAMPLE_RATE, SampleArray

__all__ = ["FRAME_SAMPLES", "OpusEncoder", "is_available"]

#: Samples in a packet, 20 ms: Opus is tuned for it, and every player and messenger expects it.
FRAME_SAMPLES: Final = 960

#: The share of the bit rate that one channel gets. With it, speech and chords are as near to the input as two identical
#: channels at the whole rate, within 0.1 dB, and take a fifth to a tenth less room; noise is nearer, and takes more.
_ALIKE_SHARE: Final = 13 / 16

#: Channels that have been identical for this many frames, half a second, are expected to stay so.
_ALIKE_FRAMES: Final = 25

#: What the encoder is made for: sound of any kind (`OPUS_APPLICATION_AUDIO`).
_ANY_SOUND: Final = 2049

#: The orders that FFmpeg gives (opus_defines.h), and the one that it does not.
_SET_BIT_RATE: Final = 4002
_SET_VARIABLE_RATE: Final = 4006
_SET_COMPLEXITY: Final = 4010
_SET_RATE_CONSTRAINT: Final = 4020
_SET_CHANNELS: Final = 4022
_GET_LOOKAHEAD: Final = 4027

_BEST: Final = 10

#: More than any packet of 20 ms takes.
_PACKET_BYTES: Final = 4000

#: FFmpeg's number for the side data that says how many samples of a packet to leave out, and its length: the samples at
#: the start and at the end, and the reasons.
_SKIP_SAMPLES: Final = 11
_SKIPPED: Final = struct.Struct("<IIBB")

#: Where PyAV's wheels for Linux, Windows and macOS keep the library, from the folder of the package.
_PLACES: Final = ("../av.libs/libopus-*.so*", "../av.libs/libopus-*.dll", ".dylibs/libopus.*.dylib")

_TIME_BASE: Final = Fraction(1, SAMPLE_RATE)


def is_available() -> bool:
    """Whether the library was found. It is not where PyAV was built for another FFmpeg than that of its wheels."""
    return _library() is not None


class OpusEncoder:
    """Encodes continuous samples at `SAMPLE_RATE` in packets of 20 ms; the first is at pts 0, less the priming.

    `bit_rate` is in bits a second for all `channels`, one or two. Create it only if `is_available`. Used by one thread;
    encoding releases the GIL. Raises `EncoderError`.
    """

    def __init__(self, channels: int, bit_rate: int) -> None:
        library = _library()
        if library is None:
            raise EncoderError("libopus was not found")
        self._library = library
        self._channels = channels
        self._bit_rate = bit_rate
        error = c_int()
        self._encoder = library.opus_encoder_create(SAMPLE_RATE, channels, _ANY_SOUND, byref(error))
        if not self._encoder:
            raise EncoderError(f"the opus encoder could not be made (error {error.value})")
        self._order(_SET_BIT_RATE, bit_rate)
        self._order(_SET_COMPLEXITY, _BEST)
        self._order(_SET_VARIABLE_RATE, 1)
        self._order(_SET_RATE_CONSTRAINT, 0)
        self._priming = c_int32()
        library.opus_encoder_ctl(self._encoder, _GET_LOOKAHEAD, byref(self._priming))
        self._packet = ctypes.create_string_buffer(_PACKET_BYTES)
        self._waiting: SampleArray = np.zeros((0, channels), np.float32)
        # For how many frames the channels have been identical, and whether one is encoded. A sound may begin with it.
        self._alike = _ALIKE_FRAMES
        self._encodes_one = False
        self._count = 0
        self._made = 0

    def encode(self, samples: SampleArray) -> list[av.Packet[Any]]:
        """Encode float32 (n, channels), any n; return the packets that are complete."""
        self._count += len(samples)
        waiting = np.ascontiguousarray(samples, np.float32)
        if len(self._waiting):
            waiting = np.concatenate((self._waiting, waiting))
        whole = len(waiting) // FRAME_SAMPLES * FRAME_SAMPLES
        self._waiting = waiting[whole:].copy()
        return self._packets_of(waiting[:whole])

    def finish(self) -> list[av.Packet[Any]]:
        """Encode the rest, and close the encoder. Players leave out what the last packet has beyond the sound."""
        if not self._count:
            return []
        wanted = self._count + self._priming.value
        left = -(-wanted // FRAME_SAMPLES) - self._made
        rest = np.zeros((left * FRAME_SAMPLES, self._channels), np.float32)
        rest[: len(self._waiting)] = self._waiting
        packets = self._packets_of(rest)
        beyond = self._made * FRAME_SAMPLES - wanted
        if beyond:
            packets[-1].duration = FRAME_SAMPLES - beyond
            left_out = cast(Any, PacketSideData)(_SKIP_SAMPLES, _SKIPPED.size)
            left_out.update(_SKIPPED.pack(0, beyond, 0, 0))
            packets[-1].set_sidedata(left_out)
        self.close()
        return packets

    def close(self) -> None:
        """Release the encoder; may be called twice."""
        encoder, self._encoder = self._encoder, None
        if encoder:
            self._library.opus_encoder_destroy(encoder)

    def __del__(self) -> None:
        if getattr(self, "_encoder", None):
            self.close()

    def _packets_of(self, frames: SampleArray) -> list[av.Packet[Any]]:
        """Encode whole frames, which lie side by side in memory."""
        count = len(frames) // FRAME_SAMPLES
        alike = [False] * count
        if self._channels == 2:
            alike = (frames[:, 0] == frames[:, 1]).reshape(count, FRAME_SAMPLES).all(axis=1).tolist()
        address, frame_bytes = frames.ctypes.data, FRAME_SAMPLES * frames.strides[0]
        return [self._packet_of(address + number * frame_bytes, alike[number]) for number in range(count)]

    def _packet_of(self, address: int, is_alike: bool) -> av.Packet[Any]:
        self._alike = self._alike + 1 if is_alike else 0
        encodes_one = self._alike >= _ALIKE_FRAMES
        if encodes_one != self._encodes_one:
            self._encodes_one = encodes_one
            self._order(_SET_CHANNELS, 1 if encodes_one else 2)
            self._order(_SET_BIT_RATE, round(self._bit_rate * _ALIKE_SHARE) if encodes_one else self._bit_rate)
        size = self._library.opus_encode_float(self._encoder, address, FRAME_SAMPLES, self._packet, _PACKET_BYTES)
        if size < 0:
            raise EncoderError(f"the opus encoder refused sound (error {size})")
        packet: av.Packet[Any] = av.Packet(ctypes.string_at(self._packet, size))
        packet.pts = packet.dts = self._made * FRAME_SAMPLES - self._priming.value
        packet.duration, packet.time_base, packet.is_keyframe = FRAME_SAMPLES, _TIME_BASE, True
        self._made += 1
        return packet

    def _order(self, order: int, value: int) -> None:
        # One of a variable number of arguments, so its type is not declared.
        if self._library.opus_encoder_ctl(self._encoder, order, c_int32(value)) != 0:
            raise EncoderError(f"the opus encoder does not know the order {order}")


@cache
def _library() -> Any:
    """Return libopus with its signatures declared, as FFmpeg has loaded it; None if it was not found."""
    package = Path(av.__file__).parent
    for place in _PLACES:
        for path in sorted(package.glob(place)):
            try:
                return _declared(ctypes.CDLL(str(path.resolve())))
            except (OSError, AttributeError):
                continue
    return None


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    library.opus_encoder_create.restype = Pointer
    library.opus_encoder_create.argtypes = [c_int32, c_int, c_int, POINTER(c_int)]
    library.opus_encoder_ctl.argtypes = [Pointer, c_int]
    library.opus_encode_float.argtypes = [Pointer, Pointer, c_int, c_char_p, c_int32]
    library.opus_encode_float.restype = c_int32
    library.opus_encoder_destroy.restype, library.opus_encoder_destroy.argtypes = None, [Pointer]
    return library
