"""How large one file may grow in a folder, and what to say where that is the limit."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Final, NamedTuple

from capture.errors import FileTooLargeError, NotReadyError
from capture.system.file_system import is_fat, limit_of_process_bytes

__all__ = ["FileSizeLimit", "as_limit", "check_allows", "file_size_limit", "limit_remedy"]

#: FAT stores the size of a file in 32 bits.
_FAT_BYTES: Final = 2**32 - 1

#: A file of less than this holds no recording worth starting.
_LEAST_BYTES: Final = 50_000


class FileSizeLimit(NamedTuple):
    """The most bytes that one file may have, what sets that limit, and what to do about it."""

    size_bytes: int
    reason: str
    remedy: str

    def error(self, path: Path) -> FileTooLargeError:
        """Return the error for a file that needs more than this."""
        return FileTooLargeError(f"{path} cannot grow beyond {_plain(self.size_bytes)} ({self.reason})", self.remedy)


def file_size_limit(folder: Path) -> FileSizeLimit | None:
    """Return the tightest limit on a new file in `folder`; None without one."""
    found = []
    if (allowed_bytes := limit_of_process_bytes()) is not None:
        found.append(FileSizeLimit(allowed_bytes, "a limit on this process", "raise it with ulimit -f unlimited"))
    if is_fat(folder):
        found.append(
            FileSizeLimit(_FAT_BYTES, "its disk is formatted as FAT", "record to a disk formatted as exFAT or another")
        )
    return min(found, default=None)


def check_allows(folder: Path) -> None:
    """Raise `NotReadyError` when a file in `folder` may not even hold a short recording."""
    limit = file_size_limit(folder)
    if limit is not None and limit.size_bytes < _LEAST_BYTES:
        raise NotReadyError(f"a file may have only {_plain(limit.size_bytes)} here ({limit.reason})", limit.remedy)


def limit_remedy(error: BaseException, folder: Path, otherwise: str) -> str:
    """Return what to do about an error of writing a file in `folder`: about its limit, if it hit that."""
    if getattr(error, "errno", None) != errno.EFBIG:
        return otherwise
    limit = file_size_limit(folder)
    return limit.remedy if limit is not None else "write to another disk"


def as_limit(size_bytes: int) -> str:
    """Format a size as users give it: `1.5MB`, `600KB`."""
    return f"{size_bytes / 1e6:g}MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:g}KB"


def _plain(size_bytes: int) -> str:
    if size_bytes < 1_000_000:
        return f"{size_bytes / 1e3:.1f} KB"
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes < 1_000_000_000 else f"{size_bytes / 1e9:.1f} GB"
