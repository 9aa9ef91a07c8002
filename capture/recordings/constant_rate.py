"""Gives a finished recording a constant frame rate, for programs that cannot read a variable one.

The frames are not encoded again: each goes to the nearest slot, and every empty slot gets a repeat of ten bytes. An
hour takes seconds. Sound and chapters are copied.
"""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Iterator
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
from av.video.stream import VideoStream

from capture.codecs.h264_frame_rate import with_rate_stated
from capture.codecs.h264_slices import SliceWriter
from capture.codecs.h264_units import parameters_of, with_start_codes
from capture.errors import EncoderError, OutputError, RecordingError, UsageError
from capture.formats import container_of
from capture.media import VIDEO_TICKS_PER_S, in_seconds
from capture.output.free_name import under_free_name
from capture.recordings.check import check
from capture.recordings.progress import OnProgress, part_of, unwatched
from capture.recordings.rewrite import chapters_of, new_file, opened, tracks_of
from capture.recordings.scratch import scratch_folder
from capture.system.private_files import copy_mode

__all__ = ["with_constant_rate"]

#: The most slots by which a frame may be late because those before it took its place.
_MOST_SLOTS_LATE: Final = 2

#: A day at 120 frames a second. A file of a few packets can claim years, and each slot takes 12 bytes and some µs.
_MOST_SLOTS: Final = 24 * 3600 * 120

#: What to do with a stream that cannot be followed.
_ENCODE: Final = "capture export --for editor encodes it at a constant rate"

_TIME_BASE: Final = Fraction(1, VIDEO_TICKS_PER_S)


class _Frame(NamedTuple):
    """A frame of the recording: where it is shown, in slots, and its packet."""

    slot: int
    data: bytes
    is_key: bool


def with_constant_rate(
    path: Path, output: Path, fps: float, on_progress: OnProgress = unwatched, *, limits: bool = True
) -> Path | None:
    """Write the recording at `path` with `fps` frames in every second to `output`; return None if it is constant.

    Nothing is written for a recording whose rate is constant already, whatever it is. Raises `UsageError` if it has no
    H.264 that can be followed, has more frames than that in a second, lasts days, or `output` exists; `RecordingError`
    if it does not play, or with `limits` if it claims too much (see `check`); `OutputError` if the new file cannot be
    written. The recording never changes.
    """
    found = check(path, listen=False, limits=limits, on_progress=part_of(on_progress, 0.0, 0.3))
    if not found.plays or found.beyond_limits:
        # What is beyond the limits says what to do.
        remedy = "" if found.beyond_limits else "see capture check"
        raise RecordingError(f"{path} cannot be converted: {found.problems[0]}", remedy)
    picture = next((stream for stream in found.streams if stream.kind == "video"), None)
    if picture is None:
        raise UsageError(f"there is no picture in {path}", "name a recording with one")
    if picture.constant_fps is not None:
        return None
    if os.path.lexists(output):
        raise UsageError(f"{output} exists already", "name another file with -o")
    if container_of(output).video_codec != "h264" or picture.codec != "h264":
        raise UsageError(
            f"{path} cannot be made constant as {output.name}: only H.264 in .mp4, .mov and .mkv can", _ENCODE
        )
    rate = Fraction(fps).limit_denominator(1001)
    end_slot = math.ceil((picture.start_s + picture.duration_s) * rate - Fraction(1, 2))
    if end_slot > _MOST_SLOTS:
        raise UsageError(
            f"{path} lasts {found.duration_s / 3600:,.0f} h: that takes {end_slot:,} frames, over {_MOST_SLOTS:,}",
            "give a lower --constant-fps, or trim it first",
        )
    try:
        with scratch_folder(output.absolute().parent) as folder:
            made = folder / f"new{output.suffix}"
            _write(path, made, rate, end_slot, part_of(on_progress, 0.3, 0.8))
            report = check(made, listen=False, on_progress=part_of(on_progress, 0.8, 1.0))
            if not report.ok:
                raise OutputError(f"the new file is damaged: {report.problems[0]}")
            copy_mode(path, made)
            under_free_name(made, output, chosen=True)
    except OutputError as error:
        raise OutputError(f"{output} was not written: {error.message}", error.remedy) from error
    except EncoderError as error:
        raise UsageError(f"{path} cannot be made constant without encoding: {error.message}", _ENCODE) from error
    except (OSError, av.FFmpegError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        remedy = "check the free space and the permissions of the folder"
        raise OutputError(f"{output} cannot be written ({reason})", remedy) from error
    return output


def _write(path: Path, made: Path, rate: Fraction, end_slot: int, on_progress: OnProgress) -> None:
    with new_file(made) as muxer, opened(path) as pictures, opened(path) as sounds:
        tracks = tracks_of(pictures)
        place, picture = next((n, track) for n, track in enumerate(tracks) if isinstance(track, VideoStream))
        parameters = with_rate_stated(parameters_of(bytes(picture.codec_context.extradata or b"")), constant=True)
        writer = SliceWriter.of(parameters, from_last_alone=True)
        if writer is None:
            raise EncoderError("its H.264 uses features that repeats cannot follow")
        picture.codec_context.extradata = parameters
        muxer.start(tracks, pictures.metadata, crash_safe=False, frame_rate=rate)
        filled = _filled(pictures, picture, writer, rate, end_slot)
        others = [track for track in tracks_of(sounds) if track.type == "audio"]
        places = {track.index: n for n, track in enumerate(tracks)}
        for at_s, where, packet in heapq.merge(
            ((at_s, place, packet) for at_s, packet in filled), _sounds(sounds, others, places), key=itemgetter(0)
        ):
            muxer.write(where, packet)
            on_progress(at_s * rate / max(1, end_slot))
        muxer.close(chapters_of(pictures))


def _sounds(
    container: av.container.InputContainer, tracks: list[Any], places: dict[int, int]
) -> Iterator[tuple[float, int, av.Packet[Any]]]:
    for packet in container.demux(tracks) if tracks else ():
        if packet.pts is not None and packet.size:
            yield in_seconds(packet.dts, packet.time_base), places[packet.stream_index], packet


def _filled(
    container: av.container.InputContainer, track: VideoStream, writer: SliceWriter, rate: Fraction, end_slot: int
) -> Iterator[tuple[float, av.Packet[Any]]]:
    """Yield a packet for every slot, with its time in seconds. Raises `EncoderError` if the stream is not supported."""
    following = 0
    for frame in _frames(container, track, rate):
        for slot in range(following, frame.slot) if following else ():
            yield _packet(writer.picture(), slot, rate)
        data = with_start_codes(frame.data)
        if frame.is_key:
            data = with_rate_stated(data, constant=True)
        yield _packet(writer.followed(data), frame.slot, rate, is_key=frame.is_key)
        following = frame.slot + 1
    for slot in range(following, end_slot):
        yield _packet(writer.picture(), slot, rate)


def _frames(container: av.container.InputContainer, track: VideoStream, rate: Fraction) -> Iterator[_Frame]:
    following = 0
    for packet in container.demux(track):
        if packet.pts is None or not packet.size:
            continue
        if packet.dts is not None and packet.dts != packet.pts:
            raise EncoderError("its frames are stored in another order than they are shown in")
        wanted = round(packet.pts * packet.time_base * rate)
        slot = max(wanted, following)
        if slot > wanted + _MOST_SLOTS_LATE:
            raise UsageError(
                f"the recording has more than {float(rate):g} frames in a second", "give a higher --constant-fps"
            )
        yield _Frame(slot, bytes(packet), packet.is_keyframe)
        following = slot + 1


def _packet(data: bytes, slot: int, rate: Fraction, *, is_key: bool = False) -> tuple[float, av.Packet[Any]]:
    packet: av.Packet[Any] = av.Packet(data)
    packet.pts = packet.dts = round(slot / rate / _TIME_BASE)
    packet.duration = round((slot + 1) / rate / _TIME_BASE) - packet.pts
    packet.time_base, packet.is_keyframe = _TIME_BASE, is_key
    return float(slot / rate), packet
