"""Compares the clock in the pictures of a recorded test pattern with their times in the file."""

from __future__ import annotations

from pathlib import Path

from reopened import each_picture

from capture.sources.pattern import read_clock

__all__ = ["clock_offsets_s"]


def clock_offsets_s(path: Path) -> list[float]:
    """Return for each frame by how much its clock is ahead of its time in the file, in seconds.

    The first frame is left out, because it is placed at the start, however late a busy machine grabbed it. So is the
    last one, which repeats the one before. All others are in their place on any machine.
    """
    return [read_clock(picture) / 1000 - at_s for at_s, picture in each_picture(path)][1:-1]
