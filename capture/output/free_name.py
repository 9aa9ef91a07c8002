"""Gives a finished file its name once its content is on the disk, without replacing another file."""

from __future__ import annotations

import os
from pathlib import Path

from capture.errors import OutputError, UsageError
from capture.output.naming import candidates
from capture.system.durable import CHECK_DISK, sync_file, sync_name

__all__ = ["under_free_name"]


def under_free_name(made: Path, path: Path, *, chosen: bool = False) -> Path:
    """Rename a finished file to `path`, or to the next free name if the user did not choose `path`; return its name.

    Its content is brought to the disk first. Raises `UsageError` if the chosen name is taken, `OutputError` if it
    cannot be written.
    """
    try:
        sync_file(made)
    except OSError as error:
        raise OutputError(f"{path} could not be stored ({error.strerror})", CHECK_DISK) from error
    for free in candidates(path):
        try:
            _rename(made, free)
        except UsageError:
            if chosen:
                raise
        else:
            return free
    raise AssertionError("candidates never end")


def _rename(made: Path, path: Path) -> None:
    """Rename a finished file. Raises `UsageError` if the name is taken, `OutputError` if it cannot be written."""
    try:
        # A link, because a rename would replace an existing file.
        try:
            path.hardlink_to(made)
        except FileExistsError:
            raise
        except OSError:
            # Some file systems have no hard links.
            _rename_without_link(made, path)
        sync_name(path)
    except FileExistsError as error:
        raise UsageError(f"{path} exists already", "choose another name") from error
    except OSError as error:
        raise OutputError(f"{path} cannot be written ({error.strerror})", "choose another folder") from error


def _rename_without_link(made: Path, path: Path) -> None:
    """Create `path`, which fails if it exists, and then replace it. Raises `OSError`."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        made.replace(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise
