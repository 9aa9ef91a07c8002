"""Makes a finished recording smaller, or another kind of file: what chats, mail and other programs accept.

The new file grows in a hidden folder of the user's own and is checked before it gets its name. If it replaces the
recording, the recording stays untouched until then.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple

import av
from av.video.stream import VideoStream

from capture.errors import OutputError, RecordingError, UsageError
from capture.formats import CLIP_FORMATS, CONTAINERS, Container
from capture.output.file_size import limit_remedy
from capture.recordings.animation import write_animation
from capture.recordings.animation_report import report_animation
from capture.recordings.check import CheckReport, StreamReport, check
from capture.recordings.copyable import with_copies
from capture.recordings.decoded_pictures import display_size
from capture.recordings.encoding_plan import PLAIN, Plan, Style, even
from capture.recordings.gain import Change
from capture.recordings.loudness import Loudness, Normalising, TrackLoudness, measure
from capture.recordings.overview import ANIMATIONS
from capture.recordings.progress import OnProgress, attempt_of, unwatched
from capture.recordings.proportion import excess_of
from capture.recordings.reencode import reencode
from capture.recordings.reencoded_picture import VIDEO_ENCODERS
from capture.recordings.reencoded_sound import RATED_CODECS
from capture.recordings.rewrite import opened, tracks_of
from capture.recordings.scratch import scratch_folder
from capture.recordings.size_limit import fit_animation, fit_tracks
from capture.recordings.structure import Ending
from capture.system.durable import publish
from capture.system.private_files import copy_mode

__all__ = ["Order", "Remade", "Transcoding", "convert", "explained", "fit", "remake"]

#: FFmpeg's encoder of WebP; that of GIF has the name of the format.
_WEBP_ENCODER: Final = "libwebp_anim"

#: The largest width and frame rate of an animation: more costs megabytes a second.
_ANIMATION_WIDTH: Final = 800
_ANIMATION_FPS: Final = 15.0

#: A recording up to this many times as large as the limit may fit without loss that anybody sees: one attempt is worth
#: that.
_MAY_FIT: Final = 2.0

#: The most bytes in a second of a track of sound at the quality of a recording: AAC of music.
_SOUND_BYTES_PER_S: Final = 28_000

#: How much shorter than the recording the new file may be. Decoders and containers round.
_SHORTER_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Order:
    """What to make of a recording. `form` is the extension."""

    form: str
    limit_bytes: int | None = None
    #: The largest picture, as it is shown; with `exact_size`, just that, whatever its shape.
    most_size: tuple[int, int] | None = None
    exact_size: bool = False
    #: Whether that size is turned for a picture that is higher than it is wide.
    turns_size: bool = False
    loudness_lufs: float | None = None
    #: Whether frames may be stored in another order than they are shown in.
    takes_b_frames: bool = True
    style: Style = PLAIN


class Remade(NamedTuple):
    """A file that `convert` or `fit` made. `encoder` is FFmpeg's name of that of its picture.

    It is "" without a picture, and None where the picture was not encoded again.
    """

    path: Path
    encoder: str | None


def convert(path: Path, form: str, on_progress: OnProgress = unwatched, *, limits: bool = False) -> Path:
    """Convert the recording at `path` to `form`, one of `CLIP_FORMATS`; return the path of the new file.

    The new file lies beside the recording, with another extension; a recording of that kind is returned as it is. The
    recording never changes. Raises `UsageError` when it cannot be converted to that or the name is taken,
    `RecordingError` when it does not play, or with `limits` when its headers claim too much or it is out of all
    proportion to its length; `OutputError` when the new file cannot be written.
    """
    return remake(path, form, None, on_progress, limits=limits).path


def fit(path: Path, limit_bytes: int, form: str | None = None, on_progress: OnProgress = unwatched) -> Path:
    """Make the recording at `path` fit into `limit_bytes`, as `form` if given; return the path of the result.

    A file of the same kind replaces the recording, and a recording that fits already stays as it is; a file of another
    kind lies beside it. The result uses as much of the limit as the content can: sound is encoded again, the picture
    gets fewer bits and, when they would be too few, fewer pixels. Raises as `convert` does, and `UsageError` with the
    smallest possible size when nothing fits.
    """
    return remake(path, form, limit_bytes, on_progress).path


def remake(
    path: Path,
    form: str | None,
    limit_bytes: int | None,
    on_progress: OnProgress = unwatched,
    *,
    limits: bool = False,
) -> Remade:
    """Do what `convert` does, or with `limit_bytes` what `fit` does; return also what encoded the picture."""
    if form is not None:
        _check_form(form)
    form = form or path.suffix[1:].lower()
    if limit_bytes is not None and form not in ANIMATIONS:
        kind = CONTAINERS.get(form)
        if kind is None or kind.audio_codec not in RATED_CODECS:
            raise UsageError(f"a .{form} file cannot be made smaller", "add --format mp4 or --format ogg")
    same = path.suffix[1:].lower() == form
    if same and (limit_bytes is None or (path.is_file() and path.stat().st_size <= limit_bytes)):
        return Remade(path, None)
    return _transcoded(path, Order(form, limit_bytes), on_progress, limits)


def _encoder_for(form: str) -> str:
    """Return FFmpeg's name of the encoder of the picture in a file with this extension; "" if it has none."""
    if form in ANIMATIONS:
        return _WEBP_ENCODER if form == "webp" else form
    return VIDEO_ENCODERS.get(CONTAINERS[form].video_codec or "", ("", {}))[0]


def explained(error: OSError | av.FFmpegError, target: Path) -> OutputError:
    """Return what to say when `target` could not be written."""
    reason = str(getattr(error, "strerror", None) or error)
    otherwise = "check the free space and the permissions of the folder"
    return OutputError(
        f"{target} cannot be written ({reason})", limit_remedy(error, target.absolute().parent, otherwise)
    )


def _check_form(form: str) -> None:
    if form not in CLIP_FORMATS:
        raise UsageError(f"cannot convert to {form!r}", f"use one of {', '.join(CLIP_FORMATS)}")


def _transcoded(path: Path, order: Order, on_progress: OnProgress, limits: bool) -> Remade:
    old = path.resolve()
    report = check(old, listen=False, limits=limits)
    excess = excess_of(report) if limits and not report.beyond_limits else ""
    if excess or not report.plays or report.beyond_limits:
        raise RecordingError(f"{path} was not changed: {excess or report.problems[0]}", "see capture check")
    same = path.suffix[1:].lower() == order.form
    target = old if same else path.absolute().with_suffix(f".{order.form}")
    if not same and os.path.lexists(target):
        raise UsageError(f"{target} exists already", "choose another name")
    try:
        with scratch_folder(target.parent) as folder:
            transcoding = Transcoding(old, report, folder, on_progress)
            best = transcoding.run(order)
            copy_mode(old, best)
            publish(best, target)
    except (OSError, av.FFmpegError) as error:
        raise explained(error, target) from error
    encoder = None if transcoding.copies_picture else _encoder_for(order.form)
    return Remade(path if same else target, encoder)


class Transcoding:
    """Makes one new file of a recording, in as many attempts as it takes, each in `folder`.

    `folder` is empty and this user's alone. `report` is that of the recording. Everything raises `UsageError` when the
    recording cannot become that, `OutputError` when the new file is damaged, and what FFmpeg raises.
    """

    def __init__(self, source: Path, report: CheckReport, folder: Path, on_progress: OnProgress = unwatched) -> None:
        self._source = source
        self._report = report
        self._folder = folder
        self._attempts = itertools.count(1)
        self._on_progress = on_progress
        self._tries_several = False
        self._picture = _as_shown(source, report.picture)
        #: What was done about the loudness of each track, if that was ordered.
        self.loudness: tuple[TrackLoudness, ...] = ()
        #: How many packets of the picture could not be decoded.
        self.undecodable = 0
        #: The tracks of the new file, and the size of its picture where there is no limit; both once it is made.
        self.streams: tuple[StreamReport, ...] = ()
        self.wanted_size: tuple[int, int] | None = None
        #: Whether the picture, and each audio track, was copied.
        self.copies_picture = False
        self.copied_sounds: tuple[bool, ...] = ()

    def run(self, order: Order) -> Path:
        """Return the path of the best attempt within the limit, or of the only one without a limit."""
        self._tries_several = order.limit_bytes is not None or order.loudness_lufs is not None
        if order.form in ANIMATIONS:
            return self._animation(order)
        kind = CONTAINERS[order.form]
        style = order.style
        tracks = tuple((number,) for number in self._report.heard) if style.tracks is None else style.tracks
        tracks = tracks[: kind.max_audio_tracks]
        if not kind.holds_video and not tracks:
            raise UsageError(f"there is no sound in {self._source} for a .{order.form} file", "use --format mp4 or gif")
        style = replace(style, tracks=tracks)
        picture = self._picture if kind.holds_video else None
        if picture is not None:
            width, height = _fitted(order, picture)
            picture = replace(picture, width=width, height=height)
            self.wanted_size = even(width), even(height)
        if order.loudness_lufs is not None and tracks:
            style = replace(style, changes=self._changes(kind, style, order.loudness_lufs))
        best: Path | None = None
        can_shrink = kind.audio_codec in RATED_CODECS
        if order.limit_bytes is None or not can_shrink or self._may_fit(order.limit_bytes, picture, len(tracks)):
            size = (0, 0) if picture is None else (even(picture.width), even(picture.height))
            plan = Plan(0.0 if picture is None else math.inf, math.inf if tracks else 0.0, size)
            quick = style
            if order.limit_bytes is None or self._source.stat().st_size <= order.limit_bytes:
                quick = with_copies(self._source, kind, style, size, self._report, takes_b_frames=order.takes_b_frames)
            best = self._encode(kind, plan, quick)
            self.copies_picture, self.copied_sounds = quick.copies_picture, quick.copied_sounds
        if order.limit_bytes is not None and (best is None or best.stat().st_size > order.limit_bytes):
            if not can_shrink:
                limit = f"{order.limit_bytes / 1000:g}KB"
                raise UsageError(f"{self._source} does not fit into {limit} as .{order.form}", "choose another format")
            self.copies_picture, self.copied_sounds = False, ()
            best = fit_tracks(
                self._source,
                order.limit_bytes,
                lambda plan: self._encode(kind, plan, style),
                length_s=max(0.1, self._report.duration_s),
                picture=picture,
                sounds=len(tracks),
            )
        assert best is not None  # noqa: S101 - one of the two made it
        return self._checked(best, picture is not None, [number for mixed in tracks for number in mixed])

    def _may_fit(self, limit_bytes: int, picture: StreamReport | None, sounds: int) -> bool:
        """Whether the quality of a recording may fit into the limit, so that one attempt at it is worth its time."""
        if picture is not None:
            return self._source.stat().st_size <= _MAY_FIT * limit_bytes
        return self._report.duration_s * sounds * _SOUND_BYTES_PER_S <= limit_bytes

    def _changes(self, kind: Container, style: Style, target_lufs: float) -> tuple[Change | None, ...]:
        """Return the change of each track that brings it to this loudness, found with the sound alone."""
        alone = Plan(0.0, math.inf)

        def measured(tried: Style) -> Sequence[Loudness]:
            made = self._encode(kind, alone, tried)
            found = measure(made)
            made.unlink()
            return found

        if all(len(mixed) == 1 for mixed in style.tracks or ()):
            of_source = measure(self._source)
            before: Sequence[Loudness] = [of_source[number] for (number,) in style.tracks or ()]
        else:
            before = measured(style)
        normalising = Normalising(before, target_lufs)
        changes = normalising.changes()
        while normalising.needs_change and not normalising.accepts(measured(replace(style, changes=changes))):
            changes = normalising.changes()
        self.loudness = normalising.reports()
        return changes

    def _animation(self, order: Order) -> Path:
        picture = self._picture
        if picture is None:
            raise UsageError(f"there is no picture in {self._source} for a .{order.form} file", "use --format ogg")
        if order.most_size is None:
            width, shape = float(min(_ANIMATION_WIDTH, picture.width)), picture.height / picture.width
        else:
            size = _fitted(order, picture)
            width, shape = size[0], size[1] / size[0]

        def animate(width: int, fps: float) -> Path:
            path, on_progress = self._new_attempt(order.form)
            size = width, even(width * shape)
            write_animation(self._source, path, size, fps, self._report.duration_s, on_progress)
            return path

        self.wanted_size = even(width), even(even(width) * shape)
        if order.limit_bytes is None:
            made = animate(even(width), _ANIMATION_FPS)
        else:
            made = fit_animation(self._source, order.limit_bytes, animate, width=width, fps=_ANIMATION_FPS)
        self.streams = (report_animation(made),)
        return made

    def _encode(self, kind: Container, plan: Plan, style: Style) -> Path:
        path, on_progress = self._new_attempt(kind.format)
        self.undecodable = reencode(self._source, path, kind, plan, self._report.duration_s, on_progress, style)
        return path

    def _new_attempt(self, form: str) -> tuple[Path, OnProgress]:
        number = next(self._attempts)
        path = self._folder / f"{number}.{form}"
        # FFmpeg would create it with the mode of the umask.
        path.touch(0o600, exist_ok=False)
        return path, attempt_of(self._on_progress, number) if self._tries_several else self._on_progress

    def _checked(self, path: Path, has_picture: bool, sounds: Sequence[int]) -> Path:
        """Return the path of the new file. Raises `OutputError` when something is wrong with it, or missing in it.

        A track may start or end away from the others, as it did in the recording.
        """
        report = check(path, limits=False)
        is_worse = len(report.problems) > len(self._report.problems)
        if report.problems and (report.ending is not Ending.WHOLE or is_worse):
            raise OutputError(f"the new file is damaged: {report.problems[0]}")
        begins_s = min(track.start_s for track in self._report.streams)
        kept = [self._report.sounds[number] for number in sounds]
        if has_picture and self._picture is not None:
            kept.append(self._picture)
        length_s = max(track.start_s + track.duration_s for track in kept) - begins_s
        ends_s = max((track.start_s + track.duration_s for track in report.streams), default=0.0)
        if ends_s < length_s - _SHORTER_S:
            raise OutputError(
                f"the new file would end {length_s - ends_s:.1f} s before the recording", "see capture check"
            )
        self.streams = report.streams
        return path


def _as_shown(source: Path, picture: StreamReport | None) -> StreamReport | None:
    """Return the report of a picture with the size in which it is shown; None if there is none."""
    if picture is None:
        return None
    with opened(source) as container:
        track = next(track for track in tracks_of(container) if isinstance(track, VideoStream))
        width, height = display_size(container, track)
    return replace(picture, width=round(width), height=round(height)) if width and height else None


def _fitted(order: Order, picture: StreamReport) -> tuple[int, int]:
    """Return the width and the height of the new picture."""
    if order.most_size is None:
        return picture.width, picture.height
    if order.exact_size:
        return order.most_size
    is_turned = order.turns_size and picture.height > picture.width
    most = order.most_size[::-1] if is_turned else order.most_size
    share = min(1.0, most[0] / picture.width, most[1] / picture.height)
    return even(picture.width * share), even(picture.height * share)
