"""Trims a finished recording: exact to the sample and to the frame, and what is cut away is no longer in the file.

What can be copied is copied (`trimmed_picture`, `trimmed_sound`); no player has to skip pictures. The new file grows in
a hidden folder and is checked before it gets its name.
"""

from __future__ import annotations

import heapq
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from capture.errors import CaptureError, OutputError, RecordingError, UsageError
from capture.formats import ENCODERS, container_of
from capture.output.chapters import Chapter
from capture.output.file_size import limit_remedy
from capture.output.locked_file import is_being_recorded
from capture.output.muxer import Muxer
from capture.recordings.check import CheckReport, check, size_bytes_of
from capture.recordings.glance import glance
from capture.recordings.overview import Glance, State
from capture.recordings.progress import OnProgress, part_of, unwatched
from capture.recordings.rewrite import chapters_of, opened, tracks_of
from capture.recordings.scratch import scratch_folder
from capture.recordings.structure import Ending
from capture.recordings.trimmed_picture import TrimmedPicture
from capture.recordings.trimmed_sound import trimmed_sound
from capture.system.durable import publish
from capture.system.private_files import copy_mode

__all__ = ["Trimmed", "trim"]

#: Lengths are shown to the millisecond, so a time may be this far behind the end.
_ROUNDED_S: Final = 0.001

#: How much of the work the check of the new file is.
_CHECK_SHARE: Final = 0.2


class Trimmed(NamedTuple):
    """The new file and its length."""

    path: Path
    duration_s: float


def trim(
    path: Path, output: Path, from_s: float = 0.0, to_s: float | None = None, on_progress: OnProgress = unwatched
) -> Trimmed:
    """Write the part of the recording at `path` from `from_s` to `to_s`, None for its end, to `output`.

    `output` may be `path` itself, which is replaced once the new file was checked; any other file stays. Chapters move
    along. Raises `UsageError` for times that are not within the recording, an `output` that exists or is of another
    format; `RecordingError` if there is no recording in the file, it is incomplete, or of a kind that cannot be
    trimmed; `OutputError` when the new file cannot be written. Then nothing has changed.
    """
    size_bytes_of(path)
    if is_being_recorded(path):
        raise UsageError(f"{path} is being recorded", "trim it when it is finished")
    found = glance(path)
    length_s = _length_s(path, found)
    stop_s = _checked_end_s(path, length_s, from_s, to_s)
    kind = container_of(path)
    if container_of(output) != kind:
        raise UsageError(f"{output} is of another format than {path}", f"end its name in {path.suffix}")
    replaces = output.exists() and output.samefile(path)
    if os.path.lexists(output) and not replaces:
        raise UsageError(f"{output} exists already", "name another file with -o")
    # Replace the target of a link, not the link itself.
    target = output.resolve() if replaces else output.absolute()
    new = target
    try:
        with scratch_folder(target.parent) as folder:
            new = folder / target.name
            part_s = (length_s if stop_s is None else stop_s) - from_s
            _write(path, new, from_s, stop_s, part_s, part_of(on_progress, 0.0, 1.0 - _CHECK_SHARE))
            report = check(new, listen=False, limits=False, on_progress=part_of(on_progress, 1.0 - _CHECK_SHARE, 1.0))
            if report.problems and not _had_as_many(path, report):
                raise OutputError(f"the new file is damaged: {report.problems[0]}")
            if len(report.streams) != len(found.tracks):
                raise OutputError(f"the new file has {len(report.streams)} tracks instead of {len(found.tracks)}")
            copy_mode(path, new)
            publish(new, target)
    except OutputError as error:
        raise OutputError(f"{output} was not written: {error.message.replace(str(new), 'it')}", error.remedy) from error
    except RecordingError as error:
        raise RecordingError(f"{path} cannot be trimmed: {error.message}", error.remedy) from error
    except (OSError, av.FFmpegError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        remedy = limit_remedy(error, target.parent, "check the free space and the permissions of the folder")
        raise OutputError(f"{output} cannot be written ({reason})", remedy) from error
    return Trimmed(output, report.duration_s)


def _had_as_many(path: Path, report: CheckReport) -> bool:
    """Whether the recording itself had problems, such as tracks that do not begin together."""
    return report.ending is Ending.WHOLE and len(report.problems) <= len(check(path, listen=False).problems)


def _length_s(path: Path, found: Glance) -> float:
    """Return how long the recording at `path` is. Raises `RecordingError` if it cannot be trimmed."""
    if found.state is State.UNFINISHED:
        raise RecordingError(f"{path} cannot be trimmed: {found.problem}", "run capture repair on it first")
    if found.state is not State.WHOLE or not found.duration_s:
        raise RecordingError(f"{path} cannot be trimmed: {found.problem or 'it has no length'}", "see capture check")
    for track in found.tracks:
        if track.kind == "video" and track.codec not in ENCODERS:
            raise RecordingError(f"{path} cannot be trimmed: its picture is {track.codec}", "trim it in an editor")
    return found.duration_s


def _checked_end_s(path: Path, length_s: float, from_s: float, to_s: float | None) -> float | None:
    """Return the end of the part, None for that of the recording. Raises `UsageError` unless it is within that."""
    is_long = f"it is {length_s:.3f} s long"
    if from_s >= length_s:
        raise UsageError(f"a part from {from_s:g} s is not within {path}", is_long)
    if to_s is not None and to_s > length_s + _ROUNDED_S:
        raise UsageError(f"a part to {to_s:g} s is not within {path}", is_long)
    if to_s is not None and to_s <= from_s:
        raise UsageError(f"a part from {from_s:g} s to {to_s:g} s is none", "give a later --to")
    end_s = None if to_s is None or to_s >= length_s - _ROUNDED_S else to_s
    if end_s is None and from_s == 0:
        raise UsageError(f"nothing of {path} would be cut away", f"{is_long}: give --from or --to within that")
    return end_s


def _write(path: Path, new: Path, from_s: float, to_s: float | None, part_s: float, on_progress: OnProgress) -> None:
    muxer = Muxer(new, container_of(new))
    try:
        with ExitStack() as stack:
            # Each track is read on its own: a seek finds another place for each.
            source = stack.enter_context(opened(path))
            tracks: list[Any] = []
            for place in range(len(tracks_of(source))):
                container = stack.enter_context(opened(path))
                own = tracks_of(container)[place]
                if isinstance(own, VideoStream):
                    tracks.append(TrimmedPicture(container, own, from_s, to_s))
                elif isinstance(own, AudioStream):
                    tracks.append(trimmed_sound(path, container, own, from_s, to_s))
            muxer.start([track.template for track in tracks], source.metadata, crash_safe=False)
            on_progress(0.0)
            due_s = 0.0
            for at_s, place, packet in heapq.merge(*map(_placed, range(len(tracks)), tracks), key=_moment):
                muxer.write(place, packet, part_s)
                if at_s >= due_s:
                    on_progress(at_s / part_s)
                    due_s = at_s + part_s / 200
            muxer.close(_moved(chapters_of(source, math.inf if to_s is None else to_s), from_s))
        muxer.hand_over()
    except BaseException:
        with suppress(CaptureError, OSError):
            muxer.discard()
        raise


def _placed(place: int, track: Any) -> Iterator[tuple[float, int, av.Packet[Any]]]:
    # To ask each packet for its unit would take a third of the time.
    unit_s = float(track.unit_s)
    for packet in track.packets():
        yield packet.dts * unit_s, place, packet


def _moment(item: tuple[float, int, Any]) -> float:
    return item[0]


def _moved(chapters: list[Chapter], from_s: float) -> list[Chapter]:
    """Return the chapters of a part that begins at `from_s`."""
    return [
        Chapter(each.title, max(0.0, each.start_s - from_s), each.end_s - from_s)
        for each in chapters
        if each.end_s > from_s
    ]
