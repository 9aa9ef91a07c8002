"""Puts the parts of an audio track together: exact to the sample, and nothing from outside is left.

AAC, and Opus in Ogg, are copied but for the packets at the seams (`copied_sound`), WAV is copied to the sample.
Everything else is encoded again: MP3, which cannot say where its sound begins, FLAC, whose packets know their place,
and Opus in Matroska, whose times are rounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream

from capture.codecs.audio_encoder import AudioEncoder
from capture.errors import RecordingError
from capture.formats import Container
from capture.media import SAMPLE_RATE, as_fraction, is_voice_note
from capture.recordings.copied_sound import CopiedSound, FrameReader
from capture.recordings.mp4.runs import Run, Store
from capture.recordings.opening import patience_s
from capture.recordings.parts import Part, offsets_of
from capture.recordings.proportion import hold_length, paced
from capture.recordings.rewrite import opened, read_alone, tracks_of
from capture.recordings.sound_reader import SoundPart, SoundReader, heard_in

__all__ = ["SplicedTrack", "spliced_sound"]

_INTEGERS = ("flac", "pcm_s16le")


class SplicedTrack(Protocol):
    """One track of a new file; times count from the start of the file, in `unit_s`."""

    @property
    def unit_s(self) -> Any: ...

    @property
    def template(self) -> Stream:
        """What the muxer makes its stream from."""
        ...

    def packets(self) -> Iterator[av.Packet[Any] | Run]:
        """Yield the packets in their order; call it once. The first and the last one are no run."""
        ...


def spliced_sound(
    parts: Sequence[Part],
    place: int,
    kind: Container,
    stack: ExitStack,
    store: Store | None,
    *,
    limits: bool = True,
) -> SplicedTrack:
    """Return track number `place` of a file of this `kind` that is made of `parts`.

    With a `store`, most packets that are copied are runs. The files stay open until `stack` ends. Raises
    `RecordingError` for sound that cannot be encoded again.
    """
    paths = dict.fromkeys(part.path for part in parts)
    containers = {path: stack.enter_context(opened(path, timeout_s=patience_s(limits))) for path in paths}
    tracks = {path: cast(AudioStream, tracks_of(container)[place]) for path, container in containers.items()}
    for path, container in containers.items():
        read_alone(container, tracks[path])
    first = tracks[parts[0].path]
    contexts = [track.codec_context for track in tracks.values()]
    codecs = {context.codec.canonical_name for context in contexts}
    for path, track in tracks.items():
        if _is_deep_flac(track):
            raise RecordingError(f"{path} has more than 16 bits, which capture does not write", "use an editor")
    is_alike = len({_form(track) for track in tracks.values()}) == 1
    channels = 1 if all(context.channels == 1 for context in contexts) else 2
    if is_alike and all(codec.startswith("pcm_") for codec in codecs):
        return _Sliced(parts, containers, tracks, limits)
    sixteen_bits = kind.audio_codec in _INTEGERS
    readers = {
        path: SoundReader(path, track.index, channels, sixteen_bits=sixteen_bits, limits=limits)
        for path, track in tracks.items()
    }
    for reader in readers.values():
        stack.callback(reader.close)
    sounds = [
        SoundPart(readers[part.path], part.begin, part.end, offset)
        for part, offset in zip(parts, offsets_of(parts), strict=True)
    ]
    if is_alike and (codecs == {"aac"} or (codecs == {"opus"} and kind.format == "ogg")):
        frames = {
            path: FrameReader(
                path,
                containers[path],
                track.index,
                None if store is None else store.track(path, track),
                limits=limits,
            )
            for path, track in tracks.items()
        }
        if all(reader.is_copyable for reader in frames.values()):
            return CopiedSound(sounds, [frames[part.path] for part in parts])
    voice = kind.audio_codec == "opus" and all(is_voice_note(context.extradata) for context in contexts)
    return _Encoded(sounds, first, AudioEncoder(kind.audio_codec, channels, voice=voice))


def _is_deep_flac(track: AudioStream) -> bool:
    context = track.codec_context
    return context.codec.canonical_name == "flac" and context.format.name not in ("s16", "s16p")


def _form(track: AudioStream) -> tuple[Any, ...]:
    """Return what tracks whose packets follow each other have in common."""
    context = track.codec_context
    # The priming of Opus differs.
    header = (
        bytes(context.extradata or b"") if context.codec.canonical_name == "aac" else is_voice_note(context.extradata)
    )
    return context.codec.canonical_name, context.format.name, track.rate, context.channels, header


class _Sliced:
    """PCM: samples are bytes."""

    def __init__(
        self,
        parts: Sequence[Part],
        containers: Mapping[Path, InputContainer],
        tracks: Mapping[Path, AudioStream],
        limits: bool,
    ) -> None:
        self._limits = limits
        self._parts = parts
        self._containers = containers
        self._tracks = tracks
        self.template: Stream = tracks[parts[0].path]
        self.unit_s = as_fraction(self.template.time_base)

    def packets(self) -> Iterator[av.Packet[Any]]:
        at = 0
        for part, offset in zip(self._parts, map(self._units, offsets_of(self._parts)), strict=True):
            begin = self._units(part.begin)
            for packet, frame_bytes in self._between(part):
                moved = (packet.pts or 0) + offset - begin
                if moved > at > 0:
                    if self._limits:
                        hold_length(float((moved - at) * self.unit_s))
                    yield self._packet(bytes((moved - at) * frame_bytes), at, moved - at)
                packet.pts = packet.dts = moved
                at = moved + (packet.duration or 0)
                yield packet
        if part.end is not None and at < (end := offset + self._units(part.end) - begin) and at:
            yield self._packet(bytes((end - at) * frame_bytes), at, end - at)

    def _units(self, samples: int) -> int:
        return round(samples / SAMPLE_RATE / self.unit_s)

    def _between(self, part: Part) -> Iterator[tuple[av.Packet[Any], int]]:
        """Yield the packets of a part, cut at its ends, and how many bytes a sample of all channels takes."""
        track = self._tracks[part.path]
        begin, end = self._units(part.begin), None if part.end is None else self._units(part.end)
        container = self._containers[part.path]
        container.seek(max(0, begin), stream=track)
        for packet in paced(container, [track], limits=self._limits):
            if packet.pts is None or not packet.size:
                continue
            count = packet.duration or 1
            if end is not None and packet.pts >= end:
                return
            first = max(0, begin - packet.pts)
            last = count if end is None else min(count, end - packet.pts)
            if first < last:
                frame_bytes = packet.size // count
                data = bytes(packet)[first * frame_bytes : last * frame_bytes]
                yield self._packet(data, packet.pts + first, last - first), frame_bytes

    def _packet(self, data: bytes, at: int, length: int) -> av.Packet[Any]:
        packet: av.Packet[Any] = av.Packet(data)
        packet.pts = packet.dts = at
        packet.time_base, packet.duration = self.unit_s, length
        return packet


class _Encoded:
    """Any codec: the samples are decoded and encoded again."""

    def __init__(self, parts: Sequence[SoundPart], track: AudioStream, encoder: AudioEncoder) -> None:
        self._parts = parts
        self._encoder = encoder
        encoder.template.metadata.update(track.metadata)
        self.template: Stream = encoder.template
        self.unit_s = as_fraction(self.template.time_base)

    def packets(self) -> Iterator[av.Packet[Any]]:
        first: int | None = None
        for at, samples in heard_in(self._parts, None, self._encoder.channels):
            first = at if first is None else first
            yield from self._moved(self._encoder.encode(samples), first)
        yield from self._moved(self._encoder.finish(), first or 0)

    def _moved(self, packets: list[av.Packet[Any]], first: int) -> Iterator[av.Packet[Any]]:
        """Yield the packets of an encoder that counts from 0."""
        start = round(first / SAMPLE_RATE / self.unit_s)
        for packet in packets:
            packet.pts, packet.dts = (packet.pts or 0) + start, (packet.dts or 0) + start
            yield packet
