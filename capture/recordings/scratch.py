"""A place for what is being made and is nothing yet: hidden, private, and gone when it is done with.

A process that is killed cannot remove its own. The next one that makes a file in the same folder does: a lock on the
scratch folder, which ends with its process, tells whether anybody is still at work in it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from capture.errors import OutputError

__all__ = ["scratch_folder"]

_PREFIX: Final = ".capture-scratch-"


@contextmanager
def scratch_folder(place: Path) -> Iterator[Path]:
    """A folder of our own in `place` for the time of the context. Raises `OutputError` where there can be none."""
    try:
        _remove_leftovers(place)
        folder, lock = _made(place)
    except OSError as error:
        raise OutputError(f"{place} cannot be written ({error.strerror})", "choose another folder") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _made(place: Path) -> tuple[Path, int | None]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
        # Before it is locked somebody may take it for a leftover: being removed then, or gone.
        with suppress(BlockingIOError):
            lock = _locked(folder)
            if folder.exists():
                return folder, lock
            if lock is not None:
                os.close(lock)


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the lock of `folder`; None where it cannot be opened, and where there are no locks.

    Raises `BlockingIOError` where another one has it.
    """
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor


def _remove_leftovers(place: Path) -> None:
    for folder in place.glob(f"{_PREFIX}*"):
        # Somebody is at work in it.
        with suppress(BlockingIOError):
            lock = _locked(folder)
            if lock is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
