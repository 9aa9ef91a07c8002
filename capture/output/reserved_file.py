"""Creates a file under its final name, private to the user from the first byte.

A file that it replaces is set aside until the new one is complete. While it is being written, the new file is locked,
so that no other recorder replaces it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from capture.errors import OutputError, UsageError
from capture.standard_streams import fill_closed

__all__ = ["ReservedFile", "is_being_recorded"]

_PRIVATE: Final = 0o600

#: Without the first, Windows translates line ends; without the second, opening a pipe without a writer blocks.
_BINARY: Final = getattr(os, "O_BINARY", 0)
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)


class ReservedFile:
    """Creates an empty file and holds its name until `keep` or `discard`. One thread at a time uses it.

    `descriptor` is open for reading and writing until then.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        """Raises `OutputError` when the file cannot be created, `UsageError` when it exists without `overwrite`.

        Raises `UsageError` also when another recorder is writing it.
        """
        # No file of ours may get the number of a closed standard stream, which libraries write to.
        fill_closed()
        self.path = path.absolute()
        # Temporary path of the file being replaced, if any.
        self._aside: Path | None = None
        old = _OldFile.at(self.path) if overwrite else None
        if old is None:
            self.descriptor = _create(self.path)
            return
        with old:
            self.descriptor, self._aside = old.replace()

    @property
    def is_gone(self) -> bool:
        """Whether the file was deleted; its content is lost as soon as it is closed."""
        # Windows does not delete open files.
        return sys.platform != "win32" and self.descriptor >= 0 and os.fstat(self.descriptor).st_nlink == 0

    def find(self) -> Path:
        """Return where the file is now, and update `path`: the user may have moved it, or a folder that contains it."""
        if self.descriptor >= 0 and not self._is_in_place() and not self.is_gone:
            with suppress(OSError):
                # Only Linux has this.
                self.path = Path(f"/proc/self/fd/{self.descriptor}").readlink()
        return self.path

    def _is_in_place(self) -> bool:
        if sys.platform == "win32":
            return True
        try:
            return os.path.samestat(self.path.stat(), os.fstat(self.descriptor))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            # We lost the permission to look: assume that it is still there.
            return True

    def keep(self) -> None:
        """Keep the new file, and remove the one that it replaces for good."""
        aside, self._aside = self._aside, None
        if aside is not None:
            # On a disk that became read-only it stays.
            with suppress(OSError):
                aside.unlink(missing_ok=True)
        self._close()

    def discard(self) -> None:
        """Remove the file, and restore the one that it would have replaced."""
        aside, self._aside = self._aside, None
        wanted = self.path
        # Do not touch a file that took the name in the meantime.
        is_ours = self.descriptor < 0 or (not self.is_gone and self.find() and self._is_in_place())
        if sys.platform == "win32":
            # Windows neither removes nor replaces open files.
            self._close()
        if is_ours and (aside is None or self.path != wanted):
            self.path.unlink(missing_ok=True)
        if aside is not None and (is_ours or not os.path.lexists(wanted)):
            aside.replace(wanted)
        self._close()

    def _close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def is_being_recorded(path: Path) -> bool:
    """Whether a recorder is writing the file at `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _AT_ONCE)
    except OSError:
        return False
    try:
        return not _lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


class _OldFile:
    """The file about to be replaced, locked for the length of the context so that no other recorder replaces it."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def at(cls, path: Path) -> Self | None:
        """Lock the file at `path`; return None if there is none. Raises `UsageError` when a recorder is writing it."""
        if path.is_dir():
            raise UsageError(f"{path} is a folder", "name a file in it")
        while os.path.lexists(path):
            try:
                # Windows does not rename open files.
                descriptor = os.open(path, os.O_RDONLY | _AT_ONCE) if sys.platform != "win32" else None
            except OSError:
                # Unreadable, so not written by a recorder of this user.
                descriptor = None
            if descriptor is None:
                return cls(path, None)
            if not _lock(descriptor):
                os.close(descriptor)
                raise _being_made(path)
            with suppress(OSError):
                # Otherwise another file took the name before this one was locked.
                if os.path.samestat(path.stat(), os.fstat(descriptor)):
                    return cls(path, descriptor)
            os.close(descriptor)
        return None

    def replace(self) -> tuple[int, Path]:
        """Give the name to a new, locked file; return its descriptor and where the old file is now.

        Raises `OutputError`.
        """
        aside = self._path.with_name(f".{self._path.name}.replaced-{os.getpid()}")
        try:
            if sys.platform == "win32":
                self._path.rename(aside)
                return _create(self._path), aside
            return self._replace_atomically(aside), aside
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"cannot replace {self._path} ({reason})", "choose another name") from error

    def _replace_atomically(self, aside: Path) -> int:
        """Replace the file atomically: the name is never free, and never belongs to an unlocked file."""
        new = self._path.with_name(f".capture-{os.urandom(8).hex()}")
        descriptor = _create(new)
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)


def _create(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _BINARY, _PRIVATE)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already", "choose another name, or give --overwrite") from error
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})", "choose another folder") from error
    if not _lock(descriptor):
        # Another recorder locked it, in order to replace it, in the moment before we did.
        os.close(descriptor)
        raise _being_made(path)
    return descriptor


def _being_made(path: Path) -> UsageError:
    return UsageError(f"{path} is being recorded by another recorder", "choose another name")


def _lock(descriptor: int, *, shared: bool = False) -> bool:
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
