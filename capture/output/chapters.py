"""Turns the marks of a recording into chapters, which players show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

from capture.events import Event
from capture.output.letters import cut

__all__ = ["WITH_CHAPTERS", "Chapter", "as_ffmpeg", "chapters_between", "fitted_chapters", "title_of"]

#: The formats that hold chapters. They accept them after all packets.
WITH_CHAPTERS: Final = frozenset({"mp4", "mov", "ipod", "matroska", "webm"})

#: The list of chapters in an MP4, MOV or M4A (`chpl`) counts them, and the bytes of each title, in one byte.
_OF_MP4: Final = frozenset({"mp4", "mov", "ipod"})
_MOST: Final = 255

#: The title of the chapter before the first mark.
BEGINNING: Final = "Beginning"


class Chapter(NamedTuple):
    """A named stretch of a recording, in seconds of media time."""

    title: str
    start_s: float
    end_s: float


def title_of(text: str, number: int) -> str:
    """Return the title of mark number `number`: its text with spaces for control characters, or `Mark 7`."""
    name = "".join(char if char.isprintable() else " " for char in text).strip()
    return name or f"Mark {number}"


def chapters_between(marks: Iterable[Event], length_s: float, from_s: float = 0.0) -> list[Chapter]:
    """Return the chapters between the marks, in order, the first one from the start of a file of this length.

    The file starts at `from_s` in the time of the marks; earlier ones are left out.
    Marks at the same moment, like those made in a pause, share one chapter: an empty chapter spoils its neighbours.
    """
    end_ms = round(length_s * 1000)
    titles: dict[int, str] = {}
    for mark in marks:
        at_ms = round((mark.at_s - from_s) * 1000)
        if mark.at_s >= from_s and at_ms < end_ms:
            titles[at_ms] = f"{titles[at_ms]}, {mark.detail}" if at_ms in titles else mark.detail
    if not titles:
        return []
    named = titles if 0 in titles else {0: BEGINNING, **titles}
    ends_ms = [*list(named)[1:], end_ms]
    return [
        Chapter(title, at_ms / 1000, to_ms / 1000) for (at_ms, title), to_ms in zip(named.items(), ends_ms, strict=True)
    ]


def fitted_chapters(chapters: Sequence[Chapter], form: str) -> tuple[list[Chapter], str]:
    """Return what a file of FFmpeg's format `form` can hold of the chapters, and what it cannot, "" if nothing."""
    if form not in _OF_MP4:
        return list(chapters), ""
    kept = [chapter._replace(title=_shortened(chapter.title)) for chapter in chapters[:_MOST]]
    cut = sum(short.title != whole.title for short, whole in zip(kept, chapters, strict=False))
    notes = []
    if len(chapters) > _MOST:
        notes.append(f"the last {len(chapters) - _MOST} of {len(chapters)} chapters do not fit into the file")
    if cut:
        notes.append(f"long titles of chapters ({cut}) were cut to {_MOST} bytes")
    return kept, f"{' and '.join(notes)}: record to .mkv to keep everything" if notes else ""


def as_ffmpeg(chapters: Iterable[Chapter]) -> list[Any]:
    """Return the chapters in the form that PyAV takes."""
    return [
        {
            "id": number,
            "start": round(chapter.start_s * 1000),
            "end": round(chapter.end_s * 1000),
            "time_base": Fraction(1, 1000),
            "metadata": {"title": chapter.title},
        }
        for number, chapter in enumerate(chapters, 1)
    ]


def _shortened(title: str) -> str:
    """Return the title cut to what fits, with an ellipsis."""
    return title if _size_bytes(title) <= _MOST else f"{cut(title, _MOST - _size_bytes('…'), _size_bytes)}…"


def _size_bytes(text: str) -> int:
    return len(text.encode())
