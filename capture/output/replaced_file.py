"""Sets aside the file that a recording replaces, under a hidden name beside it, until the recording is safe.

A recorder that is killed leaves it there. The name is random, so that no later recorder destroys it, and says which
file it was.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from capture.errors import OutputError, UsageError
from capture.output.locked_file import OPENS_AT_ONCE, create_locked, is_being_recorded, lock, taken_by_another
from capture.output.naming import fitted

__all__ = ["ReplacedFile", "left_aside"]

#: The random part of a name: two recorders never choose the same.
_RANDOM_BYTES: Final = 8


class ReplacedFile:
    """A file that is about to be replaced, locked until `remove`, `restore` or `close` against others.

    `aside` is where it is once `replace` has returned.
    """

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self._path = path
        self._descriptor = descriptor
        self.aside = path

    @classmethod
    def at(cls, path: Path) -> Self | None:
        """Lock the file at `path`; return None if there is none. Raises `UsageError` when a recorder is writing it."""
        if path.is_dir():
            raise UsageError(f"{path} is a folder", "name a file in it")
        while os.path.lexists(path):
            try:
                # Windows does not rename open files.
                descriptor = os.open(path, os.O_RDONLY | OPENS_AT_ONCE) if sys.platform != "win32" else None
            except OSError:
                # Unreadable, so not written by a recorder of this user.
                descriptor = None
            if descriptor is None:
                return cls(path, None)
            if not lock(descriptor):
                os.close(descriptor)
                raise taken_by_another(path)
            with suppress(OSError):
                # Otherwise another file took the name before this one was locked.
                if os.path.samestat(path.stat(), os.fstat(descriptor)):
                    return cls(path, descriptor)
            os.close(descriptor)
        return None

    def replace(self) -> int:
        """Give the name to a new, locked file and return its descriptor. Raises `OutputError`."""
        aside = self._path.with_name(_prefix(self._path) + os.urandom(_RANDOM_BYTES).hex())
        try:
            if sys.platform == "win32":
                self._path.rename(aside)
                self.aside = aside
                return create_locked(self._path)
            descriptor = self._replace_atomically(aside)
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"cannot replace {self._path} ({reason})", "choose another name") from error
        self.aside = aside
        return descriptor

    def _replace_atomically(self, aside: Path) -> int:
        """Replace the file atomically: the name is never free, and never belongs to an unlocked file."""
        new = self._path.with_name(f".capture-{os.urandom(_RANDOM_BYTES).hex()}")
        descriptor = create_locked(new)
        try:
            try:
                os.link(self._path, aside, follow_symlinks=False)
            except OSError:
                # Not every file system has hard links.
                self._path.rename(aside)
            new.replace(self._path)
        except BaseException:
            os.close(descriptor)
            new.unlink(missing_ok=True)
            if not os.path.lexists(self._path):
                aside.rename(self._path)
            aside.unlink(missing_ok=True)
            raise
        return descriptor

    def remove(self) -> None:
        """Remove the file for good. On a disk that became read-only it stays."""
        with suppress(OSError):
            self.aside.unlink(missing_ok=True)
        self.close()

    def restore(self) -> None:
        """Give the file its name back, in place of the new one. Raises `OSError`."""
        self.aside.replace(self._path)
        self.close()

    def close(self) -> None:
        """Unlock the file, and leave it where it is; may be called twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def left_aside(path: Path) -> list[Path]:
    """Return the files that killed recorders were to replace at `path`, the latest last. Empty if there are none."""
    prefix = _prefix(path)
    folder = path.absolute().parent
    try:
        names = [name for name in os.listdir(folder) if name.startswith(prefix)]  # noqa: PTH208 - names are enough
        found = [folder / name for name in names]
        return sorted((each for each in found if not is_being_recorded(each)), key=lambda each: each.lstat().st_mtime)
    except OSError:
        return []


def _prefix(path: Path) -> str:
    """Return how the names begin under which the file at `path` is set aside."""
    random = "0" * 2 * _RANDOM_BYTES
    return fitted(path, f".replaced-{random}", ".").name.removesuffix(random)
