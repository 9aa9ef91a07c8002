"""Describes a saved clip: what happened while it was recorded, and what its file really holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from capture.events import AudioSummary, Summary, VideoSummary
from capture.formats import CONTAINERS
from capture.pipeline.pipeline import Pipeline
from capture.recordings.check import CheckReport, StreamReport, check
from capture.replay.clip import Clip

__all__ = ["summarise_clip"]


def summarise_clip(pipeline: Pipeline, clip: Clip, path: Path, *, encoded_by: str | None) -> Summary:
    """Return the summary of `clip`, saved at `path`, without its events.

    `encoded_by` is FFmpeg's name of the encoder of its picture, "" if it has none, when the clip was encoded again;
    None when it was not.
    """
    report: CheckReport | None = None
    if path.suffix[1:].lower() in CONTAINERS:
        report = check(path, listen=False, limits=False)
        streams: Sequence[StreamReport] = report.streams
    else:
        # Imported here because few clips are animations.
        from capture.recordings.animation_report import report_animation

        streams = [report_animation(path)]
    length_s = clip.until_s - clip.start_s
    filled = [(track.is_picture, count) for track, count in zip(clip.tracks, clip.counts, strict=True)]
    frames = sum(count for is_picture, count in filled if is_picture)
    heard = [count > 0 for is_picture, count in filled if not is_picture]
    recorded = pipeline.audio_between(clip.start_s, clip.until_s)
    # Empty tracks are not in the file.
    kept = [track for track, has_sound in zip(recorded, heard, strict=False) if has_sound]
    return Summary(
        path=str(path),
        container=path.suffix[1:].lower(),
        # A still picture has none.
        duration_s=max((stream.duration_s for stream in streams), default=0.0) or length_s,
        size_bytes=path.stat().st_size,
        video=_video(pipeline.video_between(clip.start_s, clip.until_s, frames), streams, encoded_by),
        audio=_audio(kept, streams),
        paused_s=0.0,
        events=(),
        stopped_by="clip",
        check="ok" if report is None else next(iter(report.problems), "ok"),
    )


def _video(
    recorded: VideoSummary | None, streams: Sequence[StreamReport], encoded_by: str | None
) -> VideoSummary | None:
    """Return the picture as it is in the file, None if there is none."""
    saved = next((stream for stream in streams if stream.kind == "video"), None)
    if recorded is None or saved is None:
        return None
    # Fitting into a size may have shrunk it.
    video = replace(recorded, codec=saved.codec, width=saved.width, height=saved.height)
    if encoded_by is None:
        return video
    return replace(video, encoder=encoded_by, encoder_choice=None, frames=saved.frames)


def _audio(recorded: Sequence[AudioSummary], streams: Sequence[StreamReport]) -> tuple[AudioSummary, ...]:
    """Return the audio tracks as they are in the file, which may hold fewer than were recorded."""
    saved = [stream for stream in streams if stream.kind == "audio"]
    return tuple(
        replace(
            track,
            codec=stream.codec,
            sample_rate=stream.sample_rate,
            channels=stream.channels,
            duration_s=min(track.duration_s, stream.duration_s),
        )
        for track, stream in zip(recorded, saved, strict=False)
    )
