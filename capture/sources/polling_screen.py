"""A part of a screen where the system does not tell what was drawn: Windows and macOS. Pictures are compared."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np

from capture.errors import DisplayLostError
from capture.event_kinds import EventKind
from capture.media import Frame, Pixels, Rectangle
from capture.sources.mss_reader import MssReader
from capture.sources.placement import Placement, black, fitted
from capture.sources.screen_source import middle_s
from capture.sources.screens import Where, desktop_of

__all__ = ["PollingScreenSource"]

#: How often is looked whether the monitors are others, for they do not tell; and, while the screen cannot be read, as
#: when it is locked, whether it can be again.
LOOK_EVERY_S: Final = 2.0

#: In a long wait the screen is compared so often: each time costs a grab.
COMPARE_EVERY_S: Final = 1 / 30


class PollingScreenSource:
    """Frames of `area`, which must lie on the desktop and have even sides; the cursor is not in them.

    When the monitors become others, `where` tells what is to be seen from then on; that is fitted into the first size.
    While the screen cannot be read its last picture stands. `tell` hears of both.
    """

    def __init__(self, area: Rectangle, *, where: Where, tell: Callable[[EventKind, str], None]) -> None:
        self._where = where
        self._tell = tell
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
        """The first picture is new, whatever was seen before."""
        self._last = self._next = self._unchanged_at_s = None

    def wait_for_change(self, until_s: float) -> bool:
        # Look, and compare, which costs far less than encoding what did not change.
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
        return Frame(pixels, middle_s(changed_at_s, now_s))

    def idle(self) -> None: ...

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()

    def _picture(self) -> Pixels:
        """The screen as it is now, or as it was when it was last to be read."""
        if time.monotonic() >= self._look_at_s or not self._is_unreadable:
            try:
                return self._read()
            except DisplayLostError as error:
                self._note(error)
        return self._last if self._last is not None else black(self.width, self.height)

    def _read(self) -> Pixels:
        """Raises `DisplayLostError` where the screen cannot be read."""
        if time.monotonic() >= self._look_at_s:
            self._look_anew()
        try:
            picture = self._seen()
        except DisplayLostError:
            # It may be that the screen is another one now.
            self._look_anew()
            picture = self._seen()
        self._note(None)
        return picture

    def _seen(self) -> Pixels:
        place, seen = self._place, self._place.seen
        # What has more pixels than the system counts comes in that size.
        pixels = None if seen is None else fitted(self._opened.grab(seen), seen.width, seen.height)
        return place.picture(pixels)

    def _look_anew(self) -> None:
        """See where what is to be recorded is now. Raises `DisplayLostError` where there is no screen."""
        self._look_at_s = time.monotonic() + LOOK_EVERY_S
        self._opened.reopen()
        screens = self._opened.screens()
        if not screens:
            raise DisplayLostError("no screen is connected")
        told, self._place = self._place, replace(self._place, area=self._where(screens), bounds=desktop_of(screens))
        if not self._place.shows_as(told):
            self._tell(EventKind.DISPLAY_CHANGED, str(self._place))

    @property
    def _opened(self) -> MssReader:
        assert self._reader is not None  # noqa: S101 - it is open
        return self._reader

    def _note(self, error: DisplayLostError | None) -> None:
        """Tell when the screen cannot be read, and when it can be again."""
        if self._is_unreadable == (error is not None):
            return
        self._is_unreadable = error is not None
        if error is not None:
            self._tell(EventKind.SCREEN_UNREADABLE, f"{error}: its last picture stands until it can be read again")
        else:
            self._tell(EventKind.SCREEN_READABLE, "the screen can be read again")
