"""The screen and its monitors through mss, on Windows and macOS.

It works on X11 too, for tests: there it takes a tenth of a second to open, and copies every picture.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import mss
import numpy as np
from mss.exception import ScreenShotError

from capture.errors import DisplayLostError, NotReadyError
from capture.media import Pixels, Rectangle
from capture.sources.x11.monitors import Screen
from capture.sources.x11.no_display import NO_DISPLAY

__all__ = ["MssReader"]

#: mss answers a dead display with a bare assertion, and Windows with nothing but a number.
_FAILURES: Final = (ScreenShotError, AssertionError, OSError)


class MssReader:
    """Reads the screen with the monitors as they were at construction or at the last `reopen`. For one thread.

    On Windows it makes this process see physical pixels, whatever the scale. Raises `NotReadyError` if there is no
    display.
    """

    def __init__(self) -> None:
        self._grabber: Any = self._opened()

    def _opened(self) -> Any:
        try:
            return mss.MSS()
        except _FAILURES as error:
            raise NotReadyError(f"there is no display to record ({error})", NO_DISPLAY) from error

    def screens(self) -> list[Screen]:
        """Return the monitors in the system's order; exactly one of them is primary. Raises `DisplayLostError`."""
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
        """Return the pixels of `area`, which must lie on the screen: (height, width, 4). Raises `DisplayLostError`."""
        where = {"left": area.left, "top": area.top, "width": area.width, "height": area.height}
        try:
            return np.asarray(self._grabber.grab(where))
        except _FAILURES as error:
            raise DisplayLostError(f"the screen can no longer be read ({error or 'the display is gone'})") from error

    def reopen(self) -> None:
        """Read the current monitors. Raises `DisplayLostError`."""
        self.close()
        try:
            self._grabber = self._opened()
        except NotReadyError as error:
            raise DisplayLostError(f"the screen can no longer be read ({error.message})") from error

    def close(self) -> None:
        """Close the reader; may be called twice, and after the display is gone."""
        with suppress(*_FAILURES):
            self._grabber.close()
