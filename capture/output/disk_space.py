"""How much room a disk has."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from capture.errors import NotReadyError

__all__ = ["check_room", "free_bytes"]

#: With less than this a recording would end as soon as it has begun.
_LEAST_FREE_BYTES: Final = 4_000_000


def free_bytes(folder: Path) -> int | None:
    """How much an ordinary user can still write in `folder`; None where the file system does not tell."""
    try:
        found = shutil.disk_usage(folder)
    except OSError:
        return None
    # Some network file systems count nothing.
    return found.free if found.total else None


def check_room(folder: Path) -> None:
    """Raise `NotReadyError` where `folder` has no room for a recording worth beginning."""
    free = free_bytes(folder.absolute())
    if free is not None and free < _LEAST_FREE_BYTES:
        raise NotReadyError(
            f"the disk of {folder.absolute()} has {free / 1e6:.1f} MB left",
            f"free at least {_LEAST_FREE_BYTES / 1e6:.0f} MB, or record to another disk",
        )
