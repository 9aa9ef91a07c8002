"""Decodes an audio track of a finished recording from any sample on, exact to the sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer

from capture.codecs.opus_head import priming_of
from capture.errors import RecordingError
from capture.media import SAMPLE_RATE, SampleArray, as_fraction, in_seconds
from capture.recordings.opening import open_recording, patience_s
from capture.recordings.proportion import hold_length, paced
from capture.recordings.rewrite import read_alone, zero_s

__all__ = ["OGG_LEAD", "SoundPart", "SoundReader", "first_sample", "heard_in"]

#: How much sound before the first wanted sample is decoded, so that the decoder has converged (RFC 7845, section 4.6,
#: asks for 80 ms).
_RUN_IN: Final = round(0.2 * SAMPLE_RATE)

#: After a seek into the last page of an Ogg, FFmpeg places and shortens packets by what it read before. So a file is
#: opened again for each seek, and that leads to a page before: pages last 1 s at most, but for unusual encoders.
OGG_LEAD: Final = 2 * SAMPLE_RATE

#: A place that is this near is reached by decoding up to it.
_NEAR: Final = 2 * SAMPLE_RATE

#: How far Matroska's times, in milliseconds, are off at most.
_ROUNDED: Final = 72

#: A longer hole in a track is real and stays; shorter ones come from rounded timestamps.
_HOLE: Final = round(0.03 * SAMPLE_RATE)

#: How much silence is made at a time.
_SILENCE: Final = SAMPLE_RATE

_Block = tuple[int, SampleArray]


class SoundReader:
    """Reads stream `index` of the recording at `path` as float32 (n, `channels`) at `SAMPLE_RATE`.

    With `sixteen_bits`, samples get the factor of our encoders for 16 bits, so that none changes; `limits` as in
    `paced`. Used by one thread; close it.
    """

    def __init__(self, path: Path, index: int, channels: int, *, sixteen_bits: bool, limits: bool = True) -> None:
        self._limits = limits
        self._path = path
        self._index = index
        self._channels = channels
        self._sixteen_bits = sixteen_bits
        self._container: InputContainer | None = None
        self._blocks: Iterator[_Block] = iter(())
        self._placing: _Placing | None = None
        #: What was read beyond the last sample that was wanted.
        self._left: _Block | None = None

    def read(self, begin: int, end: float) -> Iterator[_Block]:
        """Yield the samples from `begin` up to `end`, each block with its place; the first one may begin later.

        Raises `RecordingError` for sound that cannot be decoded. Finish with one read before the next.
        """
        for at, samples in self._blocks_from(begin):
            if at + len(samples) > end:
                self._left = at, samples
            first, last = max(0, begin - at), int(min(len(samples), end - at))
            if first < last:
                yield at + first, samples[first:last]
            if at + len(samples) >= end:
                return

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._blocks, self._left = iter(()), None
        self._close_file()

    def _close_file(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _blocks_from(self, begin: int) -> Iterator[_Block]:
        left, self._left = self._left, None
        if left is not None and left[0] <= begin and (begin - left[0] <= _NEAR or not self._can_seek):
            yield left
        else:
            self._blocks = self._decoded(begin)
        # With `yield from`, the end of this read would be that of the decoding.
        try:
            for block in self._blocks:  # noqa: UP028
                yield block
        except (av.FFmpegError, OSError) as error:
            reason = error.strerror or error
            raise RecordingError(
                f"the sound of {self._path} cannot be decoded ({reason})", "see capture check"
            ) from error

    @property
    def _can_seek(self) -> bool:
        # A seek in MP3 does not know where it ends up.
        return self._container is not None and self._container.format.name != "mp3"

    def _decoded(self, begin: int) -> Iterator[_Block]:
        """Yield all blocks from the one with `begin` on, or from before; holes are filled with silence."""
        is_ogg = self._path.suffix.lower() in (".ogg", ".opus")
        begin -= OGG_LEAD if is_ogg else _RUN_IN
        if not self._can_seek or is_ogg or begin <= 0:
            self._close_file()
            self._container = open_recording(self._path, patience_s(self._limits))
        assert self._container is not None  # noqa: S101 - it was opened
        track = cast(AudioStream, self._container.streams[self._index])
        read_alone(self._container, track)
        if self._placing is None:
            self._placing = _Placing(self._path, self._container, track, self._limits)
        if begin > 0 and self._can_seek:
            self._container.seek(round(begin / SAMPLE_RATE / as_fraction(track.time_base)), stream=track)
        own_channels = min(2, track.codec_context.channels)
        unpacker = _Unpacker(own_channels, sixteen_bits=self._sixteen_bits)
        following: int | None = None
        packets = paced(self._container, [track], limits=self._limits)
        frames = (cast(av.AudioFrame, frame) for packet in packets for frame in packet.decode())
        for frame in chain(frames, [None]):
            if frame is not None:
                at = self._placing.of(frame)
                if following is None:
                    following = at
                if at > following + _HOLE:
                    if self._limits:
                        hold_length((at - following) / SAMPLE_RATE)
                    yield from silence(following, at, self._channels)
                    following = at
            for samples in unpacker.unpacked(frame):
                assert following is not None  # noqa: S101 - a frame came before
                yield following, _at_level(samples, self._channels)
                following += len(samples)


class _Unpacker:
    """Returns decoded frames as float32 (n, `channels`) at `SAMPLE_RATE`.

    Most decoders make just that: without a resampler, an hour takes a third of the time.
    """

    def __init__(self, channels: int, *, sixteen_bits: bool) -> None:
        self._channels = channels
        self._sixteen_bits = sixteen_bits
        self._resampler: av.AudioResampler | None = None

    def unpacked(self, frame: av.AudioFrame | None) -> Iterator[SampleArray]:
        """Yield what a frame holds; None asks for what is left inside."""
        if self._resampler is None:
            if frame is None:
                return
            if not self._sixteen_bits and (samples := self._as_they_are(frame)) is not None:
                yield samples
                return
            layout = "mono" if self._channels == 1 else "stereo"
            self._resampler = av.AudioResampler("s16" if self._sixteen_bits else "flt", layout, SAMPLE_RATE)
        if frame is not None:
            # The packets have no holes; rounded timestamps would make the resampler think so.
            frame.pts = None
        for part in self._resampler.resample(frame):
            made = part.to_ndarray().reshape(-1, self._channels).astype(np.float32)
            yield made / np.float32(32767) if self._sixteen_bits else made

    def _as_they_are(self, frame: av.AudioFrame) -> SampleArray | None:
        form = frame.format.name
        channels = frame.layout.nb_channels
        if form not in ("flt", "fltp") or frame.sample_rate != SAMPLE_RATE or channels != self._channels:
            return None
        planes = [np.frombuffer(memoryview(plane), np.float32) for plane in frame.planes]
        samples: SampleArray
        if form == "flt":
            samples = planes[0][: frame.samples * channels].reshape(-1, channels).copy()
        else:
            samples = np.stack([plane[: frame.samples] for plane in planes], axis=1)
        return samples


def _at_level(samples: SampleArray, channels: int) -> SampleArray:
    """Return samples with 1 or 2 `channels` at the same level.

    FFmpeg makes two channels out of one quieter by 3 dB, and of floats one out of two louder by as much.
    """
    if samples.shape[1] == channels:
        return samples
    if samples.shape[1] > channels:
        mixed: SampleArray = samples.mean(axis=1, dtype=np.float32, keepdims=True)
        return mixed
    return np.repeat(samples, channels // samples.shape[1], axis=1)


class _Placing:
    """Tells with which sample of a recording a decoded frame begins."""

    def __init__(self, path: Path, container: InputContainer, track: AudioStream, limits: bool) -> None:
        self._zero = zero_s(container) * SAMPLE_RATE
        #: Where packets begin, in samples: the first one and the distance between them.
        self._grid: tuple[int, int] | None = None
        if track.codec_context.codec.canonical_name == "opus":
            with open_recording(path, patience_s(limits)) as again:
                packets = paced(again, [again.streams[track.index]], limits=limits)
                first = next((packet for packet in packets if packet.pts is not None), None)
            if first is not None:
                length_s = in_seconds(first.duration, first.time_base)
                self._grid = first_sample(track, first), round(length_s * SAMPLE_RATE)

    def of(self, frame: av.AudioFrame) -> int:
        at = (frame.time or 0.0) * SAMPLE_RATE
        if self._grid is None or not self._grid[1]:
            return round(at - self._zero)
        # Matroska's times are rounded. A decoder may leave out samples at the beginning of a frame, not at its end.
        first, length = self._grid
        ends = first + round((at + frame.samples - first) / length) * length
        return round(ends - frame.samples if abs(ends - frame.samples - at) < _ROUNDED else at)


def first_sample(track: AudioStream, packet: av.Packet[Any]) -> int:
    """Return with which sample of the recording its first packet begins, priming included."""
    at = round(in_seconds(packet.pts, packet.time_base) * SAMPLE_RATE)
    priming = priming_of(track.codec_context.extradata)
    return -priming if abs(at + priming) < _ROUNDED else at


class SoundPart(NamedTuple):
    """What a new file gets of a track: from sample `begin` up to `end`, or to its end; from sample `offset` on."""

    reader: SoundReader
    begin: int
    end: int | None
    offset: int


def heard_in(parts: Sequence[SoundPart], at: int | None, channels: int) -> Iterator[_Block]:
    """Yield what a file made of these `parts` plays from sample `at` on, without holes, each block with its place.

    There is silence before 0. With None for `at`, it begins with the first sample that there is.
    """
    if at is not None and at < 0:
        yield at, np.zeros((-at, channels), np.float32)
        at = 0
    for part in parts:
        stop = None if part.end is None else part.offset + part.end - part.begin
        if at is not None and stop is not None and at >= stop:
            continue
        moved = part.offset - part.begin
        begin = part.begin if at is None else at - moved
        for place, samples in part.reader.read(begin, float("inf") if part.end is None else part.end):
            if at is not None:
                yield from silence(at, place + moved, channels)
            yield place + moved, samples
            at = place + moved + len(samples)
        if at is not None and stop is not None:
            yield from silence(at, stop, channels)
            at = max(at, stop)


def silence(begin: int, end: int, channels: int) -> Iterator[_Block]:
    for at in range(begin, end, _SILENCE):
        yield at, np.zeros((min(_SILENCE, end - at), channels), np.float32)
