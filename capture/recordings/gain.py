"""Copies a finished recording with its sound turned up or down. One pass; everything else is copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, cast

import av
import av.filter
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream

from capture.codecs.audio_encoder import AudioEncoder
from capture.formats import container_of
from capture.media import SAMPLE_RATE, SampleArray, is_voice_note
from capture.output.chapters import Chapter
from capture.output.muxer import Muxer
from capture.recordings.check import StreamReport, check
from capture.recordings.progress import OnProgress, unwatched
from capture.recordings.rewrite import chapters_of, opened, tracks_of, zero_s

__all__ = ["Change", "Changing", "apply_gain"]

#: A longer hole in a track is real and stays; shorter ones come from rounded timestamps.
_HOLE_S: Final = 0.03

#: The limiter looks ahead for as long as it takes to lower a peak, and releases too slowly to be heard.
_LIMITER: Final = "level=false:attack=5:release=80:latency=true:limit={:.6f}"


@dataclass(frozen=True, slots=True)
class Change:
    """What to do to one audio track. `ceiling_db` is -24 to 0, or None for no limiter."""

    gain_db: float
    ceiling_db: float | None = None


def apply_gain(
    path: Path, muxer: Muxer, changes: Sequence[Change | None], on_progress: OnProgress = unwatched
) -> list[Chapter]:
    """Write the recording at `path` into `muxer`, each audio track with its change; return its chapters.

    A changed track is encoded like a recording and keeps its start time; a track whose change is None is copied. Raises
    what the muxer, the encoder and FFmpeg raise.
    """
    with opened(path) as container:
        return _Remake(path, container, changes).run(muxer, on_progress)


class _Remake:
    """Runs one pass over a file."""

    def __init__(self, path: Path, container: InputContainer, changes: Sequence[Change | None]) -> None:
        self._container = container
        self._tracks = tracks_of(container)
        self._sounds: dict[int, _Sound] = {}
        begins_s = zero_s(container)
        waiting = iter(changes)
        for stream, report in zip(self._tracks, check(path, listen=False, limits=False).streams, strict=True):
            if isinstance(stream, AudioStream) and (change := next(waiting)) is not None:
                self._sounds[stream.index] = _Sound(stream, container_of(path).audio_codec, change, report, begins_s)

    def run(self, muxer: Muxer, on_progress: OnProgress) -> list[Chapter]:
        places = {stream.index: place for place, stream in enumerate(self._tracks)}
        templates = [self._template(stream) for stream in self._tracks]
        chapters = chapters_of(self._container)
        muxer.start(templates, self._container.metadata, crash_safe=False, chapters=chapters)
        for packet in self._container.demux(self._tracks):
            if packet.pos is not None and self._container.size:
                on_progress(packet.pos / self._container.size)
            place, sound = places[packet.stream_index], self._sounds.get(packet.stream_index)
            if sound is not None:
                for frame in packet.decode():
                    for encoded in sound.take(cast(av.AudioFrame, frame)):
                        muxer.write(place, encoded)
            elif packet.pts is not None and packet.size:
                muxer.write(place, packet)
        for index, sound in self._sounds.items():
            for encoded in sound.finish():
                muxer.write(places[index], encoded)
        return chapters

    def _template(self, stream: Stream) -> Stream:
        sound = self._sounds.get(stream.index)
        if sound is None:
            return stream
        sound.encoder.template.metadata.update(stream.metadata)
        return sound.encoder.template


class _Sound:
    """Changes one track: takes decoded frames, returns packets with the gain applied and the pts kept."""

    def __init__(self, stream: AudioStream, codec: str, change: Change, report: StreamReport, begins_s: float) -> None:
        channels = 1 if stream.codec_context.channels == 1 else 2
        self.encoder = AudioEncoder(codec, channels, voice=is_voice_note(stream.codec_context.extradata))
        self._channels = channels
        self._resampler = av.AudioResampler("flt", "mono" if channels == 1 else "stereo", SAMPLE_RATE)
        self._changing = Changing(change, channels)
        # AAC ends with a whole frame, part of which is not played. Matroska rounds the end to a millisecond.
        unsure_s = float(stream.time_base or 0) if stream.time_base != Fraction(1, SAMPLE_RATE) else 0.0
        self._left = round((report.duration_s + unsure_s) * SAMPLE_RATE)
        self._begins_s = begins_s
        self._start_s: float | None = None
        self._taken = 0

    def take(self, frame: av.AudioFrame) -> list[av.Packet[Any]]:
        """Take the next decoded frame; return the packets that are ready."""
        at_s = (frame.time or 0.0) - self._begins_s
        if self._start_s is None:
            self._start_s = at_s if at_s > 0.001 else 0.0
        hole_s = at_s - self._start_s - self._taken / frame.sample_rate
        if hole_s > _HOLE_S:
            hole = np.zeros((round(hole_s * SAMPLE_RATE), self._channels), np.float32)
            self._taken += round(hole_s * frame.sample_rate)
            return self._change(hole) + self.take(frame)
        self._taken += frame.samples
        return [packet for part in self._resampler.resample(frame) for packet in self._change(self._samples(part))]

    def finish(self) -> list[av.Packet[Any]]:
        """Return the remaining packets."""
        packets = [packet for part in self._resampler.resample(None) for packet in self._change(self._samples(part))]
        packets += self._moved(self.encoder.encode(self._changing.finish()))
        return packets + self._moved(self.encoder.finish())

    def _samples(self, frame: av.AudioFrame) -> SampleArray:
        return cast(SampleArray, frame.to_ndarray().reshape(-1, self._channels))

    def _change(self, samples: SampleArray) -> list[av.Packet[Any]]:
        kept = samples[: self._left]
        self._left -= len(kept)
        return self._moved(self.encoder.encode(self._changing.take(kept)))

    def _moved(self, packets: list[av.Packet[Any]]) -> list[av.Packet[Any]]:
        """Add the track's start to the timestamps: the encoder counts from 0."""
        for packet in packets:
            start = round((self._start_s or 0.0) / (packet.time_base or 1))
            packet.pts, packet.dts = (packet.pts or 0) + start, (packet.dts or 0) + start
        return packets


class Changing:
    """Applies a change to the samples of one track, which come in order."""

    def __init__(self, change: Change, channels: int) -> None:
        self._channels = channels
        self._factor = np.float32(10.0 ** (change.gain_db / 20.0))
        self._limiter = None if change.ceiling_db is None else _Limiter(channels, change.ceiling_db)

    def take(self, samples: SampleArray) -> SampleArray:
        """Take float32 (n, channels); return the float32 (m, channels) that is ready."""
        louder = samples * self._factor
        return louder if self._limiter is None else self._limiter.take(louder)

    def finish(self) -> SampleArray:
        """Return the rest, float32 (m, channels)."""
        return np.zeros((0, self._channels), np.float32) if self._limiter is None else self._limiter.finish()


class _Limiter:
    """Keeps samples below a ceiling, without delaying them: FFmpeg's `alimiter`."""

    def __init__(self, channels: int, ceiling_db: float) -> None:
        self._channels = channels
        self._layout = "mono" if channels == 1 else "stereo"
        self._count = 0
        self._graph = av.filter.Graph()
        source = self._graph.add_abuffer(
            sample_rate=SAMPLE_RATE, format="flt", layout=self._layout, time_base=Fraction(1, SAMPLE_RATE)
        )
        self._graph.link_nodes(
            source,
            self._graph.add("alimiter", _LIMITER.format(10.0 ** (ceiling_db / 20.0))),
            self._graph.add("abuffersink"),
        )
        self._graph.configure()

    def take(self, samples: SampleArray) -> SampleArray:
        """Take float32 (n, channels); return float32 (m, channels), the samples that are ready."""
        if len(samples):
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(samples.reshape(1, -1)), format="flt", layout=self._layout
            )
            frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, self._count, Fraction(1, SAMPLE_RATE)
            self._count += len(samples)
            self._graph.push(frame)
        return self._ready()

    def finish(self) -> SampleArray:
        """Return the remaining samples, float32 (m, channels)."""
        self._graph.push(None)
        return self._ready()

    def _ready(self) -> SampleArray:
        parts = [np.zeros((0, self._channels), np.float32)]
        while True:
            try:
                frame = self._graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return np.concatenate(parts)
            parts.append(frame.to_ndarray().reshape(-1, self._channels).astype(np.float32))
