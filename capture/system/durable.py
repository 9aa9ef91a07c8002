"""Makes files and their names survive a power cut.

What a program writes waits in memory, on ext4 for half a minute, and the parts of a file reach the disk in any order.
A sync waits until they are there. A file stays whole in this order: its content first, then what refers to it, then its
name; only then may the file that it replaces go.
"""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Final

__all__ = ["CHECK_DISK", "FULL", "publish", "sync_content", "sync_file", "sync_name"]

#: What to do about a disk that fails.
CHECK_DISK: Final = "check that the disk is connected and has free space"

#: The errors for a full disk and for a full quota. Windows has no second one.
FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})

#: How a file system says that it cannot sync a file or a folder: there is nothing more that a program could do.
_UNABLE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def sync_content(descriptor: int) -> None:
    """Wait until the content of an open file is on the disk. Raises `OSError` when the disk could not store it."""
    try:
        if sys.platform == "darwin":
            import fcntl

            # A plain sync leaves the data in the disk's own memory there.
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        elif sys.platform == "win32":
            os.fsync(descriptor)
        else:
            os.fdatasync(descriptor)
    except OSError as error:
        if error.errno not in _UNABLE:
            raise


def sync_file(path: Path) -> None:
    """Wait until the content of the file at `path` is on the disk, as `sync_content` does.

    It may be one that this user may read but not write.
    """
    # Windows syncs only what is open for writing.
    with path.open("rb+" if sys.platform == "win32" else "rb") as file:
        sync_content(file.fileno())


def sync_name(path: Path) -> None:
    """Wait until the name of the file at `path` is on the disk, and that of its folder, which may be new.

    Does nothing where folders cannot be opened. Raises `OSError` when the disk could not store the names.
    """
    if sys.platform == "win32":
        # It stores names by itself, and opens no folders.
        return
    folder = path.absolute().parent
    for each in (folder, folder.parent):
        try:
            descriptor = os.open(each, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            # We may write in a folder that we may not list.
            continue
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
        finally:
            os.close(descriptor)


def publish(made: Path, path: Path) -> None:
    """Give the finished file `made` the name `path`, in place of the file that has it. Raises `OSError`.

    After a power cut the name belongs to the old file or to the new one, and both are whole; once this returns, to the
    new one. Both names are on the same disk.
    """
    sync_file(made)
    made.replace(path)
    sync_name(path)
