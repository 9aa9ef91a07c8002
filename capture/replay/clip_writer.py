"""Saves a clip from the replay buffer as a finished file.

Packets are copied unchanged, with times relative to one common origin. An exact clip starts at the requested moment
itself, and holds nothing from before: the first group of the picture is encoded again; the next one starts with a key
frame of the same encoder and is copied. The sound is encoded again, too, except for AAC, of which the first packets
suffice. Its priming is silent there, and skipped by an edit list, as in every file with AAC.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

import av
import numpy as np

from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.h264_frame_rate import says_constant_rate
from capture.codecs.h264_slices import SliceWriter
from capture.codecs.sound_cut import decoded, silenced
from capture.codecs.stereo_aac import FRAME_SAMPLES
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import CaptureError, DiskFullError, EncoderError, OutputError, UsageError
from capture.events import Event
from capture.formats import CONTAINERS, Container, container_of
from capture.media import SAMPLE_RATE, SampleArray, is_voice_note
from capture.output.chapters import chapters_between
from capture.output.disk_space import free_bytes
from capture.output.file_size import file_size_limit
from capture.output.frame_times import spaced
from capture.output.muxer import Muxer
from capture.output.tags import NO_TAGS, Tags
from capture.replay.clip import SQUEEZED_S, Clip
from capture.replay.packets import ReplayTrack, StoredPacket, as_packet, units

__all__ = ["save"]

#: The formats that can skip the priming of AAC to the sample, by an edit list.
_WITH_EDIT_LISTS: Final = frozenset({"mp4", "mov", "ipod"})

#: Codecs to encode again for every clip, which costs no quality: FLAC packets know their place in the recording, PCM
#: packets cannot be split.
_REENCODED: Final = frozenset({"flac", "pcm_s16le"})

#: How much sound to decode before the first wanted packet, so that the decoder has converged by then: RFC 7845, section
#: 4.6, asks for 80 ms.
_PRE_ROLL_S: Final = 0.1

#: The space that a file takes for a packet beside its payload: index entries, headers of pages and blocks.
_BESIDE_PACKET_BYTES: Final = 32

#: The space that a clip leaves on the disk. A recording on the same disk would end with less.
_LEFT_FREE_BYTES: Final = 2_000_000


def save(
    clip: Clip,
    path: Path,
    *,
    exact: bool = False,
    overwrite: bool = False,
    quality: str = "medium",
    marks: Sequence[Event] = (),
    tags: Tags = NO_TAGS,
) -> float:
    """Write `clip` to `path`, in the format that its extension names; return the media time at which the clip starts.

    `marks`, in the same time, become chapters. With `exact` the clip starts at the requested moment, otherwise at
    `Clip.start_s`; FLAC and WAV are always exact, as it costs them nothing. `quality` is that of the recording, for
    pictures that are encoded again.

    Raises `UsageError` when the clip is empty, the format cannot hold its tracks or the name is taken; `OutputError`
    when the file cannot be written. Then no file is left, and the clip can be saved elsewhere. Blocks while writing;
    only one thread at a time may save to a path.
    """
    kind = container_of(path)
    _check_fits(clip.tracks, kind, path)
    exact = exact or kind.audio_codec in _REENCODED
    tracks = _tracks(clip, kind, exact=exact, quality=quality)
    if not any(packets for _, packets in tracks):
        raise UsageError("nothing was recorded yet that a clip could hold", "try again in a moment")
    # An empty track would make the file look broken.
    if not all(packets for _, packets in tracks):
        tags = tags._replace(of_tracks=())
    tracks = [track for track in tracks if track[1]]
    _check_room(path, tracks)
    muxer = Muxer(path, kind, overwrite=overwrite)
    try:
        templates = [track.template for track, _ in tracks]
        begins_s = clip.exact_start_s if exact else clip.start_s
        chapters = chapters_between(marks, clip.until_s - begins_s, begins_s)
        muxer.start(templates, tags.of_file, track_names=tags.of_tracks, crash_safe=False, chapters=chapters)
        for place, packet in _in_order([packets for _, packets in tracks]):
            muxer.write(place, packet, clip.until_s - begins_s)
        muxer.close(chapters)
    except BaseException as error:
        with suppress(CaptureError, OSError):
            muxer.discard()
        if isinstance(error, av.FFmpegError | OSError):
            raise OutputError(f"{path} cannot be written ({error.strerror or error})", "free some space") from error
        raise
    muxer.keep()
    return begins_s


def _check_room(path: Path, tracks: Sequence[_Track]) -> None:
    """Raise `NoRoomError`, before anything is written, when these tracks have no room at `path`."""
    wanted = sum(packet.size + _BESIDE_PACKET_BYTES for _, packets in tracks for packet in packets)
    folder = path.absolute().parent
    limit = file_size_limit(folder)
    if limit is not None and limit.size_bytes < wanted:
        raise limit.error(path)
    free = free_bytes(folder)
    if free is not None and free < wanted + _LEFT_FREE_BYTES:
        raise DiskFullError(
            f"{path} needs {(wanted + _LEFT_FREE_BYTES) / 1e6:.1f} MB, but only {free / 1e6:.1f} MB are free",
            "free some space, or save the clip elsewhere",
        )


def _check_fits(tracks: Sequence[ReplayTrack], kind: Container, path: Path) -> None:
    """Raise `UsageError`, with the formats that would do, when `kind` cannot hold the tracks."""
    if misfit := _misfit(tracks, kind):
        fitting = ", ".join(f".{name}" for name, other in CONTAINERS.items() if not _misfit(tracks, other))
        raise UsageError(f"{path.suffix} cannot hold {misfit}", f"this buffer can be saved as {fitting}")


def _misfit(tracks: Sequence[ReplayTrack], kind: Container) -> str:
    """Return what `kind` cannot hold of the tracks, or ""."""
    for track in tracks:
        codec = track.template.codec_context.codec.canonical_name
        if codec != (kind.video_codec if track.is_picture else kind.audio_codec):
            return codec
    sounds = sum(not track.is_picture for track in tracks)
    return f"{sounds} audio tracks" if sounds > kind.max_audio_tracks else ""


_Track = tuple[ReplayTrack, list["av.Packet[Any]"]]


def _tracks(clip: Clip, kind: Container, *, exact: bool, quality: str) -> list[_Track]:
    """Return each track and its packets, with times relative to the start of the clip."""
    kept = clip.exact_packets() if exact else clip.packets()
    start_s = clip.exact_start_s if exact else clip.start_s
    made: list[_Track] = []
    for number, (track, packets) in enumerate(zip(clip.tracks, kept, strict=True)):
        if not packets:
            made.append((track, []))
        elif exact and track.is_picture:
            made.append(_reencoded_picture(clip, track, packets, kind, quality))
        elif exact and kind.format not in _WITH_EDIT_LISTS:
            made.append(_reencoded_sound(clip, number, packets))
        else:
            origin = round(start_s / track.time_base)
            if not any(other.is_picture for other in clip.tracks):
                origin = _sound_origin(clip, number, packets, exact=exact)
            end = round(clip.until_s / track.time_base) - origin
            if track.is_picture:
                packets = _without_squeezed(track, packets)
            copies = _copied(track, _cut(track, packets, clip) if exact else packets, origin, end, kind)
            if exact:
                copies[-1].duration = max(1, min(copies[-1].duration or 0, end - cast(int, copies[-1].pts)))
            for note in clip.notes(number):
                copies[0].set_sidedata(note)
            made.append((track, copies))
    return made


def _without_squeezed(track: ReplayTrack, packets: list[StoredPacket]) -> list[StoredPacket]:
    """Leave out the repeats that were squeezed: programs would take their distances for the frame rate.

    Keeps them if the stream is not H.264 that can be renumbered.
    """
    most = units(SQUEEZED_S, track.time_base)
    pairs = enumerate(pairwise(packets), 1)
    first = next((n for n, (one, two) in pairs if not two.is_repeat or two.pts - one.pts > most), len(packets))
    writer = SliceWriter.of(bytes(track.template.codec_context.extradata or b""), from_last_alone=True)
    if first <= 1 or writer is None:
        return packets
    try:
        kept = [packets[0]._replace(data=writer.followed(packets[0].data))]
        writer.leave_out(first - 1)
        return kept + [packet._replace(data=writer.followed(packet.data)) for packet in packets[first:]]
    except EncoderError:
        return packets


def _sound_origin(clip: Clip, number: int, packets: Sequence[StoredPacket], *, exact: bool) -> int:
    """Return the origin of a file of sound alone: the first audible sample, as players expect the priming before 0."""
    if exact:
        return round(clip.exact_start_s / clip.tracks[number].time_base)
    return packets[0].pts + clip.priming(number)


def _cut(track: ReplayTrack, packets: Sequence[StoredPacket], clip: Clip) -> list[StoredPacket]:
    """Return packets of AAC that are silent outside of the clip."""
    source = cast(av.AudioCodecContext, track.template.codec_context)
    begin, end = (round(at_s / track.time_base) - packets[0].pts for at_s in (clip.exact_start_s, clip.until_s))
    made = silenced([packet.data for packet in packets], source, FRAME_SAMPLES, begin, end)
    return [packet._replace(data=data) for packet, data in zip(packets, made, strict=True)]


def _copied(
    track: ReplayTrack, packets: Sequence[StoredPacket], origin: int, end: int, kind: Container
) -> list[av.Packet[Any]]:
    """Return the packets for a muxer, with times relative to `origin`; the last frame is shown until `end`."""
    made = [as_packet(packet, track.time_base, origin) for packet in packets]
    return _lasting(made, end, kind, track) if track.is_picture else made


def _lasting(pictures: list[av.Packet[Any]], end: int, kind: Container, track: ReplayTrack) -> list[av.Packet[Any]]:
    """Give each frame the duration until the next, the last one until `end`; Matroska needs only the last.

    Every frame lasts half a slot: where the last one would not, it begins earlier, or is left out if those before have
    no time to spare. The muxer would let it go on behind the end of the sound.
    """
    half_slot = units(track.half_slot_s, track.time_base) + 1
    latest = end - half_slot
    # When the muxer will begin each.
    begins = [float(pictures[0].pts or 0)]
    for picture in pictures[1:]:
        begins.append(spaced(picture.pts or 0, begins[-1], half_slot))
    while len(pictures) > 1 and begins[-1] > latest and begins[-2] > latest - half_slot:
        pictures.pop()
        begins.pop()
    last = pictures[-1]
    last.pts = last.dts = min(last.pts or 0, max(latest, 0))
    if kind.format in _WITH_EDIT_LISTS:
        for one, following in pairwise(pictures):
            one.duration = cast(int, following.pts) - cast(int, one.pts)
    last.duration = max(1, end - last.pts)
    return pictures


def _in_order(tracks: Sequence[Sequence[av.Packet[Any]]]) -> Iterator[tuple[int, av.Packet[Any]]]:
    """Yield the packets of all tracks sorted by dts, each with the index of its track."""
    placed = []
    for place, packets in enumerate(tracks):
        unit_s = float(packets[0].time_base)
        placed += [(cast(int, packet.dts) * unit_s, place, number) for number, packet in enumerate(packets)]
    placed.sort()
    for _, place, number in placed:
        yield place, tracks[place][number]


def _reencoded_sound(clip: Clip, number: int, packets: Sequence[StoredPacket]) -> _Track:
    """Encode the sound again, from the requested moment to the end of the clip, exact to the sample."""
    track = clip.tracks[number]
    context = cast(av.AudioCodecContext, track.template.codec_context)
    voice = is_voice_note(context.extradata)
    channels = context.channels
    pre_roll = clip.sound_before(number, packets[0].pts, _PRE_ROLL_S)
    samples, at_s = _decoded(track, [*pre_roll, *packets], channels, clip.priming(number))
    first = round((clip.exact_start_s - at_s) * SAMPLE_RATE)
    count = round((clip.until_s - clip.exact_start_s) * SAMPLE_RATE)
    encoder = AudioEncoder(context.codec.canonical_name, channels, voice=voice)
    reencoded = ReplayTrack.of(encoder.template)
    made = [*encoder.encode(np.ascontiguousarray(samples[max(0, first) : max(0, first) + count])), *encoder.finish()]
    return reencoded, made


def _decoded(
    track: ReplayTrack, packets: Sequence[StoredPacket], channels: int, priming: int
) -> tuple[SampleArray, float]:
    """Decode `packets`; return float32 (n, channels) at `SAMPLE_RATE`, and the media time of the first sample."""
    source = cast(av.AudioCodecContext, track.template.codec_context)
    samples = decoded(source, [packet.data for packet in packets], channels)
    # Some decoders drop the priming themselves, as at the start of a recording.
    expected = round(float(packets[-1].pts + packets[-1].duration - packets[0].pts) * track.time_base * SAMPLE_RATE)
    skipped = expected - len(samples)
    return samples, float(packets[0].pts * track.time_base) + max(0, skipped) / SAMPLE_RATE


def _reencoded_picture(
    clip: Clip, track: ReplayTrack, packets: Sequence[StoredPacket], kind: Container, quality: str
) -> _Track:
    """Encode the picture again from the requested moment to the end of the first group; copy the later groups.

    Encodes everything again if the encoder, once reopened, does not write the same header.
    """
    context = cast(av.VideoCodecContext, track.template.codec_context)
    start = round(clip.exact_start_s / track.time_base)
    encoder = VideoEncoder(
        context.codec.canonical_name,
        context.width,
        context.height,
        float(context.framerate or 30),
        quality=quality,
        encoder=context.codec.name,
        constant_fps=says_constant_rate(bytes(context.extradata or b"")),
    )
    reencoded = ReplayTrack.of(encoder.stream_copy)
    same = reencoded.template.codec_context.extradata == context.extradata
    first = next((n for n, one in enumerate(packets) if one.pts >= start), len(packets) - 1)
    # Two key frames in a row would have to have different numbers (`idr_pic_id`).
    following = next((n for n, one in enumerate(packets) if one.is_key and n > first + 1), len(packets))
    count = following if same else len(packets)
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(context.codec.canonical_name, "r"))
    decoder.extradata = context.extradata
    made: list[av.Packet[Any]] = []
    for packet in packets[:count]:
        given: av.Packet[Any] = av.Packet(packet.data)
        given.pts, given.dts, given.time_base = packet.pts, packet.dts, track.time_base
        frames = decoder.decode(given)
        if packet.pts > start and packet.is_repeat:
            made += encoder.repeat(packet.pts - start)
        elif packet.pts >= start:
            for frame in frames:
                made += encoder.encode_frame(frame, packet.pts - start)
    made += encoder.finish()
    for copy in made:
        copy.time_base = track.time_base
    end = round(clip.until_s / track.time_base) - start
    rest = [as_packet(packet, track.time_base, start) for packet in packets[count:]]
    return (track if same else reencoded), _lasting([*made, *rest], end, kind, track)
