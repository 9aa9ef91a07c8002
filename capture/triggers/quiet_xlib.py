"""Keeps python-xlib from printing: standard output is for what the user asked for, and may be one JSON object."""

from __future__ import annotations

from typing import Any

__all__ = ["keep_xlib_quiet"]


def keep_xlib_quiet() -> None:
    """Call this before connecting: python-xlib 0.33 prints a warning about an Xauthority file that is empty or cut."""
    from Xlib import xauth

    # Its own name `print` comes before the builtin. To exchange `sys.stdout` would silence other threads as well.
    xauth.print = _say_nothing


def _say_nothing(*arguments: Any) -> None: ...
