"""Reads from the headers of a recording what a list shows: its tracks, length, title, and whether it is complete.

A glance reads a few kilobytes, however long the recording is; `check` reads all of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import av
from av.stream import Disposition

from capture.recordings.headers import excess_in
from capture.recordings.headers.animation import HEAD_BYTES, animation_head
from capture.recordings.headers.bounds import TRUST
from capture.recordings.opening import PATIENCE_S, open_recording
from capture.recordings.overview import ANIMATIONS, Glance, State, TrackGlance, unread
from capture.recordings.structure import Ending, read_structure

__all__ = ["glance"]

_ENDINGS: Final = {
    Ending.NEVER_CLOSED: (State.UNFINISHED, "it was cut off"),
    Ending.CUT_OFF: (State.UNFINISHED, "its end is missing"),
    Ending.DAMAGED: (State.DAMAGED, "it is damaged"),
}

#: How much of a WAV to read: FFmpeg looks for other formats disguised as samples, in 2 s of them, for 18 ms.
_WAV_PROBE_BYTES: Final = 20_000

_LONGEST_TITLE: Final = 200


def glance(path: Path, *, limits: bool = True) -> Glance:
    """Look at the regular file at `path`. Raises nothing about its content: `state` and `problem` say it.

    With `limits`, FFmpeg does not open a file whose headers claim more than any recording holds (see `headers`).
    """
    try:
        if path.suffix[1:].lower() in ANIMATIONS:
            return _animation(path)
        if path.stat().st_size == 0:
            return unread(path, State.DAMAGED, "it is empty")
        if limits and (excess := excess_in(path)):
            return unread(path, State.DAMAGED, excess.removesuffix(f": {TRUST}"))
        ending = read_structure(path).ending
        if ending is Ending.UNKNOWN:
            return unread(path, State.DAMAGED, "it is not a recording, or its start is damaged")
        return _recording(path, ending)
    except OSError as error:
        # FFmpeg's errors about the content are among these.
        if isinstance(error, av.FFmpegError):
            return unread(path, State.DAMAGED, f"it cannot be opened ({error.strerror})")
        return unread(path, State.UNREADABLE, f"it cannot be read ({error.strerror or error})")
    except (av.FFmpegError, ValueError) as error:
        return unread(path, State.DAMAGED, f"it cannot be opened ({getattr(error, 'strerror', None) or error})")


def _recording(path: Path, ending: Ending) -> Glance:
    state, problem = _ENDINGS.get(ending, (State.WHOLE, ""))
    try:
        probe_bytes = _WAV_PROBE_BYTES if path.suffix.lower() == ".wav" else None
        container = open_recording(path, PATIENCE_S, probe_bytes=probe_bytes)
    except (av.FFmpegError, ValueError):
        if state is State.WHOLE:
            raise
        # Cut off so early that there is nothing to read.
        return unread(path, state, problem)
    with container:
        tracks = tuple(_track(stream) for stream in container.streams if _is_track(stream))
        # That of an unfinished file is FFmpeg's guess, often hours off.
        length = container.duration if state is State.WHOLE else None
        tags = [container.metadata, *(stream.metadata for stream in container.streams)]
        titles = [value for found in tags[:2] for key, value in found.items() if key.lower() == "title"]
    if not tracks and state is State.WHOLE:
        return unread(path, State.DAMAGED, "it contains neither picture nor sound")
    return Glance(
        state,
        problem,
        None if length is None else max(0.0, length / av.time_base),
        (titles or [""])[0][:_LONGEST_TITLE],
        tracks,
    )


def _is_track(stream: av.stream.Stream) -> bool:
    return stream.type in ("video", "audio") and not stream.disposition & Disposition.attached_pic


def _track(stream: av.stream.Stream) -> TrackGlance:
    context = stream.codec_context
    codec = context.codec.canonical_name if context is not None else "unknown"
    if stream.type == "video":
        return TrackGlance("video", codec, width=getattr(context, "width", 0), height=getattr(context, "height", 0))
    rate, channels = getattr(context, "sample_rate", 0), getattr(context, "channels", 0)
    return TrackGlance("audio", codec, sample_rate=rate, channels=channels)


def _animation(path: Path) -> Glance:
    """Look at a GIF or WebP, whose length only a walk through all of its pictures would tell."""
    with path.open("rb") as file:
        head = animation_head(file.read(HEAD_BYTES))
    if head is None:
        return unread(path, State.DAMAGED, "it is not an animation, or its start is damaged")
    track = TrackGlance("video", head.codec, width=head.width, height=head.height)
    return Glance(State.WHOLE, "", None, "", (track,))
