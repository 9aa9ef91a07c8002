"""One window of an X11 desktop as a source of frames: what is visible at its place, wherever it moves."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from Xlib import X, error
from Xlib.display import Display

from capture.errors import DisplayLostError, NotReadyError, UsageError
from capture.events import EventKind
from capture.media import Frame, Pixels, Rectangle
from capture.sources.overlays.overlays import Overlays
from capture.sources.placement import Placement, black
from capture.sources.screen_source import capture_time_s
from capture.sources.x11.change_watch import NOWHERE, X11Watch
from capture.sources.x11.window_list import Window
from capture.sources.x11.xcb import Connection
from capture.sources.x11.xlib import connect

__all__ = ["WindowSource"]

#: How often to grab in a row while the window moves during each grab; a window that never rests is taken as it is.
MOST_GRABS: Final = 3

#: How often to look up the window while it or its frame is being replaced, before it counts as gone.
MOST_LOOKS: Final = 3

#: Events that say that the window, or one around it, was moved, resized, hidden, shown or destroyed.
_STRUCTURE_EVENTS: Final = (
    X.ConfigureNotify,
    X.DestroyNotify,
    X.GravityNotify,
    X.MapNotify,
    X.ReparentNotify,
    X.UnmapNotify,
)


class WindowSource:
    """Delivers frames of the window that `find` returns at `open`, together with whatever covers it.

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
        self._watch: _WindowWatch | None = None
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
        watch = self._watch = _WindowWatch(window.number, with_cursor=self._cursor, overlays_due_s=self._overlays.due_s)
        self._screen = watch.bounds
        try:
            found = watch.locate()
        except _WindowGoneError as gone:
            raise NotReadyError(f"the window {self._title!r} is gone", "see capture devices") from gone
        # A hidden window still has its size.
        (area, self._shown), self._hidden = found or (window.area, NOWHERE), found is None
        even = area.trimmed_to_even()
        if not even.width or not even.height:
            raise UsageError(f"the window {self._title!r} has no area to record", "choose another one")
        self._first_size, self._size, self._area = (area.width, area.height), (even.width, even.height), even
        if even != area:
            sizes = f"{area.width}x{area.height} cropped to {even.width}x{even.height}"
            self._report(EventKind.CROPPED, f"{sizes}: sizes must be even")
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
            place = Placement(*self._size, self._area, self._shown.intersection(watch.bounds) or NOWHERE)
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

    def _reread_screen(self, watch: _WindowWatch) -> None:
        """Read the screen as it is now."""
        watch.rearranged_at_s = None
        if watch.bounds != self._screen:
            self._screen = watch.bounds
            self._report(EventKind.DISPLAY_CHANGED, f"the screen is now {watch.bounds}")

    def _keep_up(self, watch: _WindowWatch) -> None:
        """Find the window again if it may have moved."""
        if not watch.has_moved or self._gone:
            return
        try:
            found = watch.locate()
        except _WindowGoneError:
            found, self._gone = None, True
            self._report(EventKind.WINDOW_CLOSED, f"the window {self._title!r} was closed")
            self._end("window_closed")
        self._hidden = found is None
        if found is not None:
            area, self._shown = found
            # At its first size it fills the picture, apart from an odd row or column.
            self._area = area.trimmed_to_even() if (area.width, area.height) == self._first_size else area
        self._look_at(watch, None if self._hidden else self._shown)

    def _look_at(self, watch: _WindowWatch, area: Rectangle | None) -> None:
        watch.look_at(area)
        self._overlays.look_at(area)

    def _seen(self, place: Placement, watch: _WindowWatch) -> Pixels | None:
        """Return the visible pixels at the window's place; None if there are none."""
        if self._hidden or place.seen is None:
            return None
        try:
            return watch.reader.grab(place.seen)
        except DisplayLostError:
            before = watch.bounds
            watch.sync()
            if watch.bounds == before:
                return watch.reader.grab(place.seen)
            # The screen has shrunk meanwhile.
            return None


class _WindowGoneError(Exception):
    """The window no longer exists."""


class _WindowWatch(X11Watch):
    """An `X11Watch` that also follows a window: whatever happens to the window counts as a change."""

    def __init__(self, number: int, *, with_cursor: bool, overlays_due_s: Callable[[], float]) -> None:
        #: Whether a window event has arrived since `locate`.
        self.has_moved = True
        self._relations_changed = True
        # Window events are rare, so python-xlib handles them.
        self._display = connect()
        self._window = self._display.create_resource_object("window", number)
        self._root = self._display.screen().root
        # The window and all its ancestors but the root.
        self._nested: list[Any] = []
        try:
            super().__init__(None, with_cursor=with_cursor, overlays_due_s=overlays_due_s)
        except BaseException:
            self._display.close()
            raise

    def sync(self) -> None:
        super().sync()
        self._guarded(self._display.sync)
        self.hear()

    def close(self) -> None:
        super().close()
        with suppress(OSError, error.ConnectionClosedError):
            self._display.close()

    def _sources(self) -> list[Connection | Display]:
        return [*super()._sources(), self._display]

    def _guarded(self, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (error.ConnectionClosedError, OSError) as lost:
            raise DisplayLostError("the display is gone (the X server closed the connection)") from lost

    def locate(self) -> tuple[Rectangle, Rectangle] | None:
        """Return the window's current place, and the part of it that its frame shows; None while nothing is visible.

        Window managers roll a window up by shrinking its frame. Raises `_WindowGoneError`.
        """
        # Events from here on count as new.
        self.has_moved = False
        for _ in range(MOST_LOOKS):
            with suppress(error.XError):
                return self._guarded(self._look)  # type: ignore[no-any-return]
            # The window is gone, or the frame around it.
            self._relations_changed = True
        raise _WindowGoneError

    def _look(self) -> tuple[Rectangle, Rectangle] | None:
        if self._relations_changed:
            self._relations_changed = False
            self._follow()
        if self._window.get_attributes().map_state != X.IsViewable:
            return None
        area, *frames = map(self._place_of, self._nested)
        shown: Rectangle | None = area
        for frame in frames:
            shown = shown.intersection(frame) if shown is not None else None
        return (area, shown) if shown is not None else None

    def _place_of(self, window: Any) -> Rectangle:
        size, place = window.get_geometry(), window.translate_coords(self._root, 0, 0)
        # The translation is of the root's origin into the window.
        return Rectangle(-place.x, -place.y, size.width, size.height)

    def _follow(self) -> None:
        """Ask for events of the window and its ancestors: when a frame moves, the window in it does not."""
        self._nested = []
        window = self._window
        while window and window.id != self._root.id:
            # If a window was destroyed meanwhile, the next request notices.
            window.change_attributes(event_mask=X.StructureNotifyMask, onerror=error.CatchError())
            self._nested.append(window)
            window = window.query_tree().parent

    def hear(self) -> None:
        super().hear()
        while self._guarded(self._display.pending_events):
            event = self._guarded(self._display.next_event)
            if event.type in _STRUCTURE_EVENTS:
                self.has_moved = True
                self._relations_changed |= event.type == X.ReparentNotify
                self._note_change()
