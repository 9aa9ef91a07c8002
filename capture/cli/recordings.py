"""Finds the saved recordings, and the one that a FILE on the command line means: a path, `last`, or a number."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from capture.errors import UsageError

if TYPE_CHECKING:
    from capture.recordings.library import FoundRecording
    from capture.recordings.overview import TrackGlance

__all__ = ["LAST", "beside", "check_track", "folders", "recording_named", "saved_recordings", "where"]

LAST: Final = "last"


def folders() -> list[Path]:
    """Return the folders for recordings with a picture and without. Raises `UsageError` for broken settings."""
    from capture.config.store import load

    config = load()
    return list(dict.fromkeys(config.folder_for(ending) for ending in ("mp4", "ogg")))


def where(places: list[Path]) -> str:
    return " or ".join(map(str, places))


def saved_recordings(places: list[Path] | None = None) -> list[FoundRecording]:
    """Return the recordings in `folders()`, newest first. Raises `UsageError` for broken settings."""
    from capture.recordings.library import find_recordings

    return find_recordings(folders() if places is None else places)


def recording_named(name: str) -> Path:
    """Return the path that FILE means: `last` is the newest finished recording, 3 the third newest of `capture list`.

    A file or folder of that very name in the current folder comes first; `./3` is always a path. Raises `UsageError`
    when there is no such recording.
    """
    if not (name == LAST or (name.isascii() and name.isdecimal())) or os.path.lexists(name):
        return Path(name)
    places = folders()
    found = saved_recordings(places)
    if name == LAST:
        from capture.output.locked_file import is_being_recorded

        finished = next((each.path for each in found if not is_being_recorded(each.path)), None)
        if finished is None:
            raise UsageError(f"there is no finished recording in {where(places)}", "name a file")
        return finished
    if not 1 <= int(name[:9]) <= len(found):
        those = f"capture list has 1 to {len(found)}" if found else "name a file"
        raise UsageError(f"there is no recording {name} in {where(places)}", those)
    return found[int(name) - 1].path


def beside(path: Path, addition: str) -> Path:
    """Return the path of a new file beside a recording: its name with an addition, cut where it would be too long.

    Raises `UsageError` when `path` names no file.
    """
    from capture.output.naming import fitted
    from capture.recordings.check import size_bytes_of

    size_bytes_of(path)
    return fitted(path.with_name(path.stem), f"{addition}{path.suffix}")


def check_track(path: Path, sounds: Sequence[TrackGlance], number: int | None) -> None:
    """Raise `UsageError` unless a recording with these audio tracks has this one, counted from 1."""
    if number is not None and not 1 <= number <= len(sounds):
        have = "is one audio track" if len(sounds) == 1 else f"are audio tracks 1 to {len(sounds)}"
        raise UsageError(f"there is no audio track {number} in {path}", f"there {have}")
