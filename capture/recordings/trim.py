"""Trims a finished recording: exact to the sample and to the frame, and what is cut away is no longer in the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from capture.errors import RecordingError, UsageError
from capture.formats import container_of
from capture.media import SAMPLE_RATE
from capture.recordings.opening import patience_s
from capture.recordings.parts import Span, moved_chapters, parts_without
from capture.recordings.pauses import Silence, long_pauses
from capture.recordings.progress import OnProgress, part_of, unwatched
from capture.recordings.rewrite import chapters_of, opened
from capture.recordings.splice import Made, Plan, splice, spliceable

__all__ = ["trim"]

#: Lengths are shown to the millisecond, so a time may be this far behind the end.
_ROUNDED_S: Final = 0.001

#: A cut up to this near the end goes to the end: the last packet of sound may be longer than what is heard of it.
_TAIL_S: Final = 0.05

#: How much of the work it is to look for silence.
_LISTEN_SHARE: Final = 0.5

_DOING: Final = "trimmed"


def trim(
    path: Path,
    output: Path,
    from_s: float = 0.0,
    to_s: float | None = None,
    on_progress: OnProgress = unwatched,
    *,
    cuts: Sequence[tuple[float, float]] = (),
    silence: Silence | None = None,
    limits: bool = True,
) -> Made:
    """Write the recording at `path` from `from_s` to `to_s`, None for its end, to `output`, without the `cuts`.

    Cuts are from one moment to another; with `silence`, what is silent for long is cut, too. `output` may be `path`
    itself, which is replaced once the new file was checked; any other file stays. Chapters move along. With `limits`,
    a file that would take out of all proportion to its length is refused (`headers`, `proportion`). Raises
    `UsageError` for times that are not within the recording, cuts that leave nothing, an `output` that exists or is of
    another format; `RecordingError` if there is no recording in the file, it is incomplete, or of a kind that cannot be
    trimmed; `OutputError` when the new file cannot be written. Then nothing has changed.
    """
    found = spliceable(path, _DOING, limits=limits)
    length_s = found.duration_s or 0.0
    stop_s = _checked_end_s(path, length_s, from_s, to_s)
    spans = [_checked_cut(path, length_s, *cut) for cut in cuts]
    if container_of(output) != container_of(path):
        raise UsageError(f"{output} is of another format than {path}", f"end its name in {path.suffix}")
    if os.path.lexists(output) and not (output.exists() and output.samefile(path)):
        raise UsageError(f"{output} exists already", "name another file with -o")
    begin, length = _samples(from_s), _samples(length_s)
    end = None if stop_s is None else _samples(stop_s)
    if silence is not None:
        if not any(track.kind == "audio" for track in found.tracks):
            raise UsageError(f"{path} has no sound", "drop --silence")
        watched = part_of(on_progress, 0.0, _LISTEN_SHARE)
        on_progress = part_of(on_progress, _LISTEN_SHARE, 1.0)
        try:
            spans += long_pauses(path, begin, length if end is None else end, silence, watched, limits=limits)
        except RecordingError as error:
            raise RecordingError(f"{path} cannot be {_DOING}: {error.message}", error.remedy) from error
    parts = parts_without(path, begin, end, spans, length)
    if not parts:
        raise UsageError(f"nothing of {path} would be left", "cut less of it")
    if len(parts) == 1 and (parts[0].begin, parts[0].end) == (0, None):
        raise UsageError(f"nothing of {path} would be cut away", _nothing_cut(length_s, silence))
    with opened(path, timeout_s=patience_s(limits)) as container:
        metadata, chapters = dict(container.metadata), chapters_of(container)
    kept = sum((length if part.end is None else part.end) - part.begin for part in parts)
    kinds, moved = [track.kind for track in found.tracks], moved_chapters(chapters, parts)
    plan = Plan(kinds, parts, kept / SAMPLE_RATE, metadata, moved, limits)
    return splice(plan, output, _DOING, on_progress)


def _samples(at_s: float) -> int:
    return round(at_s * SAMPLE_RATE)


def _nothing_cut(length_s: float, silence: Silence | None) -> str:
    if silence is not None:
        return f"it is nowhere below {silence.threshold_dbfs:g} dB for longer than {silence.rest_s:g} s"
    return f"it is {length_s:.3f} s long: give --from, --to or --cut within that"


def _checked_end_s(path: Path, length_s: float, from_s: float, to_s: float | None) -> float | None:
    """Return the end of the part, None for that of the recording. Raises `UsageError` unless it is within that."""
    is_long = f"it is {length_s:.3f} s long"
    if from_s >= length_s:
        raise UsageError(f"a part from {from_s:g} s is not within {path}", is_long)
    if to_s is not None and to_s > length_s + _ROUNDED_S:
        raise UsageError(f"a part to {to_s:g} s is not within {path}", is_long)
    if to_s is not None and to_s <= from_s:
        raise UsageError(f"the part from {from_s:g} s to {to_s:g} s would be empty", "give a later --to")
    return None if to_s is None or to_s >= length_s - _ROUNDED_S else to_s


def _checked_cut(path: Path, length_s: float, from_s: float, to_s: float) -> Span:
    """Return a cut in samples. Raises `UsageError` unless it is within the recording."""
    if to_s <= from_s:
        raise UsageError(f"the cut from {from_s:g} s to {to_s:g} s would be empty", "write the earlier time first")
    if to_s > length_s + _ROUNDED_S:
        raise UsageError(f"a cut from {from_s:g} s to {to_s:g} s is not within {path}", f"it is {length_s:.3f} s long")
    return Span(_samples(from_s), _samples(length_s if to_s >= length_s - _TAIL_S else to_s))
