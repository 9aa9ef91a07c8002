"""Writes a new recording that is made of parts of others: for `trim` and `join`.

What can be copied is copied (`spliced_picture`, `spliced_sound`); no player has to skip pictures. The new file grows in
a hidden folder and is checked before it gets its name.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple

import av

from capture.errors import OutputError, RecordingError, UsageError
from capture.formats import ENCODERS, container_of
from capture.media import as_fraction
from capture.output.chapters import Chapter
from capture.output.file_size import limit_remedy
from capture.output.free_name import under_free_name
from capture.output.locked_file import is_being_recorded
from capture.recordings.check import CheckReport, check, size_bytes_of
from capture.recordings.glance import glance
from capture.recordings.mp4.assembly import Clock, Insertion, assemble
from capture.recordings.mp4.runs import Run, Store
from capture.recordings.overview import ANIMATIONS, Glance, State
from capture.recordings.parts import Part
from capture.recordings.progress import OnProgress, part_of
from capture.recordings.proportion import hold_headers, hold_length
from capture.recordings.rewrite import new_file
from capture.recordings.scratch import scratch_folder
from capture.recordings.spliced_picture import SplicedPicture
from capture.recordings.spliced_sound import SplicedTrack, spliced_sound
from capture.recordings.structure import Ending
from capture.system.durable import publish
from capture.system.private_files import copy_mode

__all__ = ["Made", "Plan", "splice", "spliceable"]

#: How much of the work the check of the new file is.
_CHECK_SHARE: Final = 0.2

#: How much of the rest it is to copy what is not read packet by packet.
_COPY_SHARE: Final = 0.1


class Plan(NamedTuple):
    """What to write: the kinds of the tracks (`video`, `audio`), parts that have these tracks, metadata, chapters."""

    kinds: Sequence[str]
    parts: Sequence[Part]
    length_s: float
    metadata: Mapping[str, str]
    chapters: Sequence[Chapter]
    #: Whether what is out of all proportion is refused (`proportion`).
    limits: bool = True


class Made(NamedTuple):
    """The new file and its length."""

    path: Path
    duration_s: float


def spliceable(path: Path, doing: str, *, limits: bool = True) -> Glance:
    """Look at the recording at `path`, to be `trimmed` or `joined`.

    Raises `UsageError` if there is none to be had yet, and `RecordingError` if it is incomplete or of another kind;
    with `limits`, also if its headers claim too much (`headers`).
    """
    size_bytes_of(path)
    if is_being_recorded(path):
        raise UsageError(f"{path} is being recorded", "wait until it is finished")
    cannot = f"{path} cannot be {doing}"
    try:
        if limits:
            hold_headers(path)
        found = glance(path, limits=False)
        if limits:
            hold_length(found.duration_s or 0.0)
    except RecordingError as error:
        raise RecordingError(f"{cannot}: {error.message}", error.remedy) from error
    if found.state is State.UNFINISHED:
        raise RecordingError(f"{cannot}: {found.problem}", "run capture repair on it first")
    if any(track.codec in ANIMATIONS for track in found.tracks):
        raise RecordingError(f"{cannot}: this is an animation, not a recording", "name a recording")
    if found.state is not State.WHOLE or not found.duration_s:
        raise RecordingError(f"{cannot}: {found.problem or 'it has no length'}", "see capture check")
    for track in found.tracks:
        if track.kind == "video" and track.codec not in ENCODERS:
            raise RecordingError(f"{cannot}: its picture is {track.codec}", "use a video editor")
    return found


def splice(plan: Plan, output: Path, doing: str, on_progress: OnProgress) -> Made:
    """Write what is planned to `output`, replacing the file that has this name now once the new one was checked.

    Raises `UsageError` if a file gets this name meanwhile, `RecordingError` for a recording that cannot be encoded
    again, and `OutputError` when the new file cannot be written. Then nothing has changed.
    """
    source = plan.parts[0].path
    replaces = os.path.lexists(output)
    # Replace the target of a link, not the link itself.
    target = output.resolve() if replaces else output.absolute()
    try:
        with scratch_folder(target.parent) as folder:
            # Not under the name that the user chose, which might be that of the other.
            new, written = (folder / f"{name}{target.suffix}" for name in ("new", "written"))
            _write(plan, new, written, part_of(on_progress, 0.0, 1.0 - _CHECK_SHARE))
            if not new.exists():
                raise OutputError("nothing was written")
            watched = part_of(on_progress, 1.0 - _CHECK_SHARE, 1.0)
            report = check(new, listen=False, limits=False, by_index=True, on_progress=watched)
            watched(1.0)
            if report.problems and not _had_as_many(plan, report):
                raise OutputError(f"the new file is damaged: {report.problems[0]}")
            if len(report.streams) != len(plan.kinds):
                raise OutputError(f"the new file has {len(report.streams)} tracks instead of {len(plan.kinds)}")
            # What was private stays so in a file that was joined from several.
            copy_mode(source, new, *dict.fromkeys(part.path for part in plan.parts))
            if replaces:
                publish(new, target)
            else:
                under_free_name(new, target, chosen=True)
    except OutputError as error:
        raise OutputError(f"{output} was not written: {error.message}", error.remedy) from error
    except RecordingError as error:
        raise RecordingError(f"{source} cannot be {doing}: {error.message}", error.remedy) from error
    except (OSError, av.FFmpegError) as error:
        reason = str(getattr(error, "strerror", None) or error)
        remedy = limit_remedy(error, target.parent, "check the free space and the permissions of the folder")
        raise OutputError(f"{output} cannot be written ({reason})", remedy) from error
    return Made(output, report.duration_s)


def _had_as_many(plan: Plan, report: CheckReport) -> bool:
    """Whether the recordings themselves had problems, such as tracks that do not begin together."""
    paths = dict.fromkeys(part.path for part in plan.parts)
    had = sum(len(check(path, listen=False).problems) for path in paths)
    return report.ending is Ending.WHOLE and len(report.problems) <= had


def _write(plan: Plan, new: Path, written: Path, on_progress: OnProgress) -> None:
    """Write what is planned to `new`; `written` is the path for a part of it."""
    kind = container_of(new)
    is_mp4 = kind.format in ("mp4", "mov", "ipod")
    insertions: list[Insertion] = []
    with ExitStack() as stack:
        store = Store(stack) if is_mp4 else None
        with new_file(written) as muxer:
            # Each track is read on its own: a seek finds another place for each.
            tracks: list[SplicedTrack] = [
                SplicedPicture(plan.parts, place, stack, store, is_mp4=is_mp4, limits=plan.limits)
                if name == "video"
                else spliced_sound(plan.parts, place, kind, stack, store, limits=plan.limits)
                for place, name in enumerate(plan.kinds)
            ]
            templates = [track.template for track in tracks]
            turns = [track.rotation if isinstance(track, SplicedPicture) else 0 for track in tracks]
            muxer.start(templates, plan.metadata, crash_safe=False, chapters=plan.chapters, rotations=turns)
            on_progress(0.0)
            watched = part_of(on_progress, 0.0, 1.0 - _COPY_SHARE)
            counts, begins = [0] * len(tracks), [0] * len(tracks)
            due_s = 0.0
            for at_s, place, packet in heapq.merge(*map(_placed, range(len(tracks)), tracks), key=itemgetter(0)):
                if isinstance(packet, Run):
                    insertions.append(Insertion(place, counts[place], packet))
                    continue
                if not counts[place]:
                    begins[place] = packet.dts or 0
                counts[place] += 1
                muxer.write(place, packet, plan.length_s)
                if at_s >= due_s:
                    watched(max(0.0, at_s) / plan.length_s)
                    due_s = at_s + plan.length_s / 200
            muxer.close(plan.chapters)
    if insertions:
        clocks = [Clock(as_fraction(track.unit_s), begin) for track, begin in zip(tracks, begins, strict=True)]
        assemble(written, insertions, clocks, new, part_of(on_progress, 1.0 - _COPY_SHARE, 1.0))
    elif written.exists():
        written.replace(new)


def _placed(place: int, track: SplicedTrack) -> Iterator[tuple[float, int, av.Packet[Any] | Run]]:
    # To ask each packet for its unit would take a third of the time.
    unit_s = float(track.unit_s)
    for packet in track.packets():
        at = int(packet.samples.times[0]) if isinstance(packet, Run) else packet.dts or 0
        yield at * unit_s, place, packet
