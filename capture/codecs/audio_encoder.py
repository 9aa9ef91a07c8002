"""Samples in, packets out.

An encoder belongs to no file: its packets can go to several sinks, each of which makes its stream from `template`.
Every encoder is used by one thread. Encoding and resampling release the interpreter's lock; opening holds it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.codec.context import Flags

from capture.codecs.null_container import open_nowhere
from capture.codecs.opus_repacketizer import Repacketizer
from capture.codecs.stereo_aac import StereoAac
from capture.errors import EncoderError, NotReadyError
from capture.media import SAMPLE_RATE, SampleArray

__all__ = ["VOICE_SAMPLE_RATE", "AudioEncoder"]


class _AudioCodec(NamedTuple):
    encoder: str
    sample_format: Literal["flt", "fltp", "s16", "s16p"]
    bit_rate_per_channel: int = 0
    options: Mapping[str, str] | None = None


#: What FFmpeg counts a step of quality as.
_LAMBDA: Final = 118

_AUDIO_CODECS: Final[Mapping[str, _AudioCodec]] = {
    # By quality, as the picture is: to meet a rate FFmpeg's encoder codes each frame over and over, a voice at 32 ms a
    # second where this takes 12. It gives a voice 150 kb/s, music 200, silence 2, with 37, 19 and 50 dB of signal over
    # noise for a voice, chords under noise, and clicks; 160 kb/s at all times have 41, 17 and 44. The other way to
    # share out bits, `twoloop`, takes four times as long, and what comes back is further from what went in (FFmpeg 8).
    # Shaping noise in time, `tns`, takes a sixth of the time and changes no voice audibly, and of clicks not a bit.
    # What is the same on both sides is encoded once, which takes two thirds of the time: see `StereoAac`.
    "aac": _AudioCodec(
        "aac",
        "fltp",
        options={"aac_coder": "fast", "aac_tns": "0", "flags": "+qscale", "global_quality": str(2 * _LAMBDA)},
    ),
    # 20 ms is what Opus is tuned for and what every player and messenger expects.
    "opus": _AudioCodec("libopus", "flt", 64_000, {"frame_duration": "20"}),
    "mp3": _AudioCodec("libmp3lame", "fltp", 96_000),
    "flac": _AudioCodec("flac", "s16"),
    "pcm_s16le": _AudioCodec("pcm_s16le", "s16"),
}


#: A voice note as messengers make theirs: wideband, up to 8 kHz, is nearly all that there is in a voice.
VOICE_SAMPLE_RATE: Final = 16_000

#: Speech in SILK, the coder of voices and of voice notes. libopus has three ways to be told so: `voip`, which also
#: takes everything below 60 to 100 Hz away and shifts what is left of a low voice; a signal type, which FFmpeg does not
#: pass on; and losses to be feared, as only SILK can repeat what was lost. From 9 % on SILK is certain (libopus 1.5,
#: opus_encode_native), and sentences come back with a correlation of 0.98 where `voip` keeps 0.96.
#: Of 26 kb/s that it may use, it uses 24 on speech, which is what messengers spend.
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

#: Frames of 20 ms in a packet of 60 ms.
_VOICE_FRAMES_PER_PACKET: Final = 3


class AudioEncoder:
    """Encodes an unbroken run of samples; the first is at pts 0. `codec` is a name from `settings.CONTAINERS`.

    With `voice`, which needs `opus`, all channels are mixed to one at 16 kHz and packets hold three frames of 20 ms, as
    messengers write their voice notes. Raises `NotReadyError` where `codec` cannot be written so.
    """

    def __init__(self, codec: str, channels: int, *, voice: bool = False) -> None:
        if voice and codec != "opus":
            raise NotReadyError(f"voice notes are Opus, and {codec} was asked for", "end the name in .ogg or .opus")
        how = _VOICE_CODEC if voice else _AUDIO_CODECS[codec]
        self.codec = codec
        self._sample_rate = VOICE_SAMPLE_RATE if voice else SAMPLE_RATE
        self._channels = 1 if voice or channels == 1 else 2
        self._format = how.sample_format
        self._layout = "mono" if self._channels == 1 else "stereo"
        self._narrower = _Narrower() if voice else None
        self._repacketizer = Repacketizer(_VOICE_FRAMES_PER_PACKET) if voice else None
        self._nowhere = open_nowhere()
        self.template = self._add_stream(how, self._layout)
        one = self._add_stream(how, "mono", {"aac_pns": "0"}) if codec == "aac" and self._channels == 2 else None
        self._nowhere.start_encoding()
        self._stereo = StereoAac(self.template.encode, one.encode) if one is not None else None
        self._count = 0
        self._encoded = 0

    def _add_stream(self, how: _AudioCodec, layout: str, more: Mapping[str, str] = MappingProxyType({})) -> AudioStream:
        options = {**(how.options or {}), **more}
        stream = cast(
            AudioStream, self._nowhere.add_stream(cast(Any, how.encoder), rate=self._sample_rate, options=options)
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
        """Of what is encoded, in Hz; what is taken in has `SAMPLE_RATE`."""
        return self._sample_rate

    @property
    def channels(self) -> int:
        """Of what is encoded."""
        return self._channels

    @property
    def duration_s(self) -> float:
        """Seconds of sound that were taken in."""
        return self._count / SAMPLE_RATE

    def encode(self, samples: SampleArray) -> list[av.Packet[Any]]:
        """Take float32 (n, channels) at `SAMPLE_RATE`, any n; return the packets that became complete.

        PyAV cuts what it is given into the encoder's frames and keeps the rest for the next call.
        """
        if len(samples) == 0:
            return []
        self._count += len(samples)
        return self._encode(self._narrower.take(samples) if self._narrower is not None else samples)

    def finish(self) -> list[av.Packet[Any]]:
        """The rest, as a shorter last frame; the encoder takes nothing more."""
        packets = []
        if self._narrower is not None and self._count:
            # As long as what was taken in: the resampler ends a little earlier or later, and says nothing at all of the
            # shortest sounds.
            left = math.ceil(self._count * self._sample_rate / SAMPLE_RATE) - self._encoded
            rest = np.zeros((left, 1), np.float32)
            found = self._narrower.finish()[:left]
            rest[: len(found)] = found
            packets += self._encode(rest)
        packets += self._grouped(self.template.encode(None) if self._stereo is None else self._stereo.finish())
        if self._repacketizer is not None:
            packets += self._repacketizer.finish()
        self._nowhere.close()
        return packets

    def _encode(self, samples: SampleArray) -> list[av.Packet[Any]]:
        """Encode float32 (n, channels) at the encoder's own rate."""
        if len(samples) == 0:
            return []
        try:
            if self._stereo is not None:
                return self._stereo.encode(samples)
            return self._grouped(self.template.encode(self._frame(samples)))
        except av.FFmpegError as error:
            raise EncoderError(f"the {self.codec} encoder refused sound ({error})") from error

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
        """In the sample format of the encoder: a row a channel where it is planar, else one interleaved row."""
        if self._format.startswith("s16"):
            values: np.ndarray[Any, Any] = np.rint(np.clip(samples, -1.0, 1.0) * 32767).astype(np.int16)
        else:
            values = samples
        return np.ascontiguousarray(values.T if self._format.endswith("p") else values.reshape(1, -1))


class _Narrower:
    """Samples of any channels at `SAMPLE_RATE` in, one channel at `VOICE_SAMPLE_RATE` out, in step and at its level."""

    def __init__(self) -> None:
        self._resampler = av.AudioResampler(format="flt", layout="mono", rate=VOICE_SAMPLE_RATE)
        self._count = 0

    def take(self, samples: SampleArray) -> SampleArray:
        """Take float32 (n, channels); return float32 (m, 1), what is ready."""
        # The mean cannot clip, and leaves what is the same on both sides as loud as it was.
        mixed = np.ascontiguousarray(samples.mean(axis=1, dtype=np.float32).reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(mixed, format="flt", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._count, Fraction(1, SAMPLE_RATE)
        self._count += len(samples)
        return _joined(self._resampler.resample(frame))

    def finish(self) -> SampleArray:
        """The rest, float32 (m, 1)."""
        return _joined(self._resampler.resample(None))


def _joined(frames: Sequence[av.AudioFrame]) -> SampleArray:
    rows = [np.zeros((1, 0), np.float32), *(frame.to_ndarray() for frame in frames)]
    return cast(SampleArray, np.concatenate(rows, axis=1).reshape(-1, 1))
