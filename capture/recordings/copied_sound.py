"""Copies AAC, and Opus in Ogg, into a new file made of parts: exact to the sample, and nothing from outside is left.

Packets lie on a grid, of 1024 or 960 samples. Parts whose packets fit the grid of the new file are copied, but for the
packets around the seams; everything else is encoded again. The file skips what is before the first sample.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Generator, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream

from capture.codecs.audio_encoder import VOICE_FRAMES_PER_PACKET, AudioEncoder
from capture.codecs.opus_head import with_priming
from capture.codecs.opus_repacketizer import Repacketizer, split
from capture.codecs.sound_cut import CUTTABLE, RUN_IN_S, switch_place
from capture.codecs.stereo_aac import FRAME_SAMPLES
from capture.errors import RecordingError
from capture.media import SAMPLE_RATE, as_fraction, is_voice_note
from capture.recordings.mp4.runs import Run, StoredTrack
from capture.recordings.opening import patience_s
from capture.recordings.proportion import paced
from capture.recordings.rewrite import opened
from capture.recordings.sound_reader import OGG_LEAD, SoundPart, heard_in

__all__ = ["CopiedSound", "FrameReader"]

#: A frame of Opus: 20 ms.
_OPUS_SAMPLES: Final = 960

#: How many frames behind the run-in to search at first for a place at which to stop copying. Opus takes the best of
#: several, AAC nearly always the last.
_REACH: Final = 12
_AAC_REACH: Final = 2

#: A frame, and its place in samples.
_Frame = tuple[int, bytes]

_Result = TypeVar("_Result")


class FrameReader:
    """Reads the encoded frames of stream `index` of the recording at `path`, which `container` has open for this."""

    def __init__(
        self, path: Path, container: InputContainer, index: int, stored: StoredTrack | None, *, limits: bool = True
    ) -> None:
        """`stored` is the track by its index, None if it has to be read packet by packet; `limits` as in `paced`."""
        self._limits = limits
        self._stored = stored
        self._path = path
        self._container = container
        self._is_ogg = container.format.name == "ogg"
        self.track = cast(AudioStream, container.streams[index])
        self.is_aac = self.track.codec_context.codec.canonical_name == "aac"
        self.samples = FRAME_SAMPLES if self.is_aac else _OPUS_SAMPLES
        first = next(self.packets(-(1 << 40)), None)
        #: With which sample of the recording the first frame begins, priming included; None without one.
        self.first: int | None = None if first is None else first.pts
        #: About with which one the last ends.
        self.end = (self.first or 0) + (self.track.duration or 0)
        self._is_usual = first is not None and self._has_usual_frames(first)

    @property
    def is_copyable(self) -> bool:
        """Whether the track is encoded as capture does."""
        context = self.track.codec_context
        return (
            self._is_usual
            and context.channels <= 2
            and as_fraction(self.track.time_base).denominator == SAMPLE_RATE
            and (not self.is_aac or self.track.rate == SAMPLE_RATE)
        )

    def _has_usual_frames(self, packet: av.Packet[Any]) -> bool:
        try:
            return packet.duration == self.samples * len(self.frames(packet))
        except RecordingError:
            return False

    def packets(self, at: int) -> Iterator[av.Packet[Any]]:
        """Yield the packets from the one that sample `at` is in."""
        if not self._is_ogg:
            self._container.seek(max(0, at), stream=self.track)
            yield from self._from(self._container, at)
            return
        with opened(self._path, timeout_s=patience_s(self._limits)) as container:
            if at > OGG_LEAD:
                container.seek(at - OGG_LEAD, stream=container.streams[self.track.index])
            yield from self._from(container, at)

    def _from(self, container: InputContainer, at: int) -> Iterator[av.Packet[Any]]:
        before: av.Packet[Any] | None = None
        for packet in paced(container, [container.streams[self.track.index]], limits=self._limits):
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

    def packets_and_runs(self, at: int, end: float) -> Iterator[av.Packet[Any] | Run]:
        """Yield the packets from the one that sample `at` is in, where that is possible most before `end` as runs."""
        packets = self.packets(at)
        return packets if self._stored is None else self._stored.with_runs(packets, end)

    def frames(self, packet: av.Packet[Any]) -> list[bytes]:
        """Return the frames of a packet. Raises `RecordingError` if they are packed in an unknown way."""
        if self.is_aac:
            return [bytes(packet)]
        try:
            return split(bytes(packet))
        except ValueError as error:
            raise RecordingError(f"its Opus is packed in an unknown way ({error})", "cut it in an editor") from error

    def frames_from(self, at: int) -> Iterator[_Frame]:
        """Yield the frames that begin at sample `at` or later, with their places."""
        for packet in self.packets(at):
            for number, frame in enumerate(self.frames(packet)):
                place = (packet.pts or 0) + number * self.samples
                if place >= at:
                    yield place, frame


class _Source(NamedTuple):
    """A part, and where its encoded frames are; None for a part that has to be encoded again."""

    part: SoundPart
    frames: FrameReader | None

    @property
    def moved(self) -> int:
        """How many samples later something is in the new file."""
        return self.part.offset - self.part.begin

    @property
    def end(self) -> float:
        """Where the part ends in the new file."""
        return math.inf if self.part.end is None else self.moved + self.part.end


class CopiedSound:
    """The packets of one track of a file that is made of `parts`.

    `readers` has the one of each part. All are copyable, and have the same header but for its priming.
    """

    def __init__(self, parts: Sequence[SoundPart], readers: Sequence[FrameReader]) -> None:
        track = readers[0].track
        self._parts = parts
        self._context = track.codec_context
        self._codec = self._context.codec.canonical_name
        self._is_voice = is_voice_note(self._context.extradata)
        self._samples = readers[0].samples
        self._overlap = CUTTABLE[self._codec].samples
        self._run_in = -(-round(RUN_IN_S * SAMPLE_RATE) // self._samples)
        self._settling = self._run_in if CUTTABLE[self._codec].settles else 0
        self._reach = _REACH if self._settling else _AAC_REACH
        phases = [self._phase(part, reader) for part, reader in zip(parts, readers, strict=True)]
        usual = _most_common(phases, parts, readers)
        self._sources = [
            _Source(part, reader if phase == usual else None)
            for part, reader, phase in zip(parts, readers, phases, strict=True)
        ]
        self._ends = [source.end for source in self._sources]
        first, begin = readers[0].first or 0, parts[0].begin
        #: Whether the file begins as the recording does.
        self._begins_copied = phases[0] == usual and (begin == 0 or first >= begin - self._overlap)
        #: Where the first frame is, before the first sample that is heard.
        self._first = first - begin
        if not self._begins_copied:
            self._first = -self._overlap - (-self._overlap - usual) % self._samples
        self._end = self._sources[-1].end
        #: The unit of the packets' times.
        self.unit_s = as_fraction(track.time_base)
        #: What the muxer makes its stream from.
        self.template: Stream = track
        # FFmpeg's own header states less priming than this file may have.
        self._late = 0
        self._encoder: AudioEncoder | None = None
        if self._codec == "opus" and not self._begins_copied:
            self._late = -self._first - self._overlap
            self._encoder = AudioEncoder("opus", self._context.channels)
            self.template = self._encoder.template
            self.template.codec_context.extradata = with_priming(bytes(self._context.extradata or b""), -self._first)
            self.template.metadata.update(track.metadata)

    def _phase(self, part: SoundPart, reader: FrameReader) -> int:
        """Return where on the grid of the new file the frames of a part would be."""
        return ((reader.first or 0) - part.begin + part.offset) % self._samples

    def packets(self) -> Iterator[av.Packet[Any] | Run]:
        """Yield the packets in their order; call it once."""
        try:
            for packet in self._all():
                if isinstance(packet, Run):
                    yield packet
                    continue
                pts = packet.pts or 0
                if pts >= self._end:
                    return
                if pts + (packet.duration or 0) > self._end:
                    packet.duration = int(self._end - pts)
                packet.pts = packet.dts = pts + self._late
                yield packet
        finally:
            if self._encoder is not None:
                self._encoder.close()

    def _all(self) -> Iterator[av.Packet[Any] | Run]:
        at, copied, again = self._first, self._sources[0] if self._begins_copied else None, None
        while True:
            if copied is None:
                again = self._encoded_from(at) if again is None else again
                copied, at = yield from self._packed(self._until_copied(again))
                if copied is None:
                    return
            stop, again = self._leaving(copied, at)
            yield from self._copied(copied, at, stop)
            if again is None:
                return
            copied, at = None, int(stop)

    # Copying

    def _copied(self, source: _Source, begin: int, stop: float) -> Iterator[av.Packet[Any] | Run]:
        """Yield the packets of a part between two places of the new file."""
        assert source.frames is not None  # noqa: S101 - only such parts are copied
        for packet in source.frames.packets_and_runs(begin - source.moved, stop - source.moved):
            if isinstance(packet, Run):
                yield packet.at(packet.samples.times + source.moved)
                continue
            pts, length = (packet.pts or 0) + source.moved, packet.duration or 0
            if pts >= stop:
                return
            if begin <= pts and pts + length <= stop:
                packet.pts = pts
                yield packet
                continue
            yield from self._packed(self._between(begin, stop, pts, source.frames.frames(packet)))

    def _between(self, begin: int, stop: float, at: int, frames: Sequence[bytes]) -> Generator[_Frame, None, None]:
        """Yield those of the consecutive `frames`, the first one at `at`, that begin between two places."""
        for number, frame in enumerate(frames):
            if begin <= at + number * self._samples < stop:
                yield at + number * self._samples, frame

    def _leaving(self, source: _Source, at: int) -> tuple[float, Iterator[_Frame] | None]:
        """Return up to where to copy a part, from `at` on, and the frames that follow then; None for its very end."""
        if source.end == math.inf:
            return math.inf, None
        assert source.frames is not None  # noqa: S101 - only such parts are copied
        stop = self._last_copied_end(source)
        reach = self._run_in + self._reach
        while True:
            begin = max(at, stop - reach * self._samples)
            count = (stop - begin) // self._samples
            near = [frame for _, frame in islice(source.frames.frames_from(begin - source.moved), count)]
            again = self._encoded_from(begin)
            made = list(islice(again, count + self._settling))
            place = switch_place(self._context, near, [frame for _, frame in made], self._run_in)
            if place is None and begin > at:
                reach *= 2
                continue
            # Windows that do not fit are heard for 20 ms.
            following = (len(near) - 1 if place is None else place) + 1
            return begin + following * self._samples, chain(made[following:], again)

    def _last_copied_end(self, source: _Source) -> int:
        """Return where the last frame ends that holds nothing from behind the part."""
        frames = (int(source.end) - self._overlap - self._first) // self._samples
        return self._first + frames * self._samples

    # Encoding

    def _encoded_from(self, begin: int) -> Iterator[_Frame]:
        """Yield the frames of an encoder from place `begin` on, to the end of the file."""
        encoder = AudioEncoder(self._codec, self._context.channels, voice=self._is_voice)
        place = begin
        try:
            # The encoder puts its priming before the samples.
            ends = begin + self._overlap
            for at, samples in heard_in(self._parts, ends, self._context.channels):
                ends = at + len(samples)
                for packet in encoder.encode(samples):
                    for frame in self._frames_of(packet):
                        yield place, frame
                        place += self._samples
            self._end = min(self._end, ends)
            for packet in encoder.finish():
                for frame in self._frames_of(packet):
                    yield place, frame
                    place += self._samples
        finally:
            encoder.close()

    def _frames_of(self, packet: av.Packet[Any]) -> list[bytes]:
        # How many frames a packet of a voice note holds depends on the sound.
        return split(bytes(packet)) if self._codec == "opus" else [bytes(packet)]

    def _until_copied(self, again: Iterator[_Frame]) -> Generator[_Frame, None, tuple[_Source | None, int]]:
        """Yield encoded frames up to the first one that frames of a part may follow; return the part, and from where.

        Returns None for the part if there is none up to the end.
        """
        fits = CUTTABLE[self._codec].fits
        entry: _Source | None = None
        ahead: Iterator[_Frame] = iter(())
        original: _Frame | None = None
        for place, frame in again:
            yield place, frame
            found = self._entry_at(place)
            if found is None or found.frames is None:
                continue
            if found is not entry:
                entry, ahead = found, found.frames.frames_from(place - found.moved)
                original = next(ahead, None)
            while original is not None and original[0] + found.moved < place:
                original = next(ahead, None)
            if original is not None and original[0] + found.moved == place and fits(frame, original[1]):
                return found, place + self._samples
        return None, 0

    def _entry_at(self, place: int) -> _Source | None:
        """Return the part whose frames may follow the one at `place`, if there is one with enough of them."""
        number = bisect_right(self._ends, place)
        source = self._sources[number] if number < len(self._sources) else None
        if source is None or source.frames is None:
            return None
        # The frame that still has something from before the part.
        mixed = self._first + (source.part.offset - 1 - self._first) // self._samples * self._samples
        is_settled = place >= mixed + self._settling * self._samples
        leaves = place + (self._run_in + self._reach) * self._samples
        is_worth_it = source.end == math.inf or leaves < self._last_copied_end(source)
        return source if is_settled and is_worth_it else None

    def _packed(self, frames: Generator[_Frame, None, _Result]) -> Generator[av.Packet[Any], None, _Result]:
        """Yield packets with these frames; return what their generator returns."""
        repacketizer = Repacketizer(VOICE_FRAMES_PER_PACKET if self._is_voice else 1)
        while True:
            try:
                place, frame = next(frames)
            except StopIteration as end:
                if self._is_voice:
                    yield from repacketizer.finish()
                return cast(_Result, end.value)
            if place >= self._end:
                continue
            packet: av.Packet[Any] = av.Packet(frame)
            packet.pts = packet.dts = place
            packet.time_base, packet.is_keyframe = self.unit_s, True
            packet.duration = int(min(self._samples, self._end - place))
            if self._is_voice:
                yield from repacketizer.add(packet)
            else:
                yield packet


def _most_common(phases: Sequence[int], parts: Sequence[SoundPart], readers: Sequence[FrameReader]) -> int:
    """Return the place on the grid that most of the sound has."""
    lengths: dict[int, float] = {}
    for phase, part, reader in zip(phases, parts, readers, strict=True):
        end = reader.end if part.end is None else part.end
        lengths[phase] = lengths.get(phase, 0.0) + end - part.begin
    return max(lengths, key=lambda phase: lengths[phase])
