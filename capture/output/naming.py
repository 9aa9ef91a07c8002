"""Names output files: the default folder and file name, free names, and checks of names that the user gave."""

from __future__ import annotations

import itertools
import os
import re
import sys
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from capture.errors import OutputError, UsageError
from capture.formats import container_of
from capture.output.letters import cut
from capture.system.private_files import make_folder

__all__ = [
    "EXCERPT",
    "candidates",
    "check_name",
    "check_output",
    "check_writable",
    "date_in_name",
    "dated_name",
    "default_path",
    "excerpt",
    "fitted",
    "ledger_of",
    "next_free",
    "recordings_folder",
]

#: Our folder inside the user's folder for videos or music. It is private: recordings show what was on the screen.
_FOLDER_NAME: Final = "Captures"

#: The longest name of a file on most file systems.
_NAME_LIMIT_BYTES: Final = 255

#: How many characters of a wrong input an error message repeats.
EXCERPT: Final = 60

#: The start of a name that `dated_name` gave, whatever was added to it.
_DATED: Final = re.compile(r"Capture (20\d\d)-(\d\d)-(\d\d) (\d\d)\.(\d\d)\.(\d\d)(?!\d)", re.ASCII)


def recordings_folder(extension: str) -> Path:
    """Return the folder for recordings with this extension, given as `mp4` or `.mp4`; it need not exist.

    Recordings with a picture go to the user's videos, others to the music. Raises `UsageError` for an unknown
    extension.
    """
    # Imported here because only a recording without a given name needs it.
    import platformdirs

    container = container_of(Path(f"recording.{extension.removeprefix('.')}"))
    parent = platformdirs.user_videos_path() if container.holds_video else platformdirs.user_music_path()
    return parent / _FOLDER_NAME


def default_path(extension: str, *, now: datetime, folder: Path | None = None) -> Path:
    """Return a free path for a recording started at `now`, in `folder` or `recordings_folder`; creates the folder.

    Another program may take the name before it is used: create the file exclusively, and fall back on the next of
    `candidates`. Raises `UsageError` for an unknown extension, `OutputError` when the folder cannot be created.
    """
    ending = extension.removeprefix(".")
    folder = recordings_folder(ending) if folder is None else folder
    try:
        make_folder(folder)
        return next_free(folder / dated_name(ending, now))
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot create the folder {folder} ({reason})", "name an output file elsewhere") from error


def dated_name(ending: str, now: datetime) -> str:
    """Return the default file name of a recording started at `now`."""
    return f"Capture {now:%Y-%m-%d %H.%M.%S}.{ending.removeprefix('.')}"


def date_in_name(name: str) -> datetime | None:
    """Return the local time in a name that starts as `dated_name` does; None for other names."""
    found = _DATED.match(name)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        return datetime(year, month, day, hour, minute, second)
    except ValueError:
        return None


def candidates(path: Path) -> Iterator[Path]:
    """Yield `path`, then the same name with ` (2)`, ` (3)` and so on before its extension, without end."""
    yield path
    for number in itertools.count(2):
        yield fitted(path.with_name(path.stem), f" ({number}){path.suffix}")


def fitted(path: Path, end: str, start: str = "") -> Path:
    """Return `path` with `start` before its name and `end` after it.

    A name that gets too long for the file system is cut between two letters. A checksum of the whole name then takes
    the place of what was cut, so that different names stay different.
    """
    name, limit_bytes = f"{start}{path.name}{end}", _name_limit_bytes(path.parent)
    if _size_bytes(name) > limit_bytes:
        end = f"~{zlib.crc32(os.fsencode(path.name)):08x}{end}"
        name = f"{start}{cut(path.name, limit_bytes - _size_bytes(start + end), _size_bytes)}{end}"
    return path.with_name(name)


def _size_bytes(name: str) -> int:
    return len(os.fsencode(name))


def _name_limit_bytes(folder: Path) -> int:
    if sys.platform == "win32":
        return _NAME_LIMIT_BYTES
    try:
        return os.pathconf(folder, "PC_NAME_MAX")
    except (OSError, ValueError):
        return _NAME_LIMIT_BYTES


def next_free(path: Path) -> Path:
    """Return the first of `candidates` that does not exist, not even as a broken link."""
    return next(candidate for candidate in candidates(path) if not os.path.lexists(candidate))


def excerpt(value: object) -> str:
    """Return the `repr` of a wrong input, shortened to fit into an error message."""
    text = repr(value)
    return text if len(text) <= EXCERPT else f"{cut(text, EXCERPT)}…"


def check_name(path: Path) -> None:
    """Raise `UsageError` unless `path` is absolute and a valid file name."""
    if not path.is_absolute():
        raise UsageError(f"{excerpt(str(path))} is a relative path", "give the full path")
    try:
        os.fsencode(path)
        fits = "\0" not in str(path)
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(f"{excerpt(str(path))} cannot be a file name", "choose another name")


def ledger_of(recording: Path) -> Path:
    """Return the path of a recording's ledger file."""
    return fitted(recording, ".ledger.jsonl")


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise `UsageError` unless `path` can be created: its folder exists and, without `overwrite`, the name is free."""
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
    """Whether `path` exists, even as a broken link.

    Raises `OSError` or `ValueError` for an impossible name; `Path.exists` takes some of those for free.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def check_writable(path: Path) -> None:
    """Raise `OutputError` unless this process may create files in the folder of `path`."""
    if not os.access(path.absolute().parent, os.W_OK):
        raise OutputError(f"{path.absolute().parent} cannot be written", "choose another folder")


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
