"""Folders and small files that are the user's alone, whatever the umask, and reads that refuse what is not a file.

These need no thread of their own; any thread may call them.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from capture.system.durable import publish

__all__ = ["copy_mode", "make_folder", "only_changer", "read_small", "replace"]

_PRIVATE_FOLDER: Final = 0o700

#: Larger files are not what they seem: a file written by hand has a few kilobytes.
SMALL_BYTES: Final = 1_000_000

#: Without it, opening a pipe blocks until another process writes to it.
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)

_KINDS: Final = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
    stat.S_IFSOCK: "it is a socket",
}


def make_folder(path: Path) -> None:
    """Create the folder `path` and its missing parents, each with mode 0700. One that exists stays as it is.

    Raises `OSError`.
    """
    if path.parent != path and not path.parent.is_dir():
        make_folder(path.parent)
    path.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)


def replace(path: Path, content: bytes) -> None:
    """Replace the file at `path` as a whole, with mode 0600; on an error the old one stays. Raises `OSError`.

    The folder must exist. A link is replaced, not followed.
    """
    # Imported here because a command to a recorder, which writes nothing, must not wait for it.
    import tempfile

    descriptor, made = tempfile.mkstemp(prefix=".capture-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        publish(Path(made), path)
    except BaseException:
        with suppress(OSError):
            Path(made).unlink()
        raise


@contextmanager
def only_changer(folder: Path) -> Iterator[None]:
    """Wait until no other process is in this context for the same folder. Raises `OSError` if it cannot be opened.

    Without locks, as on Windows and on some network disks, this does not wait.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def copy_mode(old: Path, new: Path, *others: Path) -> None:
    """Give the file `new` the mode of `old`, without what one of the `others` denies.

    A file system that denies that is accepted where it opens `new` to nobody who may not read or change `old`. Raises
    `OSError` otherwise.
    """
    wanted, found = (stat.S_IMODE(path.stat().st_mode) for path in (old, new))
    for other in others:
        wanted &= other.stat().st_mode
    if found == wanted:
        return
    try:
        new.chmod(wanted)
    except OSError:
        if found & ~wanted:
            raise


def read_small(path: Path, most_bytes: int = SMALL_BYTES) -> bytes:
    """Return the content of a file of at most `most_bytes`, following links.

    Never waits: raises `OSError`, with the reason as its `strerror`, for a pipe, a device, a folder or a larger file.
    """
    # Look first: opening a device can have effects, such as rewinding a tape.
    _check_is_file(path.stat())
    descriptor = os.open(path, os.O_RDONLY | _AT_ONCE | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        _check_is_file(os.fstat(descriptor))
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(0, f"it is larger than {most_bytes // 1_000_000} MB")
    return content


def _check_is_file(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(0, _KINDS.get(stat.S_IFMT(found.st_mode), "it is not a file"))
