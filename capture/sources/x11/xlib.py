"""Connections to the X server through python-xlib, for requests that are rare."""

from __future__ import annotations

from Xlib import error
from Xlib.display import Display

from capture.errors import NotReadyError
from capture.triggers.quiet_xlib import keep_xlib_quiet

__all__ = ["connect", "is_xwayland"]


def is_xwayland() -> bool:
    """Whether the X server runs inside a Wayland desktop, whose windows it cannot see."""
    display = connect()
    try:
        if display.has_extension("XWAYLAND"):
            return True
        outputs = display.screen().root.xrandr_get_screen_resources()._data["outputs"]
        return any(display.xrandr_get_output_info(output, 0)._data["name"].startswith("XWAYLAND") for output in outputs)
    except (error.XError, AttributeError, KeyError):
        return False
    finally:
        display.close()


def connect() -> Display:
    """Return a new connection to the X server. Raises `NotReadyError` if there is none."""
    keep_xlib_quiet()
    try:
        return Display()
    except (error.DisplayError, error.ConnectionClosedError, OSError) as failure:
        raise NotReadyError(
            "there is no display to record", "set DISPLAY, use --screen none, or capture headless -- COMMAND"
        ) from failure
