"""A file that is being made under its final name, private to the user from its first byte.

What had the name before stands aside until it is certain that something replaces it. As long as a file is being made it
is locked, so that no other recorder takes it for one that may be replaced.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from capture.errors import OutputError, UsageError

__all__ = ["ReservedFile", "is_being_made"]

_PRIVATE: Final = 0o600

#: Windows translates line ends otherwise; and a pipe that nobody writes to must not keep anybody waiting.
_BINARY: Final = getattr(os, "O_BINARY", 0)
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)


class ReservedFile:
    """Making it takes the name and creates the file, empty. `keep` or `discard` decides; for one thread at a time.

    `descriptor` is open for reading and writing until then.
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        """`OutputError` where the file cannot be made, `UsageError` where it exists and `overwrite` is not given.

        `UsageError` also where another recorder is making it.
        """
        self.path = path.absolute()
        # Where that is which has lost its name.
        self._aside: Path | None = None
        old = _Old.at(self.path) if overwrite else None
        if old is None:
            self.descriptor = _create(self.path)
            return
        with old:
            self.descriptor, self._aside = old.replace()

    @property
    def is_gone(self) -> bool:
        """Whether it was removed: what is written to it is lost as soon as it is closed."""
        # No file that is open can be removed on Windows.
        return sys.platform != "win32" and self.descriptor >= 0 and os.fstat(self.descriptor).st_nlink == 0

    def find(self) -> Path:
        """Where it is now, `path` from then on: somebody may have moved it, or a folder around it."""
        if self.descriptor >= 0 and not self._is_in_place() and not self.is_gone:
            with suppress(OSError):
                # Linux tells.
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
            # A right was taken away, and nothing can be known.
            return True

    def keep(self) -> None:
        """The file stands: what it replaces is removed for good."""
        aside, self._aside = self._aside, None
        if aside is not None:
            # On a disk that cannot be written any more it stays.
            with suppress(OSError):
                aside.unlink(missing_ok=True)
        self._close()

    def discard(self) -> None:
        """Remove the file, and put back what it would have replaced."""
        aside, self._aside = self._aside, None
        wanted = self.path
        # Another one of that name is none of ours.
        is_ours = self.descriptor < 0 or (not self.is_gone and self.find() and self._is_in_place())
        if sys.platform == "win32":
            # There what is open can be neither removed nor replaced.
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


def is_being_made(path: Path) -> bool:
    """Whether a recorder is at work on the file at `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _AT_ONCE)
    except OSError:
        return False
    try:
        return not _lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


class _Old:
    """What has a name that is to be another file's, locked: nobody else replaces it as long as the context lasts."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def at(cls, path: Path) -> Self | None:
        """What is at `path`, None where nothing is. Raises `UsageError` where a recorder is at work on it."""
        if path.is_dir():
            raise UsageError(f"{path} is a folder", "name a file in it")
        while os.path.lexists(path):
            try:
                # What is open on Windows cannot lose its name as it is.
                descriptor = os.open(path, os.O_RDONLY | _AT_ONCE) if sys.platform != "win32" else None
            except OSError:
                # Nothing that a recorder of this user's makes.
                descriptor = None
            if descriptor is None:
                return cls(path, None)
            if not _lock(descriptor):
                os.close(descriptor)
                raise _being_made(path)
            with suppress(OSError):
                # Else it lost its name before it was locked.
                if os.path.samestat(path.stat(), os.fstat(descriptor)):
                    return cls(path, descriptor)
            os.close(descriptor)
        return None

    def replace(self) -> tuple[int, Path]:
        """Give the name to a new file, which is locked; its descriptor, and where the old one is now."""
        aside = self._path.with_name(f".{self._path.name}.replaced-{os.getpid()}")
        try:
            if sys.platform == "win32":
                self._path.rename(aside)
                return _create(self._path), aside
            return self._replace_at_once(aside), aside
        except OSError as error:
            reason = error.strerror or error
            raise OutputError(f"{self._path} cannot be replaced ({reason})", "choose another name") from error

    def _replace_at_once(self, aside: Path) -> int:
        """So that nobody finds the name free, or a file in its place that is not locked yet."""
        new = self._path.with_name(f".capture-{os.urandom(8).hex()}")
        descriptor = _create(new)
        try:
            try:
                os.link(self._path, aside, follow_symlinks=False)
            except OSError:
                # Not every file system knows links.
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
        # Another recorder took it for one that it may replace, in the blink before it was locked.
        os.close(descriptor)
        raise _being_made(path)
    return descriptor


def _being_made(path: Path) -> UsageError:
    return UsageError(f"{path} is being recorded by another recorder", "choose another name")


def _lock(descriptor: int, *, shared: bool = False) -> bool:
    """Lock a file until it is closed; False where somebody else has, True also where there are no locks."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Not every file system has them.
        return True
    return True
