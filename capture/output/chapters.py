"""Turns the marks of a recording into chapters, which players show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from capture.events import Event
from capture.output.muxer import Chapter

__all__ = ["chapters_between", "title_of"]

#: The title of the chapter before the first mark.
BEGINNING: Final = "Beginning"


def title_of(text: str, number: int) -> str:
    """Return the title of mark number `number`: its text with spaces for control characters, or `Mark 7`."""
    name = "".join(char if char.isprintable() else " " for char in text).strip()
    return name or f"Mark {number}"


def chapters_between(marks: Iterable[Event], length_s: float) -> list[Chapter]:
    """Return the chapters between the marks, in order, the first one from the start of the recording.

    Marks at the same moment, like those made in a pause, share one chapter: an empty chapter spoils its neighbours.
    """
    end_ms = round(length_s * 1000)
    titles: dict[int, str] = {}
    for mark in marks:
        at_ms = round(mark.at_s * 1000)
        if at_ms < end_ms:
            titles[at_ms] = f"{titles[at_ms]}, {mark.detail}" if at_ms in titles else mark.detail
    if not titles:
        return []
    named = titles if 0 in titles else {0: BEGINNING, **titles}
    ends_ms = [*list(named)[1:], end_ms]
    return [
        Chapter(title, at_ms / 1000, to_ms / 1000) for (at_ms, title), to_ms in zip(named.items(), ends_ms, strict=True)
    ]
