"""Exports recordings, and what other programs recorded, as files that services and programs take: `presets`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av

from capture.errors import OutputError, RecordingError, UsageError
from capture.formats import CONTAINERS
from capture.output.file_size import as_limit
from capture.output.free_name import under_free_name
from capture.output.locked_file import is_being_recorded
from capture.output.naming import fitted
from capture.recordings.check import CheckReport, StreamReport, check, size_bytes_of
from capture.recordings.encoding_plan import Style
from capture.recordings.headers.bounds import TRUST
from capture.recordings.loudness import TrackLoudness
from capture.recordings.overview import ANIMATIONS
from capture.recordings.presets import Preset
from capture.recordings.progress import OnProgress, part_of, unwatched
from capture.recordings.proportion import excess_of
from capture.recordings.rewrite import opened
from capture.recordings.scratch import scratch_folder
from capture.recordings.structure import Ending
from capture.recordings.transcode import Order, Transcoding, explained
from capture.system.durable import FULL
from capture.system.private_files import copy_mode

__all__ = ["ALL", "MIX", "Exported", "Wishes", "export"]

#: The values of `Wishes.tracks` for all audio tracks mixed into one, and for each by itself.
MIX: Final = "mix"
ALL: Final = "all"

#: How much of the work the check of the recording is.
_CHECK_SHARE: Final = 0.05

#: The errors of writing; FFmpeg's others are about what it reads.
_OF_DISKS: Final = frozenset({*FULL, errno.EACCES, errno.EFBIG, errno.EIO, errno.EPERM, errno.EROFS})

#: The endings that a repair can mend.
_REPAIRABLE: Final = (Ending.NEVER_CLOSED, Ending.CUT_OFF)

#: The constant rates of cameras, screens and film. A variable rate is mostly guessed right.
_RATES: Final = (24, 25, 30, 50, 60)

#: Frames that follow each other faster are no film.
_HIGHEST_RATE: Final = 120

#: For editors: a quality that survives being encoded again, and a key frame in each second.
_EDITING_CRF: Final = 16
_EDITING_KEY_FRAMES_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user wants otherwise than the preset; None leaves it to that."""

    most_bytes: int | None = None
    loudness_lufs: float | None = None
    #: `MIX`, `ALL`, or the audio tracks, each as the numbers of those that are mixed in it, from 0.
    tracks: str | tuple[tuple[int, ...], ...] | None = None
    #: The picture fits into this size, or is exactly that.
    scale: tuple[int, int] | None = None
    exact_scale: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """The new file: its tracks, and what the user should know about it."""

    path: Path
    size_bytes: int
    streams: tuple[StreamReport, ...]
    loudness: tuple[TrackLoudness, ...]
    notes: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        return max((stream.start_s + stream.duration_s for stream in self.streams), default=0.0)

    @property
    def picture(self) -> StreamReport | None:
        return next((stream for stream in self.streams if stream.kind == "video"), None)

    def as_json(self) -> dict[str, Any]:
        """Return the keys that scripts rely on, in their order."""
        return {
            "path": str(self.path.absolute()),
            "container": self.path.suffix[1:].lower(),
            "duration_s": round(self.duration_s, 3),
            "size_bytes": self.size_bytes,
            "streams": [stream.as_json() for stream in self.streams],
            "loudness_lufs": [
                round(each.after.integrated_lufs, 1) for each in self.loudness if each.after.is_measurable
            ],
            "notes": list(self.notes),
        }


def export(
    path: Path,
    name: str,
    preset: Preset,
    output: Path | None = None,
    wishes: Wishes = Wishes(),
    *,
    limits: bool = True,
    on_progress: OnProgress = unwatched,
) -> Exported:
    """Write the recording at `path` as `preset` wants it to `output`, or beside it under the next free name.

    That name is `name` after the recording's. An existing file is never replaced, and the recording never changes.
    With `limits`, files whose headers claim too much are refused (`headers`).

    Raises `UsageError` if it cannot become that, or `output` exists; `RecordingError` if it does not play;
    `OutputError` when the new file cannot be written.
    """
    size_bytes_of(path)
    if is_being_recorded(path):
        raise UsageError(f"{path} is being recorded", "export it when it is finished")
    found = check(path, listen=False, limits=limits, on_progress=part_of(on_progress, 0.0, _CHECK_SHARE))
    if not found.plays or found.beyond_limits:
        raise RecordingError(f"{path} cannot be exported: {found.problems[0]}", _instead(found))
    if limits and (excess := excess_of(found)):
        raise RecordingError(f"{path} cannot be exported: {excess}", TRUST)
    order = _order(path, preset, found, output, wishes)
    target = fitted(path.with_name(path.stem), f"-{name}.{order.form}") if output is None else output
    if output is not None and os.path.lexists(output):
        raise UsageError(f"{output} exists already", "name another file")
    rest = part_of(on_progress, _CHECK_SHARE, 1.0)
    try:
        with scratch_folder(target.absolute().parent) as folder:
            transcoding = Transcoding(path.resolve(), found, folder, rest)
            try:
                made = transcoding.run(order)
            except UsageError as error:
                raise UsageError(error.message.replace(str(path.resolve()), str(path)), error.remedy) from error
            except OutputError as error:
                raise OutputError(f"{target} was not written: {error.message}", error.remedy) from error
            except RecordingError as error:
                raise RecordingError(f"{path} cannot be exported: {error.message}", error.remedy) from error
            copy_mode(path, made)
            size_bytes = made.stat().st_size
            saved = under_free_name(made, target, chosen=output is not None)
    except (OSError, av.FFmpegError) as error:
        if isinstance(error, av.FFmpegError) and error.errno not in _OF_DISKS:
            raise RecordingError(f"{path} cannot be exported ({error.strerror})", "see capture check") from error
        raise explained(error, target) from error
    notes = tuple(_notes(order, found, transcoding))
    return Exported(saved, size_bytes, transcoding.streams, transcoding.loudness, notes)


def _instead(found: CheckReport) -> str:
    if found.beyond_limits:
        # The problem says what to do.
        return ""
    return "run capture repair on it first" if found.ending in _REPAIRABLE else "see capture check"


def _order(path: Path, preset: Preset, found: CheckReport, output: Path | None, wishes: Wishes) -> Order:
    """Return what to make of the recording. Raises `UsageError` when that is impossible."""
    picture, heard = found.picture, found.heard
    form = _form(path, preset, output, has_picture=picture is not None, has_sound=bool(heard))
    tracks: tuple[tuple[int, ...], ...] = ()
    if form not in ANIMATIONS:
        usual = MIX if preset.mixes_tracks else ALL
        tracks = _tracks(path, form, usual if wishes.tracks is None else wishes.tracks, found, heard)
    shows = picture is not None and form not in ANIMATIONS and CONTAINERS[form].holds_video
    if not shows and not tracks and form not in ANIMATIONS:
        raise UsageError(f"there would be nothing in a .{form} file without sound", "drop --tracks none")
    editing = preset.for_editing and shows
    return Order(
        form,
        wishes.most_bytes if wishes.most_bytes is not None else preset.most_bytes,
        most_size=wishes.scale or preset.most_size,
        turns_size=wishes.scale is None,
        exact_size=wishes.exact_scale,
        loudness_lufs=wishes.loudness_lufs if wishes.loudness_lufs is not None else preset.loudness_lufs,
        takes_b_frames=preset.takes_b_frames,
        style=Style(
            tracks=tracks,
            voice=preset.voice,
            for_others=True,
            constant_fps=_rate(path, picture) if editing and picture is not None else None,
            key_frames_s=_EDITING_KEY_FRAMES_S if editing else None,
            bt709=editing,
            crf=_EDITING_CRF if editing else Style().crf,
        ),
    )


def _form(path: Path, preset: Preset, output: Path | None, *, has_picture: bool, has_sound: bool) -> str:
    """Return the extension of the new file. Raises `UsageError` when the recording cannot become one."""
    possible = [*(preset.endings if has_picture else ()), *(preset.sound_endings if has_sound else ())]
    if not possible:
        what = "picture" if has_sound else "sound"
        raise UsageError(
            f"{path} has no {what} to export for that", "capture export --list says what each preset makes"
        )
    if output is None:
        return possible[0]
    form = output.suffix[1:].lower()
    if form not in possible:
        *others, last = (f".{ending}" for ending in possible)
        known = f"{', '.join(others)} or {last}" if others else last
        raise UsageError(f"{output} is not a file that this preset makes of {path}", f"end its name in {known}")
    return form


def _tracks(
    path: Path, form: str, wanted: str | tuple[tuple[int, ...], ...], found: CheckReport, heard: list[int]
) -> tuple[tuple[int, ...], ...]:
    """Return the audio tracks of the new file. Raises `UsageError` for one that is not there, or too many."""
    if wanted == MIX:
        return (tuple(heard),) if heard else ()
    tracks = tuple((number,) for number in heard) if isinstance(wanted, str) else wanted
    count = len(found.sounds)
    for number in (number for mixed in tracks for number in mixed):
        if number >= count:
            have = "is no audio track" if not count else "is one" if count == 1 else f"are audio tracks 1 to {count}"
            raise UsageError(f"there is no audio track {number + 1} in {path}", f"there {have}")
        if number not in heard:
            raise UsageError(f"audio track {number + 1} of {path} is empty", "leave it out of --tracks")
    most = CONTAINERS[form].max_audio_tracks
    if len(tracks) > most and wanted != ALL:
        raise UsageError(
            f"a .{form} file has {most} audio track{'s' * (most > 1)}, not {len(tracks)}",
            f"mix them, as in --tracks {'+'.join(str(number + 1) for mixed in tracks for number in mixed)}",
        )
    # Where there is room for one track alone, nothing is left out.
    return tracks if len(tracks) <= most else (tuple(heard),)


def _rate(path: Path, picture: StreamReport) -> Fraction:
    """Return the constant rate for a picture: its own, or the usual one that is nearest to what FFmpeg guesses."""
    if picture.constant_fps is not None and 1 <= picture.constant_fps <= _HIGHEST_RATE:
        return Fraction(picture.constant_fps).limit_denominator(1001)
    with opened(path) as container:
        guess = float(container.streams.video[0].guessed_rate or 30)
    return Fraction(min(_RATES, key=lambda rate: abs(rate - guess)))


def _notes(order: Order, found: CheckReport, transcoding: Transcoding) -> Iterator[str]:
    """Yield what the user should know about the new file."""
    made = next((track for track in transcoding.streams if track.kind == "video"), None)
    copied = transcoding.copied_sounds
    if (transcoding.copies_picture or made is None) and copied == (True,) * len(order.style.tracks or ()):
        yield "it already fits: copied"
    elif transcoding.copies_picture:
        yield "the picture already fits: copied"
    elif any(copied):
        yield "the sound already fits: copied"
    wanted = transcoding.wanted_size
    if made is not None and wanted is not None and (made.width, made.height) != wanted and order.limit_bytes:
        yield f"shrunk to {made.width}x{made.height} to fit into {as_limit(order.limit_bytes)}"
    if found.ending is not Ending.WHOLE:
        yield f"the recording is not complete: {found.problems[0]}"
    if transcoding.undecodable:
        packets = f"{transcoding.undecodable} packet{'' if transcoding.undecodable == 1 else 's'}"
        yield f"{packets} of the picture cannot be decoded; it is frozen there"
    yield from (f"loudness: {each}" for each in transcoding.loudness if each.note)
