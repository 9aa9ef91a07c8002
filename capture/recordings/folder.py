"""Where recordings without a name of their own go, and what they are called."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from capture.errors import OutputError
from capture.settings import container_of

__all__ = ["candidates", "dated_name", "default_path", "next_free", "recordings_folder"]

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
