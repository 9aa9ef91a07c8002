"""Finds the recordings in the user's folders and gives each a number: 1 is the newest.

The order comes from names and dates alone, so finding one by its number opens no file.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from capture.output.naming import date_in_name
from capture.recordings.overview import ENDINGS

__all__ = ["FoundRecording", "find_recordings"]


class FoundRecording(NamedTuple):
    """A file with a recording's extension. `recorded_at_s` is seconds since 1970: the date in its name, or its own."""

    recorded_at_s: float
    mtime_ns: int
    size_bytes: int
    path: Path


def find_recordings(folders: Iterable[Path]) -> list[FoundRecording]:
    """Return the recordings directly in `folders`, newest first; a folder that is missing or unreadable has none.

    Hidden files are left out, and so is everything that is no regular file. Opens no file.
    """
    found = (each for folder in dict.fromkeys(folders) for each in _in(folder))
    # Of several with one date, `… (2).mp4` and other additions to a name come before `….mp4`.
    return sorted(found, key=lambda each: (-each.recorded_at_s, each.path))


def _in(folder: Path) -> Iterator[FoundRecording]:
    try:
        entries = os.scandir(folder)
    except OSError:
        return
    with entries:
        for entry in entries:
            stem, _, ending = entry.name.rpartition(".")
            if not stem or stem.startswith(".") or ending.lower() not in ENDINGS:
                continue
            try:
                status = entry.stat()
            except OSError:
                # It has just gone, or is a link to nothing.
                continue
            if stat.S_ISREG(status.st_mode):
                dated = date_in_name(entry.name)
                at_s = status.st_mtime if dated is None else dated.timestamp()
                yield FoundRecording(at_s, status.st_mtime_ns, status.st_size, Path(entry.path))
