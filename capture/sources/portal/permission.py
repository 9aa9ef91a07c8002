"""Keeps the token by which the desktop gives the screen again without a dialog, in a file of the user's alone."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

from capture.system.private_files import make_folder, read_small, replace

__all__ = ["recall", "remember"]

_NAME: Final = "screen-permission"

#: Tokens are short; the portal's are UUIDs.
_LONGEST: Final = 1000


def recall() -> str:
    """Return the token of the last permission; "" if there is none that can be read."""
    with suppress(OSError, UnicodeDecodeError):
        token = read_small(_path()).decode("ascii").strip()
        if len(token) <= _LONGEST and token.isprintable():
            return token
    return ""


def remember(token: str) -> None:
    """Keep the token for the next recording; "" removes it. If it cannot be kept, the desktop will ask again."""
    path = _path()
    with suppress(OSError):
        if token:
            make_folder(path.parent)
            replace(path, f"{token}\n".encode("ascii", errors="replace"))
        else:
            path.unlink()


def _path() -> Path:
    # Only needed with a portal, and takes a while to load.
    import platformdirs

    return platformdirs.user_state_path("capture", appauthor=False) / _NAME
