"""Joins finished recordings into one file: exact to the sample, with a chapter for each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from capture.errors import RecordingError, UsageError
from capture.formats import container_of
from capture.media import SAMPLE_RATE
from capture.output.chapters import Chapter
from capture.output.letters import text_of_name
from capture.recordings.check import check
from capture.recordings.headers.bounds import TRUST
from capture.recordings.opening import patience_s
from capture.recordings.overview import Glance
from capture.recordings.parts import Part
from capture.recordings.progress import OnProgress, part_of, unwatched
from capture.recordings.proportion import excess_of
from capture.recordings.rewrite import chapters_of, opened, zero_s
from capture.recordings.splice import Made, Plan, splice, spliceable

__all__ = ["join"]

_DOING: Final = "joined"

#: How much of the work it is to measure the recordings.
_MEASURE_SHARE: Final = 0.2


def join(paths: Sequence[Path], output: Path, on_progress: OnProgress = unwatched, *, limits: bool = True) -> Made:
    """Write the recordings at `paths`, one after the other, to `output`, which does not exist.

    Where packets of all of them can follow each other they are copied, otherwise encoded again in the form of the first
    one. A track that ends before the others of its recording is continued: sound by silence, a picture by itself. Each
    recording begins a chapter. With `limits`, files that would take out of all proportion to their length are refused
    (`headers`, `proportion`). Raises `UsageError` when there are fewer than two, for pictures of different sizes and
    other tracks, and for an `output` that exists or of another format than the first; `RecordingError` if one of them
    is none, is incomplete or of a kind that cannot be joined; `OutputError` when the new file cannot be written.
    """
    if len(paths) < 2:
        raise UsageError("only one recording was given", "name two or more, in their order")
    found = [spliceable(path, _DOING, limits=limits) for path in paths]
    for path, one in zip(paths, found, strict=True):
        _check_alike(paths[0], found[0], path, one)
    if container_of(output) != container_of(paths[0]):
        raise UsageError(f"{output} is of another format than {paths[0]}", f"end its name in {paths[0].suffix}")
    if os.path.lexists(output):
        raise UsageError(f"{output} exists already", "name another file with -o")
    begins, parts, chapters = [0], [], []
    for number, (path, one) in enumerate(zip(paths, found, strict=True), 1):
        watched = part_of(on_progress, *(_MEASURE_SHARE * count / len(paths) for count in (number - 1, number)))
        length = _length(path, watched, limits)
        # The last one may end as it does.
        parts.append(Part(path, 0, length if number < len(paths) else None))
        chapters += _chapters(path, one.title, begins[-1], begins[-1] + length, limits)
        begins.append(begins[-1] + length)
    with opened(paths[0], timeout_s=patience_s(limits)) as container:
        metadata = dict(container.metadata)
    plan = Plan([track.kind for track in found[0].tracks], parts, begins[-1] / SAMPLE_RATE, metadata, chapters, limits)
    return splice(plan, output, _DOING, part_of(on_progress, _MEASURE_SHARE, 1.0))


def _check_alike(first_path: Path, first: Glance, path: Path, found: Glance) -> None:
    """Raise `UsageError` unless the tracks of a recording can continue those of the first one."""
    kinds, others = [track.kind for track in first.tracks], [track.kind for track in found.tracks]
    if kinds != others:
        raise UsageError(
            f"{path} has {_counted(others)}, but {first_path} has {_counted(kinds)}",
            "join recordings with the same tracks",
        )
    for one, other in zip(first.tracks, found.tracks, strict=True):
        if (one.width, one.height) != (other.width, other.height):
            raise UsageError(
                f"the picture of {path} is {other.width}x{other.height}, that of {first_path} {one.width}x{one.height}",
                "bring them to one size first",
            )


def _counted(kinds: Sequence[str]) -> str:
    named = [
        f"{count} {name}{'s' if count > 1 else ''}"
        for kind, name in (("video", "picture"), ("audio", "audio track"))
        if (count := kinds.count(kind))
    ]
    return " and ".join(named)


def _length(path: Path, on_progress: OnProgress, limits: bool) -> int:
    """Return how long a recording is, in samples: up to the end of its longest track.

    Raises `RecordingError` for one that is out of all proportion.
    """
    with opened(path, timeout_s=patience_s(limits)) as container:
        begins_s = zero_s(container)
    report = check(path, listen=False, limits=limits, by_index=True, on_progress=on_progress)
    if report.beyond_limits:
        raise RecordingError(f"{path} cannot be {_DOING}: {report.problems[0]}")
    if limits and (excess := excess_of(report)):
        raise RecordingError(f"{path} cannot be {_DOING}: {excess}", TRUST)
    ends_s = max((track.start_s + track.duration_s for track in report.streams), default=begins_s)
    return round((ends_s - begins_s) * SAMPLE_RATE)


def _chapters(path: Path, title: str, begin: int, end: int, limits: bool) -> list[Chapter]:
    """Return the chapters of a recording that is between two samples of the new file; the first begins there."""
    begin_s, length_s = begin / SAMPLE_RATE, (end - begin) / SAMPLE_RATE
    with opened(path, timeout_s=patience_s(limits)) as container:
        own = chapters_of(container, length_s)
    if not own or own[0].start_s > 0:
        own.insert(0, Chapter(title or text_of_name(path.stem), 0.0, own[0].start_s if own else length_s))
    return [Chapter(each.title, begin_s + each.start_s, begin_s + each.end_s) for each in own]
