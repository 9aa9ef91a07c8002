"""Measures the free space of a disk, and refuses to start a recording without room for it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

from capture.errors import NotReadyError
from capture.output.file_size import check_allows

__all__ = ["check_room", "free_bytes"]

#: With less than this, a recording would end as soon as it starts.
_LEAST_FREE_BYTES: Final = 4_000_000


def free_bytes(folder: Path) -> int | None:
    """Return how many bytes an ordinary user can still write in `folder`; None if the file system does not say."""
    try:
        total, free = _usage(folder)
    except OSError:
        return None
    # Some network file systems report zero for everything.
    return free if total else None


def _usage(folder: Path) -> tuple[int, int]:
    """Return the size of the disk of `folder` and how much of it an ordinary user can still write. Raises `OSError`."""
    if sys.platform != "win32":
        # As `shutil`, which loads every compressor: 5 ms of each start.
        found = os.statvfs(folder)
        return found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize
    import shutil

    usage = shutil.disk_usage(folder)
    return usage.total, usage.free


def check_room(folder: Path) -> None:
    """Raise `NotReadyError` when `folder` lacks the space for even a short recording, or allows no file for it."""
    check_allows(folder)
    free = free_bytes(folder.absolute())
    if free is not None and free < _LEAST_FREE_BYTES:
        raise NotReadyError(
            f"the disk of {folder.absolute()} has only {free / 1e6:.1f} MB left",
            f"free at least {_LEAST_FREE_BYTES / 1e6:.0f} MB, or choose another disk",
        )
