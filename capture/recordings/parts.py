"""The parts of recordings that a new file is made of: what `trim` keeps of one, or all of several for `join`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from capture.media import SAMPLE_RATE
from capture.output.chapters import Chapter

__all__ = ["Part", "Span", "moved_chapters", "offsets_of", "parts_without"]


class Part(NamedTuple):
    """A stretch of the recording at `path`, in samples at `SAMPLE_RATE` from its start.

    `end` is None for whatever there is up to the end of the file, which only the last part may be.
    """

    path: Path
    begin: int
    end: int | None

    @property
    def from_s(self) -> float:
        return self.begin / SAMPLE_RATE

    @property
    def to_s(self) -> float | None:
        return None if self.end is None else self.end / SAMPLE_RATE


class Span(NamedTuple):
    """A stretch to leave out, in samples."""

    begin: int
    end: int


def parts_without(path: Path, begin: int, end: int | None, cuts: Iterable[Span], length: int) -> list[Part]:
    """Return what is left of a recording of `length` samples between `begin` and `end` without the `cuts`.

    Cuts may overlap, and reach beyond the stretch.
    """
    parts = []
    stop = length if end is None else end
    for cut in sorted(cuts):
        if cut.begin >= stop:
            break
        if cut.begin > begin:
            parts.append(Part(path, begin, cut.begin))
        begin = max(begin, cut.end)
    if begin < stop:
        parts.append(Part(path, begin, end))
    return parts


def offsets_of(parts: Sequence[Part]) -> list[int]:
    """Return where each part begins in the new file, in samples."""
    offsets, at = [], 0
    for part in parts:
        offsets.append(at)
        at += 0 if part.end is None else part.end - part.begin
    return offsets


def moved_chapters(chapters: Iterable[Chapter], parts: Sequence[Part]) -> list[Chapter]:
    """Return the chapters of a recording in a file that is made of these `parts` of it; those cut away go."""
    moved = []
    for chapter in chapters:
        begin_s, end_s = (_kept_before_s(at_s, parts) for at_s in (chapter.start_s, chapter.end_s))
        # Players show the time in milliseconds.
        if end_s - begin_s >= 0.001:
            moved.append(Chapter(chapter.title, begin_s, end_s))
    return moved


def _kept_before_s(at_s: float, parts: Sequence[Part]) -> float:
    """Return how much of the recording before `at_s` is kept."""
    kept_s = 0.0
    for part in parts:
        end_s = at_s if part.to_s is None else min(at_s, part.to_s)
        kept_s += max(0.0, end_s - part.from_s)
    return kept_s
