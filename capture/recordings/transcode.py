"""Makes a finished recording smaller, or another kind of file: what chats and mail accept.

The new file grows in a hidden folder of the user's own and is checked before it gets its name. If it replaces the
recording, the recording stays untouched until then.
"""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path
from typing import Final

import av

from capture.errors import OutputError, RecordingError, UsageError
from capture.formats import CLIP_FORMATS, CONTAINERS, Container
from capture.output.file_size import limit_remedy
from capture.recordings.animation import write_animation
from capture.recordings.check import CheckReport, check
from capture.recordings.progress import OnProgress, attempt_of, unwatched
from capture.recordings.reencode import AUDIO_ENCODERS, MOST_SOUND, VIDEO_ENCODERS, Plan, even, reencode
from capture.recordings.scratch import scratch_folder
from capture.recordings.size_limit import fit_animation, fit_tracks
from capture.system.durable import publish
from capture.system.private_files import copy_mode

__all__ = ["convert", "encoder_for", "fit"]

#: Pictures without sound that chats and web pages play by themselves, and FFmpeg's encoders for them.
_ANIMATIONS: Final = {"gif": "gif", "webp": "libwebp_anim"}

#: The largest width and frame rate of an animation: more costs megabytes a second.
_ANIMATION_WIDTH: Final = 800
_ANIMATION_FPS: Final = 15.0


def convert(path: Path, form: str, on_progress: OnProgress = unwatched) -> Path:
    """Convert the recording at `path` to `form`, one of `CLIP_FORMATS`; return the path of the new file.

    The new file lies beside the recording, with another extension; a recording of that kind is returned as it is. The
    recording never changes. Raises `UsageError` when it cannot be converted to that or the name is taken,
    `RecordingError` when it does not play, `OutputError` when the new file cannot be written.
    """
    _check_form(form)
    return path if path.suffix[1:].lower() == form else _transcoded(path, form, None, on_progress)


def fit(path: Path, limit_bytes: int, form: str | None = None, on_progress: OnProgress = unwatched) -> Path:
    """Make the recording at `path` fit into `limit_bytes`, as `form` if given; return the path of the result.

    A file of the same kind replaces the recording, and a recording that fits already stays as it is; a file of another
    kind lies beside it. The result uses as much of the limit as the content can: sound is encoded again, the picture
    gets fewer bits and, when they would be too few, fewer pixels. Raises as `convert` does, and `UsageError` with the
    smallest possible size when nothing fits.
    """
    if form is not None:
        _check_form(form)
    form = form or path.suffix[1:].lower()
    if form not in _ANIMATIONS:
        kind = CONTAINERS.get(form)
        if kind is None or kind.audio_codec not in AUDIO_ENCODERS:
            raise UsageError(f"a .{form} file cannot be made smaller", "add --format mp4 or --format ogg")
    same = path.suffix[1:].lower() == form
    if same and path.is_file() and path.stat().st_size <= limit_bytes:
        return path
    return _transcoded(path, form, limit_bytes, on_progress)


def encoder_for(path: Path) -> str:
    """Return FFmpeg's name of the encoder of the picture in a file made by `convert` or `fit`; "" if it has none."""
    form = path.suffix[1:].lower()
    return _ANIMATIONS.get(form) or VIDEO_ENCODERS.get(CONTAINERS[form].video_codec or "", ("", {}))[0]


def _check_form(form: str) -> None:
    if form not in CLIP_FORMATS:
        raise UsageError(f"cannot convert to {form!r}", f"use one of {', '.join(CLIP_FORMATS)}")


def _transcoded(path: Path, form: str, limit_bytes: int | None, on_progress: OnProgress) -> Path:
    old = path.resolve()
    report = check(old, listen=False, limits=False)
    if not report.plays:
        raise RecordingError(f"{path} was not changed: {report.problems[0]}", "see capture check")
    same = path.suffix[1:].lower() == form
    target = old if same else path.absolute().with_suffix(f".{form}")
    if not same and os.path.lexists(target):
        raise UsageError(f"{target} exists already", "choose another name")
    try:
        with scratch_folder(target.parent) as folder:
            best = _Transcoding(old, form, report, folder, on_progress).run(limit_bytes)
            copy_mode(old, best)
            publish(best, target)
    except (OSError, av.FFmpegError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        otherwise = "check the free space and the permissions of the folder"
        remedy = limit_remedy(error, target.parent, otherwise)
        raise OutputError(f"{target} cannot be written ({reason})", remedy) from error
    return path if same else target


class _Transcoding:
    """Makes one new file, in as many attempts as it takes, each in `folder`, which is empty and this user's alone."""

    def __init__(self, source: Path, form: str, report: CheckReport, folder: Path, on_progress: OnProgress) -> None:
        self._source = source
        self._form = form
        self._report = report
        self._folder = folder
        self._attempts = itertools.count(1)
        self._on_progress = on_progress
        self._tries_several = False
        self._picture = next((track for track in report.streams if track.frames and track.width and track.height), None)
        self._sounds = sum(track.kind == "audio" for track in report.streams)

    def run(self, limit_bytes: int | None) -> Path:
        """Return the path of the best attempt within `limit_bytes`, or of the only one without a limit."""
        self._tries_several = limit_bytes is not None
        if self._form in _ANIMATIONS:
            return self._animation(limit_bytes)
        kind = CONTAINERS[self._form]
        if not kind.holds_video and not self._sounds:
            raise UsageError(f"there is no sound in {self._source} for a .{self._form} file", "use --format mp4 or gif")
        picture = self._picture if kind.holds_video else None
        if limit_bytes is None:
            size = (0, 0) if picture is None else (even(picture.width), even(picture.height))
            plan = Plan(0.0 if picture is None else math.inf, MOST_SOUND if self._sounds else 0.0, size)
            return self._checked(self._encode(kind, plan))
        best = fit_tracks(
            self._source,
            limit_bytes,
            lambda plan: self._encode(kind, plan),
            length_s=max(0.1, self._report.duration_s),
            picture=picture,
            sounds=min(self._sounds, kind.max_audio_tracks),
        )
        return self._checked(best)

    def _animation(self, limit_bytes: int | None) -> Path:
        if self._picture is None:
            raise UsageError(f"there is no picture in {self._source} for a .{self._form} file", "use --format ogg")
        width = float(min(_ANIMATION_WIDTH, self._picture.width))
        if limit_bytes is None:
            return self._animate(even(width), _ANIMATION_FPS)
        return fit_animation(self._source, limit_bytes, self._animate, width=width, fps=_ANIMATION_FPS)

    def _encode(self, kind: Container, plan: Plan) -> Path:
        path, on_progress = self._new_attempt()
        reencode(self._source, path, kind, plan, self._report.duration_s, on_progress)
        return path

    def _animate(self, width: int, fps: float) -> Path:
        assert self._picture is not None  # noqa: S101 - checked by the caller
        size = width, even(self._picture.height * width / self._picture.width)
        path, on_progress = self._new_attempt()
        write_animation(self._source, path, size, fps, self._report.duration_s, on_progress)
        return path

    def _new_attempt(self) -> tuple[Path, OnProgress]:
        number = next(self._attempts)
        path = self._folder / f"{number}.{self._form}"
        # FFmpeg would create it with the mode of the umask.
        path.touch(0o600, exist_ok=False)
        return path, attempt_of(self._on_progress, number) if self._tries_several else self._on_progress

    def _checked(self, path: Path) -> Path:
        report = check(path, limits=False)
        if not report.ok:
            raise OutputError(f"the new file is damaged: {report.problems[0]}")
        return path
