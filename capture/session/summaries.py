"""The last steps of a recording: cut the silence, normalise the loudness, lay out the file, and check it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from capture.errors import CaptureError, UsageError, in_one_line
from capture.events import Event, EventKind
from capture.formats import container_of
from capture.output.chapters import IN_HEADER, chapters_between, fitted_chapters
from capture.recordings.check import check
from capture.recordings.progress import OnProgress, unwatched
from capture.settings.record_settings import RecordSettings

__all__ = ["Verdict", "improve", "is_complete", "judge"]

#: How far apart tracks may end: what `check` accepts.
_TOLERANCE_S: Final = 0.5

#: Copying an hour of AAC takes 2.6 s of processor time, for which the user waits. Longer recordings stay in fragments.
_MOST_COPIED_S: Final = 7200.0


class Verdict(NamedTuple):
    """The result of checking a finished file: `words` are "ok" or the first problem."""

    duration_s: float
    words: str


def improve(
    path: Path,
    settings: RecordSettings,
    length_s: float,
    stopped_by: str,
    report: Callable[[EventKind, str], None],
    marks: Sequence[Event] = (),
    on_progress: OnProgress = unwatched,
) -> None:
    """Cut the silence at the end and normalise the loudness, as the settings ask; lay out an M4A in one piece.

    Add the chapters between the `marks` to a file that has them at its start. A failure leaves it as it is.
    `on_progress` learns the share of the normalising that is done.
    """
    try:
        if stopped_by == "silence" and settings.wants_video:
            from capture.recordings.cut import cut_end

            cut_end(path, length_s)
        if settings.loudness_lufs is not None:
            from capture.recordings.loudness import normalise

            found = normalise(path, settings.loudness_lufs, on_progress)
            report(EventKind.LOUDNESS, "loudness " + "; ".join(map(str, found)))
    except Exception as error:
        # No error here may cost the recording.
        report(EventKind.NOT_IMPROVED, f"the recording stays as it was recorded: {in_one_line(error)}")
    form = container_of(path).format
    chapters = fitted_chapters(chapters_between(marks, length_s), form, voice=settings.voice)[0]
    if form in IN_HEADER and chapters:
        from capture.recordings.contiguous import add_chapters

        try:
            add_chapters(path, chapters)
        except (CaptureError, OSError) as error:
            report(EventKind.CHAPTERS, f"the marks could not be added as chapters: {in_one_line(error)}")
    if form == "ipod" and length_s <= _MOST_COPIED_S:
        from capture.recordings.contiguous import make_contiguous

        # Nearly every player reads it as it is.
        with suppress(CaptureError, OSError):
            make_contiguous(path)


def is_complete(path: Path, reached_s: float) -> bool:
    """Whether the file at `path` is whole, up to the media time `reached_s`."""
    try:
        report = check(path, listen=False)
    except UsageError:
        return False
    return report.ok and report.duration_s >= reached_s - _TOLERANCE_S


def judge(path: Path, length_s: float) -> Verdict:
    """Check a finished recording; `length_s` is how long it should be, for a file that may not be read."""
    try:
        report = check(path, listen=False, limits=False)
    except UsageError as error:
        # The file exists, but this user may not read it.
        return Verdict(length_s, error.message)
    duration_s = max((stream.duration_s for stream in report.streams), default=0.0)
    return Verdict(duration_s, next(iter(report.problems), "ok"))
