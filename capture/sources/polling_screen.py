"""The screen source for Windows and macOS, which do not report what was drawn: it compares pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from capture.errors import DisplayLostError
from capture.events import EventKind
from capture.media import Frame, Pixels, Rectangle
from capture.sources.mss_reader import MssReader
from capture.sources.placement import Placement, black, fitted
from capture.sources.screen_source import capture_time_s
from capture.sources.screens import Where, desktop_of

__all__ = ["PollingScreenSource"]

#: How often to check for changed monitors, which these systems do not report; and how often to try the screen again
#: while it is unreadable, as when it is locked.
LOOK_EVERY_S: Final = 2.0

#: How often to compare during a long wait: each comparison costs a grab.
COMPARE_EVERY_S: Final = 1 / 30


class PollingScreenSource:
    """Delivers frames of `area`, without the cursor. The area must lie on the desktop and have even sides.

    When the monitors change, `where` returns the area to show from then on; it is fitted into the first size. While the
    screen is unreadable, frames repeat its last picture. Both go to `report`.
    """

    def __init__(self, area: Rectangle, *, where: Where, report: Callable[[EventKind, str], None]) -> None:
        self._where = where
        self._report = report
        self._reader: MssReader | None = None
        self._place = Placement(area.width, area.height, area, area)
        self._look_at_s = 0.0
        self._is_unreadable = False
        self._woken = threading.Event()
        self._last: Pixels | None = None
        self._next: Pixels | None = None
        self._unchanged_at_s: float | None = None

    @property
    def width(self) -> int:
        return self._place.width

    @property
    def height(self) -> int:
        return self._place.height

    def open(self) -> None:
        self._reader = MssReader()
        self._look_at_s = time.monotonic() + LOOK_EVERY_S

    def begin(self, epoch_s: float) -> None:
        """Make the first frame a new one, whatever was grabbed before."""
        self._last = self._next = self._unchanged_at_s = None

    def wait_for_change(self, until_s: float) -> bool:
        # Grab and compare: this costs far less than encoding an unchanged picture.
        while True:
            self._next = self._picture()
            if self._last is None or not np.array_equal(self._next, self._last):
                return True
            self._next, self._unchanged_at_s = None, time.monotonic()
            left_s = until_s - self._unchanged_at_s
            woken = self._woken.wait(max(0.0, min(left_s, COMPARE_EVERY_S)))
            self._woken.clear()
            if woken or left_s <= COMPARE_EVERY_S:
                return False

    def grab(self) -> Frame:
        changed_at_s, now_s = self._unchanged_at_s, time.monotonic()
        pixels, self._next = self._next if self._next is not None else self._picture(), None
        self._last, self._unchanged_at_s = pixels, now_s
        return Frame(pixels, capture_time_s(changed_at_s, now_s))

    def idle(self) -> None: ...

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _picture(self) -> Pixels:
        """Return the screen as it is now, or the last picture while the screen is unreadable."""
        if time.monotonic() >= self._look_at_s or not self._is_unreadable:
            try:
                return self._read()
            except DisplayLostError as error:
                self._note(error)
        return self._last if self._last is not None else black(self.width, self.height)

    def _read(self) -> Pixels:
        """Return the screen as it is now. Raises `DisplayLostError` if it is unreadable."""
        if time.monotonic() >= self._look_at_s:
            self._find_area()
        try:
            picture = self._seen()
        except DisplayLostError:
            # The monitors may have changed.
            self._find_area()
            picture = self._seen()
        self._note(None)
        return picture

    def _seen(self) -> Pixels:
        place, seen = self._place, self._place.seen
        # On a scaled display the grab has more pixels than the system counts.
        pixels = None if seen is None else fitted(self._opened.grab(seen), seen.width, seen.height)
        return place.picture(pixels)

    def _find_area(self) -> None:
        """Find the recorded area on the current monitors. Raises `DisplayLostError` if there is no screen."""
        self._look_at_s = time.monotonic() + LOOK_EVERY_S
        self._opened.reopen()
        screens = self._opened.screens()
        if not screens:
            raise DisplayLostError("no screen is connected")
        reported, self._place = self._place, replace(self._place, area=self._where(screens), bounds=desktop_of(screens))
        if not self._place.shows_as(reported):
            self._report(EventKind.DISPLAY_CHANGED, str(self._place))

    @property
    def _opened(self) -> MssReader:
        assert self._reader is not None  # noqa: S101 - it is open
        return self._reader

    def _note(self, error: DisplayLostError | None) -> None:
        """Report when the screen becomes unreadable, and when it is readable again."""
        if self._is_unreadable == (error is not None):
            return
        self._is_unreadable = error is not None
        if error is not None:
            self._report(EventKind.SCREEN_UNREADABLE, f"{error}: repeating its last picture until it can be read again")
        else:
            self._report(EventKind.SCREEN_READABLE, "the screen can be read again")
