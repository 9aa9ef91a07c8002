"""Creates files that are locked while they are written, so that no other recorder replaces or repairs them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from capture.errors import OutputError, UsageError

__all__ = ["OPENS_AT_ONCE", "create_locked", "is_being_recorded", "lock", "taken_by_another"]

_PRIVATE: Final = 0o600

#: Without this, Windows translates line ends.
_BINARY: Final = getattr(os, "O_BINARY", 0)

#: Without this, opening a pipe without a writer blocks.
OPENS_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)


def create_locked(path: Path) -> int:
    """Create an empty, private file, locked until the returned descriptor is closed.

    Raises `UsageError` when the name is taken, `OutputError` when the file cannot be created.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, _PRIVATE)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already", "choose another name, or give --overwrite") from error
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})", "choose another folder") from error
    if not lock(descriptor):
        # Another recorder locked it, in order to replace it, in the moment before we did.
        os.close(descriptor)
        raise taken_by_another(path)
    return descriptor


def taken_by_another(path: Path) -> UsageError:
    """Return the error for a file that another recorder is writing."""
    return UsageError(f"{path} is being recorded by another recorder", "choose another name")


def is_being_recorded(path: Path) -> bool:
    """Whether a recorder is writing the file at `path`, or about to replace it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | OPENS_AT_ONCE)
    except OSError:
        return False
    try:
        return not lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock a file until it is closed; return False if it is locked already, True also where locks do not exist."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Not every file system has locks.
        return True
    return True
