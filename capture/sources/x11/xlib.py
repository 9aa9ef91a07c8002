"""Connections to the X server through python-xlib, for requests that are rare."""

from __future__ import annotations

from Xlib import error
from Xlib.display import Display

from capture.errors import NotReadyError
from capture.triggers.quiet_xlib import keep_xlib_quiet

__all__ = ["connect"]


def connect() -> Display:
    """Return a new connection to the X server. Raises `NotReadyError` if there is none."""
    keep_xlib_quiet()
    try:
        return Display()
    except (error.DisplayError, error.ConnectionClosedError, OSError) as failure:
        raise NotReadyError(
            "there is no display to record", "set DISPLAY, use --screen none, or capture headless -- COMMAND"
        ) from failure
