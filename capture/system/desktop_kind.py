"""Whether the desktop that an environment names is one of Wayland."""

from __future__ import annotations

import sys
from collections.abc import Mapping

__all__ = ["has_wayland_desktop"]


def has_wayland_desktop(environment: Mapping[str, str]) -> bool:
    """Whether the programs of this environment are on a Wayland desktop, which only Linux has.

    Beside a DISPLAY, the compositor of WAYLAND_DISPLAY has to be there: a terminal may outlive the session whose
    variables it has. To look takes a millisecond at most.
    """
    if sys.platform != "linux":
        return False
    if not environment.get("WAYLAND_DISPLAY") or not environment.get("DISPLAY"):
        return bool(environment.get("WAYLAND_DISPLAY"))
    # Imported here: only Wayland's desktops have both.
    from capture.system.wayland_connection import has_compositor

    return has_compositor(environment)
