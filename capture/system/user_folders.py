"""Finds the user's folders in an environment that need not be this process's (XDG Base Directory Specification)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["user_folder"]

_DEFAULTS: Final = {"CONFIG": ".config", "DATA": ".local/share", "STATE": ".local/state"}


def user_folder(environment: Mapping[str, str], kind: str) -> Path:
    """Return the user's folder of a `kind`: CONFIG, DATA or STATE. It need not exist."""
    given = Path(environment.get(f"XDG_{kind}_HOME", ""))
    # A relative one does not count.
    return given if given.is_absolute() else Path(environment.get("HOME") or "/", _DEFAULTS[kind])
