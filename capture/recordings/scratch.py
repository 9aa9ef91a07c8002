"""Scratch folders: hidden, private places for unfinished files, removed after use.

A process that is killed cannot remove its scratch folder. The next one that works in the same place does: each folder
is locked while in use, and the lock ends with its process.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from capture.errors import CaptureError, OutputError
from capture.system.standard_streams import fill_closed

__all__ = ["named_instead", "scratch_folder"]

_PREFIX: Final = ".capture-scratch-"


@contextmanager
def scratch_folder(place: Path) -> Iterator[Path]:
    """Make a private folder in `place` for the length of the context. Raises `OutputError` when that fails.

    A `CaptureError` that leaves the context names "the new file" in place of one in the folder.
    """
    # FFmpeg opens some of the files in it by itself.
    fill_closed()
    try:
        _remove_leftovers(place)
        folder, lock = _make(place)
    except OSError as error:
        raise OutputError(f"{place} cannot be written ({error.strerror})", "choose another folder") from error
    try:
        yield folder
    except CaptureError as error:
        error.message = named_instead(error.message, folder, "the new file")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def named_instead(message: str, folder: Path, name: str) -> str:
    """Return the message with `name` in place of the files in the scratch `folder`, which the user does not know."""
    for place in {folder.resolve(), folder}:
        message = re.sub(rf"{re.escape(str(place))}/[\w.-]+", lambda found: name, message)
    return message


def _make(place: Path) -> tuple[Path, int | None]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        # Before we lock it, another process may take it for a leftover and remove it.
        with suppress(BlockingIOError):
            lock = _lock(folder)
            if folder.exists():
                return folder, lock
            if lock is not None:
                os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock `folder`; return the descriptor that holds the lock, or None when it cannot be opened or locked at all.

    Returns None also for another user's folder: root could remove what that user still needs.

    Raises `BlockingIOError` when another process holds the lock.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise PermissionError(f"{folder} belongs to another user")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _remove_leftovers(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        # Suppressed: another process is using it.
        with suppress(BlockingIOError):
            lock = _lock(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
