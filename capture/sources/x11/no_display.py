"""What to say where there is no display to record."""

from __future__ import annotations

import os
from typing import Final

from capture.errors import NotReadyError

__all__ = ["NO_DISPLAY", "no_display"]

#: The remedy.
NO_DISPLAY: Final = "use --screen none, or capture headless -- COMMAND"


def no_display() -> NotReadyError:
    """Return the error that no X server can be reached."""
    display = os.environ.get("DISPLAY")
    if not display:
        return NotReadyError("there is no display to record", f"set DISPLAY, {NO_DISPLAY}")
    return NotReadyError(
        f"there is no display to record: no X server lets capture in at DISPLAY={display}",
        f"set DISPLAY as it is in the session, {NO_DISPLAY}",
    )
