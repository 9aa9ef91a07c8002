"""Finds out which tracks of a recording already are what a new file needs, so that their packets can be copied."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Stream
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from capture.formats import Container
from capture.media import is_voice_note
from capture.recordings.check import CheckReport
from capture.recordings.encoding_plan import Style
from capture.recordings.opening import MOST_PIXELS
from capture.recordings.rewrite import opened, tracks_of

__all__ = ["with_copies"]

#: The containers between which times and priming stay exact, by FFmpeg's names for reading and for writing them.
_FAMILIES: Final = (
    ({"mov", "mp4", "m4a"}, {"mp4", "mov", "ipod"}),
    ({"matroska", "webm"}, {"matroska", "webm"}),
    ({"ogg"}, {"ogg"}),
)

#: Those between which a picture whose frames are stored in order can be copied: each keeps the times of the other, but
#: those of Matroska are in milliseconds, which is too coarse for sound.
_OF_PICTURES: Final = {"mov", "mp4", "m4a", "ipod", "matroska", "webm"}

#: The profiles of H.264 and AAC that everything plays.
_PROFILES: Final = {
    "h264": {"Baseline", "Constrained Baseline", "Main", "High"},
    "aac": {"LC"},
}

#: How many packets of sound a file may hide (`elst`): those from which its decoder gets going, 2112 samples in Apple's
#: AAC and 3840 in Opus. More is sound that was cut away, and a copy would still have it.
_MOST_HIDDEN: Final = 4

#: The sample rates of AAC that every service takes.
_RATES: Final = {44_100, 48_000}


def with_copies(
    path: Path, kind: Container, style: Style, size: tuple[int, int], report: CheckReport, *, takes_b_frames: bool
) -> Style:
    """Return the style with all tracks marked that can be copied into a file of this `kind`.

    `size` is that of the new picture. `report` is that of the recording at `path`: one with a problem is encoded again.
    Raises what FFmpeg raises.
    """
    if not report.ok:
        return style
    with opened(path) as container:
        names = set(container.format.name.split(","))
        is_family = any(names & read and kind.format in written for read, written in _FAMILIES)
        if not is_family and not (names & _OF_PICTURES and kind.format in _OF_PICTURES):
            return style
        picture = next((track for track in tracks_of(container) if isinstance(track, VideoStream)), None)
        has_picture = picture is not None and size != (0, 0)
        sounds = tuple(
            is_family
            and len(numbers) == 1
            and (place >= len(style.changes) or style.changes[place] is None)
            and _is_sound(container.streams.audio[numbers[0]], kind, style)
            for place, numbers in enumerate(style.tracks or ())
        )
        takes_b_frames = takes_b_frames and is_family
        is_picture = has_picture and _is_picture(container, picture, kind, style, size, takes_b_frames)
        return replace(style, copies_picture=is_picture, copied_sounds=sounds)


def _is_sound(track: AudioStream, kind: Container, style: Style) -> bool:
    context = track.codec_context
    codec = context.codec.canonical_name
    if codec != kind.audio_codec or context.channels > 2 or _hides_more_than(track, _MOST_HIDDEN):
        return False
    if style.voice:
        return codec == "opus" and context.channels == 1 and is_voice_note(context.extradata)
    return codec == "opus" or (codec == "aac" and context.profile in _PROFILES["aac"] and track.rate in _RATES)


def _is_picture(
    container: InputContainer,
    track: VideoStream | None,
    kind: Container,
    style: Style,
    size: tuple[int, int],
    takes_b_frames: bool,
) -> bool:
    if track is None or style.constant_fps is not None or style.key_frames_s is not None or style.bt709:
        return False
    context = track.codec_context
    codec = context.codec.canonical_name
    if codec != kind.video_codec or context.pix_fmt != "yuv420p" or (context.width, context.height) != size:
        return False
    if codec == "h264" and (context.profile not in _PROFILES["h264"] or (context.has_b_frames and not takes_b_frames)):
        return False
    is_plain = (track.sample_aspect_ratio or 1) == 1 and not _hides_more_than(track, 0)
    return is_plain and _begins_plainly(container, track)


def _hides_more_than(track: Stream, count: int) -> bool:
    """Whether the file has more packets of the track than this that are not played."""
    entries = track.index_entries
    hidden = (number for number in range(len(entries)) if entries[number].is_discard)
    return next(islice(hidden, count, None), None) is not None


def _begins_plainly(container: InputContainer, track: VideoStream) -> bool:
    """Whether the first packet is shown, and as it is stored: an edit list may hide some, and a phone turns them."""
    track.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    is_first = True
    for packet in container.demux(track):
        if packet.is_discard or (is_first and not packet.is_keyframe):
            return False
        is_first = False
        try:
            frames: list[Any] = list(packet.decode())
        except av.error.InvalidDataError:
            return False
        for frame in frames:
            return not frame.rotation and not frame.interlaced_frame and frame.color_range != ColorRange.JPEG
    return False
