"""The marks of a recording as what players show of them: chapters."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from capture.events import Event
from capture.output.muxer import Chapter

__all__ = ["chapters_between", "title_of"]

#: What is called so was not named: the stretch before the first mark.
BEGINNING: Final = "Beginning"


def title_of(text: str, number: int) -> str:
    """The name of the mark with this number; control characters in it become spaces."""
    name = "".join(char if char.isprintable() else " " for char in text).strip()
    return name or f"Mark {number}"


def chapters_between(marks: Iterable[Event], length_s: float) -> list[Chapter]:
    """The stretches between the marks, in the order of their moments, the first one from the beginning.

    Marks of one moment, as those in a pause, make one chapter: a stretch without length spoils those around it.
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
