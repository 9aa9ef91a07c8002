"""The screen by mss: its pixels and monitors, on every system. On X11 it is asked only where nothing quicker does.

There it takes a tenth of a second to get ready, and copies every picture.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import mss
import numpy as np
from mss.exception import ScreenShotError

from capture.errors import DisplayLostError, NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.x11.monitors import NO_DISPLAY, Screen

__all__ = ["MssReader"]

#: mss answers a dead display with a bare assertion, and Windows says nothing but a number.
_FAILURES: Final = (ScreenShotError, AssertionError, OSError)


class MssReader:
    """Reads the screen as it was when this was made, or reopened. For one thread.

    On Windows it makes this process see true pixels, whatever the scale. Raises `NotReadyError`.
    """

    def __init__(self) -> None:
        self._grabber: Any = self._opened()

    def _opened(self) -> Any:
        try:
            return mss.MSS()
        except _FAILURES as error:
            raise NotReadyError(f"there is no display to record ({error})", NO_DISPLAY) from error

    def screens(self) -> list[Screen]:
        """The monitors, in the system's order; of those there are exactly one is primary. `DisplayLostError`."""
        try:
            monitors = self._grabber.monitors[1:]
        except _FAILURES as error:
            raise DisplayLostError(f"the monitors cannot be listed ({error or 'the display is gone'})") from error
        primary = next((number for number, monitor in enumerate(monitors) if monitor.get("is_primary")), 0)
        return [
            Screen(
                str(number + 1),
                str(monitor.get("output") or monitor.get("name") or f"screen {number + 1}"),
                Rectangle(monitor["left"], monitor["top"], monitor["width"], monitor["height"]),
                number == primary,
            )
            for number, monitor in enumerate(monitors)
        ]

    def grab(self, area: Rectangle) -> Pixels:
        """What is on the screen in `area`, which must lie on it. Raises `DisplayLostError`."""
        where = {"left": area.left, "top": area.top, "width": area.width, "height": area.height}
        try:
            return np.asarray(self._grabber.grab(where))
        except _FAILURES as error:
            raise DisplayLostError(f"the screen can no longer be read ({error or 'the display is gone'})") from error

    def reopen(self) -> None:
        """Know the screen as it is now. Raises `DisplayLostError`."""
        self.close()
        try:
            self._grabber = self._opened()
        except NotReadyError as error:
            raise DisplayLostError(f"the screen can no longer be read ({error.message})") from error

    def close(self) -> None:
        """May be called twice, and after the display has gone."""
        with suppress(*_FAILURES):
            self._grabber.close()
