"""Cuts a finished recording: what is cut away is no longer in the file. Everything else is copied."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any, Final

import av
from av.audio.stream import AudioStream

from capture.codecs.opus_repacketizer import Repacketizer, split
from capture.codecs.sound_cut import CUTTABLE, silenced
from capture.codecs.stereo_aac import FRAME_SAMPLES
from capture.errors import RecordingError, UsageError
from capture.formats import container_of
from capture.media import SAMPLE_RATE, in_seconds
from capture.output.chapters import Chapter
from capture.output.muxer import Muxer
from capture.recordings.check import CheckReport
from capture.recordings.rewrite import chapters_of, opened, rewrite, tracks_of, until, zero_s
from capture.recordings.still_end import repeat_at_end

__all__ = ["cut_end"]

#: How much sound before the end `silenced` may look at.
_LAST_SOUND_S: Final = 2.0

#: How exactly Matroska keeps times.
_ROUNDED_S: Final = 0.001


def cut_end(path: Path, end_s: float) -> CheckReport:
    """Cut the recording at `path` off at `end_s`; return the report of the rest.

    `end_s` counts from the start of the file. The last frame is shown until then. The last packet of AAC and Opus is
    silent from the end on; MP3 ends with the packet before, WAV with the sample. A chapter that plays at `end_s` ends
    there, later ones go. Raises `UsageError` when nothing would be left, and for FLAC, which cannot be cut this way;
    `RecordingError` for Opus that is packed in an unknown way; `OutputError` and `RecordingError` as `rewrite` does.
    After an error the recording is unchanged.
    """
    if container_of(path).audio_codec == "flac":
        raise UsageError(f"{path} is FLAC, which capture cannot cut", "cut it in an audio editor")
    if not end_s > 0:
        raise UsageError(f"a cut at {end_s:g} s would leave nothing of {path}", "cut it later")

    def fill(muxer: Muxer) -> list[Chapter]:
        with opened(path) as container:
            tracks = tracks_of(container)
            stop_s = end_s + zero_s(container)
            chapters = chapters_of(container, stop_s)
            muxer.start(tracks, container.metadata, crash_safe=False, chapters=chapters)
            places = {stream.index: place for place, stream in enumerate(tracks)}
            last = _last_sound(path, stop_s)
            repeat = repeat_at_end(path, stop_s)
            for packet in container.demux(tracks):
                if packet.pts is None or not packet.size:
                    continue
                place = places[packet.stream_index]
                if repeat is not None and in_seconds(packet.pts, packet.time_base) > repeat.at_s:
                    muxer.write(repeat.place, repeat.packet)
                    repeat = None
                for kept in last.get((place, packet.pts)) or _until(packet, stop_s):
                    muxer.write(place, kept)
            return chapters

    return rewrite(path, fill)


def _last_sound(path: Path, end_s: float) -> dict[tuple[int, int], list[av.Packet[Any]]]:
    """Return what replaces the last packets of sound, by track and pts, in codecs that can be silenced."""
    made: dict[tuple[int, int], list[av.Packet[Any]]] = {}
    with opened(path) as container:
        for place, stream in enumerate(tracks_of(container)):
            if not isinstance(stream, AudioStream) or stream.codec_context.codec.canonical_name not in CUTTABLE:
                continue
            container.seek(max(0, round((end_s - _LAST_SOUND_S) * av.time_base)))
            packets = []
            for packet in container.demux(stream):
                if packet.pts is None or in_seconds(packet.pts, packet.time_base) >= end_s:
                    break
                if packet.size:
                    packets.append(packet)
            if packets:
                try:
                    changed = _silenced(packets, stream, end_s)
                except ValueError as error:
                    raise RecordingError(f"{path} cannot be cut ({error})", "cut it in an audio editor") from error
                made.update(((place, pts), parts) for pts, parts in changed.items())
    return made


def _silenced(packets: list[av.Packet[Any]], stream: AudioStream, end_s: float) -> dict[int, list[av.Packet[Any]]]:
    """Return what replaces those of the consecutive `packets` that change when the sound ends at `end_s`, by pts.

    That is a packet, or the frames of one of Opus that begin before the end.
    """
    context = stream.codec_context
    is_aac = context.codec.canonical_name == "aac"
    parts = [[bytes(packet)] if is_aac else split(bytes(packet)) for packet in packets]
    length_s = in_seconds(packets[0].duration, packets[0].time_base) / len(parts[0])
    samples = FRAME_SAMPLES if is_aac else round(length_s * SAMPLE_RATE)
    end = round((end_s - in_seconds(packets[0].pts, packets[0].time_base)) * SAMPLE_RATE)
    made = iter(silenced([part for each in parts for part in each], context, samples, 0, end))
    changed: dict[int, list[av.Packet[Any]]] = {}
    at = 0
    for packet, old in zip(packets, parts, strict=True):
        new = list(islice(made, len(old)))
        within = -(-(end - at) // samples)
        at += samples * len(old)
        if new != old or within < len(old):
            changed[packet.pts or 0] = _packed(packet, new[:within], len(old))
    return changed


def _packed(source: av.Packet[Any], parts: list[bytes], count: int) -> list[av.Packet[Any]]:
    """Return the packets that take the place of `source`: `parts`, each as long as a `count`-th of it."""
    repacketizer = Repacketizer(count)
    length = (source.duration or 0) // count
    made: list[av.Packet[Any]] = []
    for number, part in enumerate(parts):
        packet: av.Packet[Any] = av.Packet(part)
        packet.stream, packet.time_base, packet.is_keyframe = source.stream, source.time_base, source.is_keyframe
        packet.pts = packet.dts = (source.pts or 0) + number * length
        packet.duration = length
        made += [packet] if count == 1 else repacketizer.add(packet)
    return made + repacketizer.finish()


def _until(packet: av.Packet[Any], end_s: float) -> list[av.Packet[Any]]:
    """Return what `until` returns, without sound from after `end_s`, if it is anything."""
    stream = packet.stream
    left_s = end_s - in_seconds(packet.pts, packet.time_base)
    length_s = in_seconds(packet.duration, packet.time_base)
    if not isinstance(stream, AudioStream) or stream.codec_context.codec.canonical_name in CUTTABLE:
        kept = until(packet, round(end_s / packet.time_base))
        return [] if kept is None else [kept]
    if length_s <= left_s + _ROUNDED_S:
        return [packet]
    if stream.codec_context.codec.canonical_name != "pcm_s16le" or left_s <= 0:
        return []
    cut: av.Packet[Any] = av.Packet(bytes(packet)[: round(left_s * stream.rate) * 2 * stream.codec_context.channels])
    cut.stream, cut.pts, cut.dts, cut.time_base = stream, packet.pts, packet.dts, packet.time_base
    return [cut]
