"""Turns the marks of a recording into chapters, which players show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any, Final, NamedTuple

from capture.events import Event
from capture.output.letters import cut

__all__ = [
    "BEGINNING",
    "IN_HEADER",
    "WITH_CHAPTERS",
    "Chapter",
    "as_ffmpeg",
    "chapters_between",
    "fitted_chapters",
    "put_in_header",
    "title_of",
]

#: The formats for which FFmpeg takes chapters after all packets. WAV gets them behind the samples (`wav_cues`).
WITH_CHAPTERS: Final = frozenset({"mp4", "mov", "ipod", "matroska", "webm"})

#: Those that hold them before all packets: in the comments of Ogg and FLAC, and in the ID3 tag of MP3.
_IN_COMMENTS: Final = frozenset({"ogg", "flac"})
IN_HEADER: Final = _IN_COMMENTS | {"mp3"}

#: Comments number chapters with three digits.
_MOST_NUMBERED: Final = 999

#: The list of chapters in an MP4, MOV or M4A (`chpl`) counts them, and the bytes of each title, in one byte.
_OF_MP4: Final = frozenset({"mp4", "mov", "ipod"})
_MOST: Final = 255

#: A voice note has the tags that messengers write.
_OF_VOICE_NOTES: Final = "a voice note holds no chapters: record to .m4a, .flac or .wav to keep them"

_KEEPS: Final = "record to .mkv to keep everything"

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


def fitted_chapters(chapters: Sequence[Chapter], form: str, *, voice: bool = False) -> tuple[list[Chapter], str]:
    """Return what a file of FFmpeg's format `form` can hold of the chapters, and what it cannot, "" if nothing.

    `voice` says that its sound is encoded as messengers do.
    """
    if chapters and voice and form == "ogg":
        return [], _OF_VOICE_NOTES
    if form in _IN_COMMENTS and len(chapters) > _MOST_NUMBERED:
        return list(chapters[:_MOST_NUMBERED]), f"{_left_out(chapters, _MOST_NUMBERED)}: {_KEEPS}"
    if form not in _OF_MP4:
        return list(chapters), ""
    kept = [chapter._replace(title=_shortened(chapter.title)) for chapter in chapters[:_MOST]]
    cut = sum(short.title != whole.title for short, whole in zip(kept, chapters, strict=False))
    notes = []
    if len(chapters) > _MOST:
        notes.append(_left_out(chapters, _MOST))
    if cut:
        notes.append(f"long titles of chapters ({cut}) were cut to {_MOST} bytes")
    return kept, f"{' and '.join(notes)}: {_KEEPS}" if notes else ""


def put_in_header(container: Any, chapters: Sequence[Chapter], form: str) -> None:
    """Give PyAV's output `container`, of FFmpeg's format `form`, its chapters before it starts if it has them there.

    In Ogg and FLAC they are comments (`CHAPTER001=00:01:30.500`, `CHAPTER001NAME=…`), which are written here: FFmpeg
    writes none into FLAC, and into Ogg those that begin in the second half of a second a second late.
    """
    if chapters and form == "mp3":
        container.set_chapters(as_ffmpeg(chapters))
    elif form in _IN_COMMENTS:
        for number, chapter in enumerate(chapters, 1):
            seconds, thousandths = divmod(round(chapter.start_s * 1000), 1000)
            hours, minutes = seconds // 3600, seconds // 60 % 60
            name = f"CHAPTER{number:03d}"
            container.metadata[name] = f"{hours:02d}:{minutes:02d}:{seconds % 60:02d}.{thousandths:03d}"
            container.metadata[f"{name}NAME"] = chapter.title


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


def _left_out(chapters: Sequence[Chapter], most: int) -> str:
    return f"the last {len(chapters) - most} of {len(chapters)} chapters do not fit into the file"


def _shortened(title: str) -> str:
    """Return the title cut to what fits, with an ellipsis."""
    return title if _size_bytes(title) <= _MOST else f"{cut(title, _MOST - _size_bytes('…'), _size_bytes)}…"


def _size_bytes(text: str) -> int:
    return len(text.encode())
