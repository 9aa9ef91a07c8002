"""Encodes an audio track of a recording once more, or several that are mixed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final, Literal, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer

from capture.codecs.audio_encoder import AudioEncoder
from capture.errors import NotReadyError, RecordingError
from capture.media import SAMPLE_RATE, SampleArray, in_seconds
from capture.recordings.gain import Change, Changing
from capture.recordings.progress import OnProgress
from capture.recordings.sound_file import SoundFile

__all__ = ["RATED_CODECS", "ReencodedSound"]

#: Below this many bits per second stereo audibly suffers, so the track becomes mono.
_STEREO_FROM: Final = 48_000

#: FFmpeg's encoder for each codec that takes a bit rate, with the sample format that it takes.
_RATED: Final[dict[str, tuple[str, Literal["flt", "fltp"]]]] = {
    "aac": ("aac", "fltp"),
    "opus": ("libopus", "flt"),
    "mp3": ("libmp3lame", "fltp"),
}

#: The codecs whose bit rate can be chosen.
RATED_CODECS: Final = frozenset(_RATED)


class ReencodedSound:
    """One audio track of the new file. `close` releases its encoder, also after an error."""

    def __init__(
        self,
        sound: SoundFile,
        made: OutputContainer,
        codec: str,
        rate: float,
        end_s: float,
        on_progress: OnProgress,
        *,
        change: Change | None = None,
        voice: bool = False,
        name: str = "",
    ) -> None:
        """`rate` is in bits per second; an infinite one asks for the quality of a recording, `voice` of a voice note.

        The sound ends at `end_s`. `name` is that of the track.
        """
        self._sound = sound
        self._channels = 1 if sound.is_mono else 2
        self._changing = None if change is None else Changing(change, self._channels)
        # AAC ends with a whole frame, part of which is not played.
        self._most = round(end_s * SAMPLE_RATE)
        self._on_progress = on_progress
        self._encoder: _RatedEncoder | _QualityEncoder
        if math.isinf(rate):
            self._encoder = _QualityEncoder(made, codec, self._channels, voice=voice)
        else:
            self._encoder = _RatedEncoder(made, codec, self._channels, rate)
        if name:
            # Players and editors read one or the other.
            self._encoder.stream.metadata.update(title=name, handler_name=name)

    def close(self) -> None:
        self._encoder.close()

    def packets(self) -> Iterator[tuple[float, av.Packet[Any]]]:
        """Decode the sound; yield the packets of its new form, with their times in seconds.

        Raises `RecordingError` when nothing of it can be decoded.
        """
        for samples in self._blocks():
            for packet in self._encoder.encode(samples):
                yield in_seconds(packet.dts, packet.time_base), packet
        for packet in self._encoder.finish():
            yield in_seconds(packet.dts, packet.time_base), packet

    def _blocks(self) -> Iterator[SampleArray]:
        count = 0
        try:
            for block in self._sound.blocks():
                samples = block[: self._most - count, : self._channels]
                count += len(samples)
                self._on_progress(count / max(1, self._most))
                yield samples if self._changing is None else self._changing.take(samples)
        except NotReadyError as error:
            raise RecordingError("its sound cannot be decoded", "see capture check") from error
        if self._changing is not None:
            yield self._changing.finish()


class _RatedEncoder:
    """Encodes samples at a bit rate; `AudioEncoder` does so at a quality."""

    def __init__(self, made: OutputContainer, codec: str, channels: int, rate: float) -> None:
        name, form = _RATED[codec]
        self._channels = 1 if rate < _STEREO_FROM else channels
        self._layout = "mono" if self._channels == 1 else "stereo"
        self._form: Final = form
        stream = made.add_stream(cast(Any, name), rate=SAMPLE_RATE)
        assert isinstance(stream, AudioStream)  # noqa: S101
        stream.codec_context.layout, stream.codec_context.format = self._layout, form
        stream.bit_rate = round(rate)
        self.stream = stream
        self._count = 0

    def encode(self, samples: SampleArray) -> list[av.Packet[Any]]:
        if not len(samples):
            return []
        if samples.shape[1] > self._channels:
            samples = samples.mean(axis=1, dtype=np.float32, keepdims=True)
        arranged = np.ascontiguousarray(samples.T if self._form == "fltp" else samples.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(arranged, format=self._form, layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._count, Fraction(1, SAMPLE_RATE)
        self._count += len(samples)
        return self.stream.encode(frame)

    def finish(self) -> list[av.Packet[Any]]:
        return self.stream.encode(None)

    def close(self) -> None:
        """Nothing to do: its stream belongs to the file."""


class _QualityEncoder:
    """Encodes samples as a recording does, into a stream of `made`."""

    def __init__(self, made: OutputContainer, codec: str, channels: int, *, voice: bool) -> None:
        self._encoder = AudioEncoder(codec, channels, voice=voice)
        self.stream = made.add_stream_from_template(self._encoder.template, opaque=True)

    def encode(self, samples: SampleArray) -> list[av.Packet[Any]]:
        return self._placed(self._encoder.encode(samples))

    def finish(self) -> list[av.Packet[Any]]:
        return self._placed(self._encoder.finish())

    def close(self) -> None:
        self._encoder.close()

    def _placed(self, packets: list[av.Packet[Any]]) -> list[av.Packet[Any]]:
        for packet in packets:
            packet.stream = self.stream
        return packets
