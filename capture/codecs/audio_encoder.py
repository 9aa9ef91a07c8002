"""Encodes samples to packets.

An encoder is not tied to a file: its packets can go to several sinks, each of which makes its stream from `template`.
Use each encoder from one thread. Encoding and resampling release the GIL; opening holds it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final, Literal, NamedTuple, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.codec.context import Flags

from capture.codecs import libopus
from capture.codecs.null_container import open_null_container
from capture.codecs.opus_repacketizer import Repacketizer
from capture.codecs.stereo_aac import StereoAac
from capture.errors import EncoderError, NotReadyError
from capture.media import SAMPLE_RATE, VOICE_SAMPLE_RATE, SampleArray

__all__ = ["VOICE_FRAMES_PER_PACKET", "AudioEncoder"]


class _AudioCodec(NamedTuple):
    encoder: str
    sample_format: Literal["flt", "fltp", "s16", "s16p"]
    bit_rate_per_channel: int = 0
    options: Mapping[str, str] | None = None


#: One step of FFmpeg's quality scale, as `global_quality` counts it (`FF_QP2LAMBDA`).
_LAMBDA: Final = 118

_AUDIO_CODECS: Final[Mapping[str, _AudioCodec]] = {
    # Constant quality, as for the picture. To meet a bit rate, FFmpeg's encoder codes each frame repeatedly: a second
    # of voice takes 32 ms, with constant quality 12. A voice gets 150 kb/s, music 200, silence 2. The signal-to-noise
    # ratio is 37 dB for a voice, 19 for chords under noise and 50 for clicks; a constant 160 kb/s has 41, 17 and 44.
    # The other coder, `twoloop`, takes four times as long, and its result is further from the input (FFmpeg 8).
    # Temporal noise shaping, `tns`, takes a sixth of the time, changes no voice audibly and clicks not at all.
    # Noise substitution, `pns`, saves a hundredth of the bytes at this quality, and each decoder makes its own noise:
    # with it, FFmpeg and FAAD agree to 52 to 65 dB, and to 25 to 35 at 128 kb/s; without it, to 100.
    # Identical channels are encoded once, which takes two thirds of the time: see `StereoAac`.
    "aac": _AudioCodec(
        "aac",
        "fltp",
        options={
            "aac_coder": "fast",
            "aac_tns": "0",
            "aac_pns": "0",
            "flags": "+qscale",
            "global_quality": str(2 * _LAMBDA),
        },
    ),
    # Where libopus itself is found, FFmpeg's encoder only describes the track, and identical channels are encoded once:
    # see `OpusEncoder`.
    "opus": _AudioCodec("libopus", "flt", 64_000, {"frame_duration": "20"}),
    "mp3": _AudioCodec("libmp3lame", "fltp", 96_000),
    "flac": _AudioCodec("flac", "s16"),
    "pcm_s16le": _AudioCodec("pcm_s16le", "s16"),
}


#: Speech in SILK, Opus's speech coder, which voice notes use. libopus can be steered to it in three ways. `voip` also
#: removes everything below 60 to 100 Hz and shifts the rest of a low voice. FFmpeg does not pass on the signal type.
#: The third is expected packet loss, because only SILK can repeat what was lost: from 9 % on, libopus 1.5 always
#: chooses SILK (opus_encode_native), and sentences come back with a correlation of 0.98, where `voip` keeps 0.96. Of
#: the 26 kb/s it may use, it spends 24 on speech, as messengers do.
_VOICE_CODEC: Final = _AudioCodec(
    "libopus",
    "flt",
    26_000,
    {
        "application": "audio",
        "fec": "1",
        "packet_loss": "9",
        "frame_duration": "20",
        "compression_level": "10",
        "vbr": "on",
    },
)

#: Three frames of 20 ms make a packet of 60 ms.
VOICE_FRAMES_PER_PACKET: Final = 3


class AudioEncoder:
    """Encodes continuous samples; the first is at pts 0. `codec` is the `audio_codec` of a container in `formats`.

    With `voice`, all channels are mixed down to one at 16 kHz, and each packet holds three frames of 20 ms, as in the
    voice notes of messengers. Raises `NotReadyError` when `voice` is set and `codec` is not `opus`.
    """

    def __init__(self, codec: str, channels: int, *, voice: bool = False) -> None:
        if voice and codec != "opus":
            raise NotReadyError(f"voice notes need Opus, not {codec}", "end the file name in .ogg or .opus")
        how = _VOICE_CODEC if voice else _AUDIO_CODECS[codec]
        self.codec = codec
        self._sample_rate = VOICE_SAMPLE_RATE if voice else SAMPLE_RATE
        self._channels = 1 if voice or channels == 1 else 2
        self._format = how.sample_format
        self._layout = "mono" if self._channels == 1 else "stereo"
        self._downmixer = _VoiceDownmixer() if voice else None
        self._repacketizer = Repacketizer(VOICE_FRAMES_PER_PACKET) if voice else None
        self._container = open_null_container()
        self.template = self._add_stream(how, self._layout)
        one = self._add_stream(how, "mono") if codec == "aac" and self._channels == 2 else None
        self._container.start_encoding()
        self._stereo = StereoAac(self.template.encode, one.encode) if one is not None else None
        self._opus = None
        if codec == "opus" and not voice and libopus.is_available():
            self._opus = libopus.OpusEncoder(self._channels, how.bit_rate_per_channel * self._channels)
        self._count = 0
        self._encoded = 0

    def _add_stream(self, how: _AudioCodec, layout: str) -> AudioStream:
        options = dict(how.options or {})
        stream = cast(
            AudioStream, self._container.add_stream(cast(Any, how.encoder), rate=self._sample_rate, options=options)
        )
        context = stream.codec_context
        context.layout = layout
        context.format = how.sample_format
        stream.time_base = context.time_base = Fraction(1, self._sample_rate)
        context.flags |= Flags.global_header
        if how.bit_rate_per_channel:
            stream.bit_rate = how.bit_rate_per_channel * self._channels
        return stream

    @property
    def sample_rate(self) -> int:
        """Sample rate of the encoded sound in Hz; the input always has `SAMPLE_RATE`."""
        return self._sample_rate

    @property
    def channels(self) -> int:
        """Number of encoded channels."""
        return self._channels

    @property
    def duration_s(self) -> float:
        """Seconds of sound passed to `encode` so far."""
        return self._count / SAMPLE_RATE

    def encode(self, samples: SampleArray) -> list[av.Packet[Any]]:
        """Encode float32 (n, channels) at `SAMPLE_RATE`, any n; return the packets that are complete.

        PyAV splits the samples into the encoder's frames and keeps the rest for the next call. Raises `EncoderError`.
        """
        if len(samples) == 0:
            return []
        self._count += len(samples)
        return self._encode(self._downmixer.take(samples) if self._downmixer is not None else samples)

    def finish(self) -> list[av.Packet[Any]]:
        """Encode the rest, in a shorter last frame, and close the encoder."""
        packets = []
        if self._downmixer is not None and self._count:
            # Match the length of the input: the resampler ends slightly early or late, and returns nothing for very
            # short sounds.
            left = math.ceil(self._count * self._sample_rate / SAMPLE_RATE) - self._encoded
            rest = np.zeros((left, 1), np.float32)
            found = self._downmixer.finish()[:left]
            rest[: len(found)] = found
            packets += self._encode(rest)
        packets += self._rest()
        if self._repacketizer is not None:
            packets += self._repacketizer.finish()
        self.close()
        return packets

    def close(self) -> None:
        """Release the encoder; packets still in it are lost. May be called twice.

        Until then the container and its streams refer to each other, and keep the encoder.
        """
        self._container.close()
        if self._opus is not None:
            self._opus.close()

    def _encode(self, samples: SampleArray) -> list[av.Packet[Any]]:
        """Encode float32 (n, channels) at the encoder's own rate."""
        if len(samples) == 0:
            return []
        try:
            if self._opus is not None:
                return self._opus.encode(samples)
            if self._stereo is not None:
                return self._stereo.encode(samples)
            return self._grouped(self.template.encode(self._frame(samples)))
        except av.FFmpegError as error:
            raise EncoderError(f"the {self.codec} encoder refused sound ({error})") from error

    def _rest(self) -> list[av.Packet[Any]]:
        """Encode what is still in the encoder."""
        if self._opus is not None:
            return self._opus.finish()
        if self._stereo is not None:
            return self._stereo.finish()
        return self._grouped(self.template.encode(None))

    def _frame(self, samples: SampleArray) -> av.AudioFrame:
        frame = av.AudioFrame.from_ndarray(self._arranged(samples), format=self._format, layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._sample_rate, self._encoded, Fraction(1, self._sample_rate)
        self._encoded += len(samples)
        return frame

    def _grouped(self, packets: list[av.Packet[Any]]) -> list[av.Packet[Any]]:
        if self._repacketizer is None:
            return packets
        return [group for packet in packets for group in self._repacketizer.add(packet)]

    def _arranged(self, samples: SampleArray) -> np.ndarray[Any, Any]:
        """Convert to the encoder's sample format: one row per channel if planar, otherwise one interleaved row."""
        if self._format.startswith("s16"):
            values: np.ndarray[Any, Any] = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)
        else:
            values = samples
        return np.ascontiguousarray(values.T if self._format.endswith("p") else values.reshape(1, -1))


class _VoiceDownmixer:
    """Converts any channels at `SAMPLE_RATE` to one at `VOICE_SAMPLE_RATE`, without delay and at the same level."""

    def __init__(self) -> None:
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=VOICE_SAMPLE_RATE)
        self._count = 0

    def take(self, samples: SampleArray) -> SampleArray:
        """Take float32 (n, channels); return the float32 (m, 1) that is ready."""
        # The mean cannot clip, and keeps sound that is the same in all channels at its level.
        mixed = np.ascontiguousarray(samples.mean(axis=1, dtype=np.float32).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(mixed, format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._count, Fraction(1, SAMPLE_RATE)
        self._count += len(samples)
        return _joined(self._resampler.resample(frame))

    def finish(self) -> SampleArray:
        """Return the rest, float32 (m, 1)."""
        return _joined(self._resampler.resample(None))


def _joined(frames: Sequence[av.AudioFrame]) -> SampleArray:
    rows = [np.zeros((1, 0), np.float32), *(frame.to_ndarray() for frame in frames)]
    return cast(SampleArray, np.concatenate(rows, axis=1).reshape(-1, 1))
