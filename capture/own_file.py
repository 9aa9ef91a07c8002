"""A file that is being made under its final name, private to the user from its first byte.

What had the name before stands aside until it is certain that something replaces it.
"""

from __future__ import annotations

import os
from pathlib import Path

from capture.errors import OutputError, UsageError

__all__ = ["OwnFile"]


class OwnFile:
    """Making it takes the name and creates the file, empty. `keep` or `discard` decides; for one thread at a time."""

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        """`OutputError` where the file cannot be made, `UsageError` where it exists and `overwrite` is not given."""
        self.path = path.absolute()
        self._replaced = _set_aside(self.path) if overwrite else None
        try:
            _create(self.path)
        except BaseException:
            self._put_back()
            raise

    def keep(self) -> None:
        """The file stands: what it replaces is removed for good."""
        if self._replaced is not None:
            self._replaced.unlink(missing_ok=True)
            self._replaced = None

    def discard(self) -> None:
        """Remove the file, and put back what it would have replaced."""
        self.path.unlink(missing_ok=True)
        self._put_back()

    def _put_back(self) -> None:
        replaced, self._replaced = self._replaced, None
        if replaced is not None:
            replaced.rename(self.path)


def _set_aside(path: Path) -> Path | None:
    """Give the file that is to be replaced another name until it is certain that something replaces it."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder", "name a file in it")
    aside = path.with_name(f".{path.name}.replaced-{os.getpid()}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OutputError(f"{path} cannot be replaced ({error.strerror or error})", "choose another name") from error
    return aside


def _create(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError as error:
        raise UsageError(f"{path} exists already", "choose another name, or give --overwrite") from error
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror or error})", "choose another folder") from error
