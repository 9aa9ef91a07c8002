"""Where recordings without a name of their own go, and what they are called."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from capture.errors import OutputError, UsageError
from capture.formats import container_of

__all__ = [
    "candidates",
    "check_output",
    "check_writable",
    "dated_name",
    "default_path",
    "ledger_of",
    "next_free",
    "recordings_folder",
]

#: The folder of our own inside the user's for videos or music: others are not shown what was on the screen.
_FOLDER_NAME: Final = "Captures"
_PRIVATE: Final = 0o700


def recordings_folder(extension: str) -> Path:
    """The folder for recordings that end in `extension`, `mp4` or `.mp4` alike; it need not exist.

    Pictures go to the user's videos, sound alone to the music. Raises `UsageError` for an extension that is not known.
    """
    # Only a recording without a name of its own needs it.
    import platformdirs

    container = container_of(Path(f"recording.{extension.removeprefix('.')}"))
    parent = platformdirs.user_videos_path() if container.holds_video else platformdirs.user_music_path()
    return parent / _FOLDER_NAME


def default_path(extension: str, *, now: datetime, folder: Path | None = None) -> Path:
    """A free name for a recording begun at `now`, in `folder` or else in `recordings_folder`, which is made if need be.

    Another program may take the name before it is used: whoever creates the file does so exclusively and goes on to
    the next of `candidates`. Raises `UsageError` for an extension that is not known, `OutputError` where the folder
    cannot be made.
    """
    ending = extension.removeprefix(".")
    folder = recordings_folder(ending) if folder is None else folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=_PRIVATE, exist_ok=True)
        return next_free(folder / dated_name(ending, now))
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"the folder {folder} cannot be made ({reason})", "name an output file elsewhere") from error


def dated_name(ending: str, now: datetime) -> str:
    """What a recording begun at `now` is called."""
    return f"Capture {now:%Y-%m-%d %H.%M.%S}.{ending.removeprefix('.')}"


def candidates(path: Path) -> Iterator[Path]:
    """`path`, then the same name with ` (2)`, ` (3)` and so on before its extension, without end."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.stem} ({number}){path.suffix}")


def next_free(path: Path) -> Path:
    """The first of `candidates` that nothing is called, a link that leads nowhere included."""
    return next(candidate for candidate in candidates(path) if not os.path.lexists(candidate))


#: How many characters of what cannot be meant are repeated.
EXCERPT: Final = 60


def excerpt(value: object) -> str:
    """As much of what somebody sent as fits into a sentence."""
    text = repr(value)
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}…"


def check_name(path: Path) -> None:
    """Raise `UsageError` unless a file could be called `path`, wherever this process has been started."""
    if not path.is_absolute():
        raise UsageError(f"{excerpt(str(path))} depends on the folder that one is in", "give the whole path")
    try:
        os.fsencode(path)
        fits = "\0" not in str(path)
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(f"{excerpt(str(path))} cannot be a file name", "choose another name")


def ledger_of(recording: Path) -> Path:
    """Where what happens to a recording is written down."""
    return recording.with_name(f"{recording.name}.ledger.jsonl")


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` unless a file called `path` may be made: its folder is there and the name is free."""
    try:
        taken = _is_taken(path)
        if not path.parent.is_dir():
            raise UsageError(f"the folder {path.parent} does not exist", "create it first")
        if path.is_dir():
            raise UsageError(f"{path} is a folder", "name a file in it")
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a regular file", "choose another name")
        if taken and not overwrite:
            raise UsageError(f"{path} exists already", "choose another name, or give --overwrite")
    except (OSError, ValueError) as error:
        raise UsageError(f"{str(path)!r} cannot be a file name ({_reason(error)})", "choose another name") from error


def _is_taken(path: Path) -> bool:
    """Whether anything is called `path`, a link that leads nowhere included.

    Raises `OSError` or `ValueError` for what no file can be called; `Path.exists` takes some of that for a free name.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def check_writable(path: Path) -> None:
    """Raise `OutputError` unless a file can be made in the folder of `path`."""
    if not os.access(path.absolute().parent, os.W_OK):
        raise OutputError(f"{path.absolute().parent} cannot be written", "choose another folder")


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
