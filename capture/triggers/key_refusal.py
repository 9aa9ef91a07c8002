"""Remembers that the user has cancelled the desktop's dialog about keys, which would else come with each recording."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from capture.system.private_files import make_folder, replace
from capture.system.user_folders import user_folder

__all__ = ["forget_refusal", "note_refusal", "was_refused"]

_NAME: Final = "keys-refused"


def was_refused(environment: Mapping[str, str]) -> bool:
    """Whether the user has cancelled the dialog, and did not ask for it since."""
    # `Path.exists` raises where a folder may not be looked into.
    return os.path.exists(_path(environment))  # noqa: PTH110


def note_refusal(environment: Mapping[str, str]) -> None:
    """Remember it; if that cannot be written, the dialog will come again."""
    path = _path(environment)
    with suppress(OSError):
        make_folder(path.parent)
        replace(path, b"")


def forget_refusal(environment: Mapping[str, str]) -> None:
    with suppress(OSError):
        _path(environment).unlink()


def _path(environment: Mapping[str, str]) -> Path:
    return user_folder(environment, "STATE") / "capture" / _NAME
