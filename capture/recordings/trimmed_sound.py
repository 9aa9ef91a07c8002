"""Cuts an audio track of a finished recording: exact to the sample, and nothing from outside is left.

AAC, and Opus in Ogg, are copied but for the packets around the cuts (`sound_cut`): the file skips what is before the
first sample. WAV is copied to the sample. Where a format cannot skip so far, and for FLAC, whose packets know their
place, the track is encoded again.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream

from capture.codecs.audio_encoder import VOICE_SAMPLE_RATE, AudioEncoder
from capture.codecs.sound_cut import silenced
from capture.codecs.stereo_aac import FRAME_SAMPLES
from capture.errors import RecordingError
from capture.formats import container_of
from capture.media import SAMPLE_RATE, SampleArray, as_fraction, in_seconds
from capture.recordings.rewrite import opened, zero_s

__all__ = ["TrimmedSound", "trimmed_sound"]

#: How much sound around a cut `silenced` gets at first. It seldom needs more.
_NEAR_S: Final = 2.0

#: How much sound before the first wanted sample is decoded, so that the decoder has converged (RFC 7845, section 4.6,
#: asks for 80 ms).
_RUN_IN_S: Final = 0.2

#: The priming of Opus, which a file with a header of our encoder skips.
_OPUS_PRIMING: Final = 312

#: How far Matroska's times, in milliseconds, are off at most.
_ROUNDED_SAMPLES: Final = 72

#: A longer hole in a track is real and stays; shorter ones come from rounded timestamps.
_HOLE_SAMPLES: Final = round(0.03 * SAMPLE_RATE)


class TrimmedSound:
    """The packets of one track from `from_s` to `to_s`, which is None for the end of the file.

    Their times count from `from_s`. `container` is open for this track alone, and stays open until the last packet.
    """

    def __init__(self, container: InputContainer, track: AudioStream, from_s: float, to_s: float | None) -> None:
        self._container = container
        self._track = track
        self._from_s = from_s
        self._to_s = to_s
        self._unit_s = as_fraction(track.time_base)
        #: The unit of the packets' times.
        self.unit_s = self._unit_s
        self._start = round(from_s / self._unit_s)
        self._end = math.inf if to_s is None else round(to_s / self._unit_s)
        #: What the muxer makes its stream from.
        self.template: Stream = track

    def packets(self) -> Iterator[av.Packet[Any]]:
        """Yield the packets in their order; call it once."""
        raise NotImplementedError

    def _read_from(self, at: int) -> Iterator[av.Packet[Any]]:
        """Yield the packets from the one that begins at `at`, in units of the track, or up to a packet before."""
        self._container.seek(max(0, at), stream=self._track)
        before: av.Packet[Any] | None = None
        for packet in self._container.demux(self._track):
            if packet.pts is None or not packet.size:
                continue
            if packet.pts > at and before is not None:
                yield before
                before = None
            if packet.pts > at:
                yield packet
            else:
                before = packet
        if before is not None:
            yield before


def trimmed_sound(
    path: Path, container: InputContainer, track: AudioStream, from_s: float, to_s: float | None
) -> TrimmedSound:
    """Return the trimmed `track` of the recording at `path`, which `container` has open. Raises `RecordingError`."""
    codec = track.codec_context.codec.canonical_name
    if codec == "flac" and track.codec_context.format.name not in ("s16", "s16p"):
        raise RecordingError("its FLAC has more than 16 bits, which capture does not write", "trim it in an editor")
    if codec.startswith("pcm_"):
        return _Sliced(container, track, from_s, to_s)
    if codec == "aac" and _is_plain_aac(path, track):
        return _Copied(path, container, track, from_s, to_s)
    # A packet of a voice note holds several frames, fewer around silence, and `silenced` takes single ones.
    if (
        codec == "opus"
        and not _is_voice(track)
        and (from_s == 0 or (container_of(path).format == "ogg" and from_s > _RUN_IN_S))
    ):
        return _Copied(path, container, track, from_s, to_s)
    return _Encoded(path, container, track, from_s, to_s)


def _is_plain_aac(path: Path, track: AudioStream) -> bool:
    """Whether it is AAC as capture writes it, in packets of 1024 samples at `SAMPLE_RATE`."""
    context = track.codec_context
    if track.rate != SAMPLE_RATE or context.channels > 2 or as_fraction(track.time_base).denominator != SAMPLE_RATE:
        return False
    with opened(path) as container:
        again = container.streams[track.index]
        return next((packet.duration for packet in container.demux(again)), 0) == FRAME_SAMPLES


class _Sliced(TrimmedSound):
    """PCM: samples are bytes."""

    def packets(self) -> Iterator[av.Packet[Any]]:
        for packet in self._read_from(self._start):
            pts = packet.pts or 0
            frame_bytes = packet.size // max(1, packet.duration or 1)
            begin = max(0, self._start - pts)
            end = min(packet.duration or 0, self._end - pts)
            if pts >= self._end:
                return
            if begin < end:
                cut: av.Packet[Any] = av.Packet(bytes(packet)[begin * frame_bytes : int(end) * frame_bytes])
                cut.pts = cut.dts = pts + begin - self._start
                cut.time_base, cut.duration = self._unit_s, int(end) - begin
                yield cut


class _Copied(TrimmedSound):
    """AAC and Opus: only the packets at the cuts change."""

    def __init__(
        self, path: Path, container: InputContainer, track: AudioStream, from_s: float, to_s: float | None
    ) -> None:
        super().__init__(container, track, from_s, to_s)
        self._path = path
        self._is_aac = track.codec_context.codec.canonical_name == "aac"
        #: How many samples a unit of time is.
        self._samples = float(self._unit_s * SAMPLE_RATE)
        lead = FRAME_SAMPLES if self._is_aac else round(_RUN_IN_S * SAMPLE_RATE)
        self._first_at = self._start - round(lead / self._samples) if from_s > 0 else -(1 << 40)
        self._changed, self._skipped = self._changes()
        if not self._is_aac and self._skipped:
            self.template = self._with_priming(self._skipped)

    def packets(self) -> Iterator[av.Packet[Any]]:
        # The header of our encoder states less priming than this file has.
        late = 0 if self.template is self._track else self._skipped - _OPUS_PRIMING
        for packet in self._read_from(self._first_at):
            pts = packet.pts or 0
            if pts >= self._end:
                return
            copy = packet
            if (data := self._changed.get(pts)) is not None:
                copy = av.Packet(data)
                copy.duration, copy.is_keyframe, copy.time_base = packet.duration, packet.is_keyframe, self._unit_s
            if pts + (packet.duration or 0) > self._end:
                copy.duration = int(self._end) - pts
            copy.pts = copy.dts = pts - self._start + late
            yield copy

    def _changes(self) -> tuple[dict[int, bytes], int]:
        """Return the packets that change, by pts, and how many samples of the first packets to skip."""
        context = self._track.codec_context
        with opened(self._path) as container:
            again = cast(AudioStream, container.streams[self._track.index])
            reader = TrimmedSound(container, again, self._from_s, self._to_s)
            first = next(reader._read_from(self._first_at), None)
            if first is None or (first.pts or 0) >= self._end:
                return {}, 0
            at = first.pts or 0
            skipped = max(0, round((self._start - at) * self._samples)) if self._from_s > 0 else 0
            length = FRAME_SAMPLES if self._is_aac else round((first.duration or 0) * self._samples)
            changed: dict[int, bytes] = {}
            # The priming of a track that begins after the start is not sound.
            cut = skipped if skipped >= length else 0
            near_s = _NEAR_S
            whole_s = (math.inf if self._to_s is None else self._to_s) - self._from_s
            if cut and whole_s > 2 * _NEAR_S:
                count = 0
                while True:
                    near = self._between(reader, self._first_at, self._start + round(near_s / self._unit_s))
                    made = silenced([data for _, data in near], context, length, cut, len(near) * length)
                    if made[-1] == near[-1][1] or len(near) == count:
                        break
                    count = len(near)
                    near_s *= 2
                changed.update((pts, new) for (pts, old), new in zip(near, made, strict=True) if new != old)
            if self._to_s is None:
                return changed, skipped
            near_s = _NEAR_S
            while True:
                is_whole = near_s > whole_s / 2
                begins = self._first_at if is_whole else int(self._end) - round(near_s / self._unit_s)
                near = self._between(reader, begins, self._end)
                end = round((self._end - near[0][0]) * self._samples)
                begin = cut if is_whole else 0
                made = silenced([data for _, data in near], context, length, begin, end)
                if is_whole or made[0] == near[0][1]:
                    break
                near_s *= 2
            if is_whole:
                changed.clear()
            changed.update((pts, new) for (pts, old), new in zip(near, made, strict=True) if new != old)
            return changed, skipped

    def _between(self, reader: TrimmedSound, begin: int, end: float) -> list[tuple[int, bytes]]:
        found = []
        for packet in reader._read_from(begin):
            if (packet.pts or 0) >= end:
                break
            found.append((packet.pts or 0, bytes(packet)))
        return found

    def _with_priming(self, samples: int) -> Stream:
        """Return a template whose header skips this many samples (RFC 7845, section 5.1)."""
        context = self._track.codec_context
        header = bytes(context.extradata or b"")
        encoder = AudioEncoder("opus", context.channels)
        encoder.template.codec_context.extradata = header[:10] + struct.pack("<H", samples) + header[12:]
        encoder.template.metadata.update(self._track.metadata)
        return encoder.template


def _is_voice(track: AudioStream) -> bool:
    """Whether the track was encoded as a voice note, by the input sample rate in its header."""
    head = bytes(track.codec_context.extradata or b"")
    return head.startswith(b"OpusHead") and int.from_bytes(head[12:16], "little") == VOICE_SAMPLE_RATE


class _Encoded(TrimmedSound):
    """Any codec: the samples are decoded and encoded again."""

    def __init__(
        self, path: Path, container: InputContainer, track: AudioStream, from_s: float, to_s: float | None
    ) -> None:
        super().__init__(container, track, from_s, to_s)
        self._codec = container_of(path).audio_codec
        self._channels = 1 if track.codec_context.channels == 1 else 2
        self._encoder = AudioEncoder(self._codec, self._channels, voice=_is_voice(track))
        self._encoder.template.metadata.update(track.metadata)
        self.template = self._encoder.template
        self.unit_s = as_fraction(self.template.time_base)
        self._zero_s = zero_s(container)
        self._begin = round(from_s * SAMPLE_RATE)
        self._stop = math.inf if to_s is None else round(to_s * SAMPLE_RATE)
        with opened(path) as again:
            found = (packet for packet in again.demux(again.streams[track.index]) if packet.pts is not None)
            first = next(found, None)
            #: Where packets begin, in samples: the first one and the distance between them.
            self._grid = (0, 0)
            if first is not None:
                length_s = in_seconds(first.duration, first.time_base)
                self._grid = (_first_sample(track, first), round(length_s * SAMPLE_RATE))

    def packets(self) -> Iterator[av.Packet[Any]]:
        first: int | None = None
        for at, samples in self._decoded():
            begin, end = max(0, self._begin - at), min(len(samples), self._stop - at)
            if at >= self._stop:
                break
            if begin >= end:
                continue
            if first is None:
                first = at + begin - self._begin
            yield from self._moved(self._encoder.encode(samples[begin : int(end)]), first)
        yield from self._moved(self._encoder.finish(), first or 0)

    def _moved(self, packets: list[av.Packet[Any]], first: int) -> Iterator[av.Packet[Any]]:
        """Yield the packets of an encoder that counts from 0."""
        for packet in packets:
            start = round(first / SAMPLE_RATE / self.unit_s)
            packet.pts, packet.dts = (packet.pts or 0) + start, (packet.dts or 0) + start
            yield packet

    def _decoded(self) -> Iterator[tuple[int, SampleArray]]:
        """Yield float32 (n, channels) at `SAMPLE_RATE`, with the place of their first sample in the recording."""
        is_integer = self._codec == "flac"
        resampler = av.AudioResampler(
            "s16" if is_integer else "flt", "mono" if self._channels == 1 else "stereo", SAMPLE_RATE
        )
        following: int | None = None
        for frame in self._frames():
            at = self._place(frame)
            if following is None or at > following + _HOLE_SAMPLES:
                if following is not None:
                    yield following, np.zeros((at - following, self._channels), np.float32)
                following = at
            frame.pts = None
            for part in resampler.resample(frame):
                samples = part.to_ndarray().reshape(-1, self._channels).astype(np.float32)
                # The encoder's own factor, so that no sample changes.
                yield following, samples / np.float32(32767) if is_integer else samples
                following += len(samples)

    def _frames(self) -> Iterator[av.AudioFrame]:
        # A seek in MP3 does not know where it ends up.
        if self._codec != "mp3" and self._from_s > _RUN_IN_S:
            self._container.seek(max(0, round((self._from_s - _RUN_IN_S) / self._unit_s)), stream=self._track)
        return self._container.decode(self._track)

    def _place(self, frame: av.AudioFrame) -> int:
        """Return which sample of the recording the frame begins with; Matroska's times are rounded to 1 ms."""
        at = (frame.time or 0.0) * SAMPLE_RATE
        first, length = self._grid
        if self._codec != "opus" or not length:
            return round(at - self._zero_s * SAMPLE_RATE)
        # A decoder may leave out samples at the beginning of a frame, not at its end.
        ends = first + round((at + frame.samples - first) / length) * length
        return round(ends - frame.samples if abs(ends - frame.samples - at) < _ROUNDED_SAMPLES else at)


def _first_sample(track: AudioStream, packet: av.Packet[Any]) -> int:
    """Return with which sample of the recording its first packet begins, priming included."""
    at = round(in_seconds(packet.pts, packet.time_base) * SAMPLE_RATE)
    head = bytes(track.codec_context.extradata or b"")
    priming = int.from_bytes(head[10:12], "little") if head.startswith(b"OpusHead") else 0
    return -priming if abs(at + priming) < _ROUNDED_SAMPLES else at
