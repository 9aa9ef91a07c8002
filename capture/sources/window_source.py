"""One window of an X11 desktop as a source of frames, wherever it moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from capture.errors import DisplayLostError, NotReadyError
from capture.events import EventKind
from capture.media import Frame, Pixels, Rectangle
from capture.sources.overlays.overlays import Overlays
from capture.sources.placement import Placement, black, cropped_to_even
from capture.sources.screen_source import capture_time_s
from capture.sources.x11.change_watch import NOWHERE
from capture.sources.x11.window_list import Window
from capture.sources.x11.window_watch import WindowGoneError, WindowWatch

__all__ = ["WindowSource"]

#: How often to grab in a row while the window moves during each grab; a window that never rests is taken as it is.
MOST_GRABS: Final = 3


class WindowSource:
    """Delivers frames of the window that `find` returns at `open`, without its shadow and without what covers it.

    If the X server does not keep what is covered, frames show whatever covers the window; `report` is called with
    `window_not_kept` before the recording begins.

    The picture keeps the window's first size, made even. A window that changes its size is centred on black, scaled
    down if it is too large. While the window is hidden, frames repeat its last picture. When it is closed, `report` and
    `end` are called once, each with `window_closed`, and the last picture is repeated until the end.
    """

    def __init__(
        self,
        find: Callable[[], Window],
        *,
        cursor: bool,
        report: Callable[[EventKind, str], None],
        end: Callable[[str], None],
        overlays: Overlays | None = None,
    ) -> None:
        self._find = find
        self._overlays = overlays or Overlays()
        self._cursor = cursor
        self._report = report
        self._end = end
        self._title = ""
        self._size = self._first_size = (0, 0)
        self._area = self._shown = NOWHERE
        self._hidden = self._gone = False
        self._watch: WindowWatch | None = None
        self._screen: Rectangle
        self._last: Pixels | None = None

    @property
    def width(self) -> int:
        return self._size[0]

    @property
    def height(self) -> int:
        return self._size[1]

    def open(self) -> None:
        window = self._find()
        self._title = window.title
        watch = self._watch = WindowWatch(window.number, with_cursor=self._cursor, overlays_due_s=self._overlays.due_s)
        self._screen = watch.bounds
        try:
            found = watch.locate()
        except WindowGoneError as gone:
            raise NotReadyError(f"the window {self._title!r} is gone", "see capture devices") from gone
        # A hidden window still has its size.
        (area, self._shown), self._hidden = found or (window.area, NOWHERE), found is None
        even = cropped_to_even(area, f"the window {self._title!r}", self._report)
        self._first_size, self._size, self._area = (area.width, area.height), (even.width, even.height), even
        if watch.is_covered_by_others:
            self._report(
                EventKind.WINDOW_NOT_KEPT, "this X server has no Composite: what covers the window is recorded"
            )
        self._look_at(watch, None if self._hidden else self._shown)
        self._overlays.open(self.width, self.height, watch.wake_for_overlays)

    def begin(self, epoch_s: float) -> None:
        """Make the first frame a new one, whatever was grabbed before."""
        self._overlays.begin()
        if self._watch is not None:
            self._watch.forget()

    def wait_for_change(self, until_s: float) -> bool:
        assert self._watch is not None  # noqa: S101 - it is open
        self._overlays.attend()
        return self._watch.wait_for_change(until_s) or self._watch.is_rearranged

    def grab(self) -> Frame:
        watch = self._watch
        assert watch is not None  # noqa: S101 - it is open
        if watch.is_rearranged:
            self._reread_screen(watch)
        self._overlays.update()
        changed_at_s, _ = watch.begin_grab()
        for _ in range(MOST_GRABS):
            now_s = time.monotonic()
            self._keep_up(watch)
            place = Placement(*self._size, self._area, watch.on_screen(self._shown) or NOWHERE)
            pixels = self._seen(place, watch)
            watch.sync()
            if not watch.has_moved:
                break
        else:
            # The pixels under a window that is gone or hidden are private: check once more.
            self._keep_up(watch)
        if not self._hidden:
            if pixels is not None and place.seen is not None:
                watch.draw_cursor(pixels, place.seen)
                self._overlays.draw_clicks(pixels, place.seen)
            self._last = place.picture(pixels)
        elif self._last is None:
            self._last = black(*self._size)
        picture = self._last
        if self._overlays.draws_keys:
            # Draw keys into a copy: the last picture may be repeated for longer than they are shown.
            picture = self._last.copy()
            self._overlays.draw_keys(picture)
        return Frame(picture, capture_time_s(changed_at_s, now_s))

    def idle(self) -> None:
        self._overlays.rest()
        if self._watch is not None:
            self._watch.hear()
            self._keep_up(self._watch)
            self._watch.reader.release()

    def wake(self) -> None:
        if self._watch is not None:
            self._watch.wake()

    def close(self) -> None:
        self._overlays.close()
        if self._watch is not None:
            self._watch.close()

    def _reread_screen(self, watch: WindowWatch) -> None:
        """Read the screen as it is now."""
        watch.rearranged_at_s = None
        if watch.bounds != self._screen:
            self._screen = watch.bounds
            self._report(EventKind.DISPLAY_CHANGED, f"the screen is now {watch.bounds}")

    def _keep_up(self, watch: WindowWatch) -> None:
        """Find the window again if it may have moved."""
        if not watch.has_moved or self._gone:
            return
        try:
            found = watch.locate()
        except WindowGoneError:
            found, self._gone = None, True
            self._report(EventKind.WINDOW_CLOSED, f"the window {self._title!r} was closed")
            self._end("window_closed")
        self._hidden = found is None
        if found is not None:
            area, self._shown = found
            # At its first size it fills the picture, apart from an odd row or column.
            self._area = area.trimmed_to_even() if (area.width, area.height) == self._first_size else area
        self._look_at(watch, None if self._hidden else self._shown)

    def _look_at(self, watch: WindowWatch, area: Rectangle | None) -> None:
        watch.look_at(area)
        self._overlays.look_at(area)

    def _seen(self, place: Placement, watch: WindowWatch) -> Pixels | None:
        """Return the visible pixels at the window's place; None if there are none."""
        if self._hidden or place.seen is None:
            return None
        try:
            return watch.grab(place.seen)
        except DisplayLostError:
            before = watch.bounds
            watch.sync()
            if watch.bounds == before:
                return watch.grab(place.seen)
            # The screen has shrunk meanwhile.
            return None
