"""Encodes a recording once more: other codecs, another bit rate, a smaller picture. One pass from file to file.

Each track is read on its own, however far apart its packets are in the file, and encoded as it is needed: nothing of
one track waits in memory for the others.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import ExitStack, closing
from operator import itemgetter
from pathlib import Path
from typing import Final

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from capture.formats import Container
from capture.output.chapters import WITH_CHAPTERS, as_ffmpeg, fitted_chapters, put_in_header
from capture.output.opus_vendor import name_vendor_at
from capture.output.tags import lasting
from capture.output.wav_cues import add_cues_at
from capture.recordings.copied_track import CopiedTrack
from capture.recordings.decoded_pictures import PictureReader
from capture.recordings.encoding_plan import PLAIN, Plan, Style
from capture.recordings.progress import OnProgress, unwatched
from capture.recordings.reencoded_picture import ReencodedPicture
from capture.recordings.reencoded_sound import ReencodedSound
from capture.recordings.rewrite import chapters_of, opened, tracks_of
from capture.recordings.sound_file import SoundFile

__all__ = ["reencode"]

#: The tags that are about the content. Others say where and with what it was recorded, which is private.
_FOR_OTHERS: Final = frozenset({"title", "artist", "album"})


def reencode(
    recording: Path,
    path: Path,
    kind: Container,
    plan: Plan,
    duration_s: float,
    on_progress: OnProgress = unwatched,
    style: Style = PLAIN,
) -> int:
    """Write `recording`, `duration_s` long, to `path` as `kind` with its chapters, overwriting what is there.

    Return how many packets of the picture could not be decoded; the picture before them stays.

    Raises `RecordingError` when the recording cannot be opened, and what FFmpeg raises.
    """
    options = {"movflags": "+faststart"} if kind.format in ("mp4", "mov", "ipod") else {}
    with ExitStack() as stack:
        source = stack.enter_context(opened(recording))
        made = stack.enter_context(av.open(str(path), "w", format=kind.format, container_options=options))
        # Those of Ogg are with its track.
        of_track = tracks_of(source)[0].metadata if source.format.name == "ogg" else {}
        tags = lasting({**of_track, **source.metadata})
        if style.for_others:
            tags = {name: value for name, value in tags.items() if name.lower() in _FOR_OTHERS}
        made.metadata.update(tags)
        new: list[CopiedTrack | ReencodedPicture | ReencodedSound] = []
        track = next((track for track in tracks_of(source) if isinstance(track, VideoStream)), None)
        frames: PictureReader | None = None
        if track is not None and plan.picture_rate and style.copies_picture:
            new.append(CopiedTrack(source, track, made, on_progress))
        elif track is not None and plan.picture_rate:
            picture = ReencodedPicture(source, track, made, str(kind.video_codec), plan, style, duration_s, on_progress)
            frames = picture.frames
            new.append(picture)
        tracks = style.tracks
        if tracks is None:
            tracks = tuple((number,) for number in range(len(source.streams.audio)))
        for place, numbers in enumerate(tracks[: kind.max_audio_tracks] if plan.sound_rate else ()):
            # The picture takes longest: how far it has got counts.
            watched = unwatched if new else on_progress
            name = _name_of(source, numbers) if kind.holds_video else ""
            if style.copied_sounds and style.copied_sounds[place]:
                own = stack.enter_context(opened(recording))
                new.append(CopiedTrack(own, own.streams.audio[numbers[0]], made, watched, name))
                continue
            sound = ReencodedSound(
                stack.enter_context(SoundFile(recording, tracks=numbers, limits=False)),
                made,
                kind.audio_codec,
                plan.sound_rate,
                duration_s,
                watched,
                change=style.changes[place] if style.changes else None,
                voice=style.voice,
                name=name,
            )
            new.append(stack.enter_context(closing(sound)))
        chapters = fitted_chapters(chapters_of(source), kind.format, voice=style.voice)[0]
        put_in_header(made, chapters, kind.format)
        made.start_encoding()
        for _, packet in heapq.merge(*(track.packets() for track in new), key=itemgetter(0)):
            made.mux(packet)
        if kind.format in WITH_CHAPTERS:
            made.set_chapters(as_ffmpeg(chapters))
    if kind.format == "ogg":
        name_vendor_at(path)
    elif kind.format == "wav" and chapters:
        add_cues_at(path, chapters)
    return 0 if frames is None else frames.undecodable


def _name_of(source: InputContainer, numbers: Sequence[int]) -> str:
    """Return the name of an audio track; "" for a mix."""
    return source.streams.audio[numbers[0]].metadata.get("title", "") if len(numbers) == 1 else ""
