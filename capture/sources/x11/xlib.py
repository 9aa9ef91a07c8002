"""Connections to the X server through python-xlib, for requests that are rare."""

from __future__ import annotations

from typing import Final

from Xlib import error
from Xlib.display import Display

from capture.sources.x11.no_display import no_display
from capture.triggers.quiet_xlib import keep_xlib_quiet
from capture.triggers.x11_resets import despite_resets

__all__ = ["connect"]

#: The last is that of a display with too high a number.
_FAILURES: Final = (error.DisplayError, error.ConnectionClosedError, OSError, OverflowError)


def connect() -> Display:
    """Return a new connection to the X server. Raises `NotReadyError` if there is none."""
    keep_xlib_quiet()
    try:
        return despite_resets(Display, *_FAILURES)
    except _FAILURES as failure:
        raise no_display() from failure
