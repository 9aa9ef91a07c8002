"""One window of an X11 desktop as a source of frames: what is seen where it is, wherever it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import av
import numpy as np
from av.video.reformatter import Interpolation
from Xlib import X, error

from capture.errors import NotReadyError, UsageError
from capture.media import Frame, Pixels, Rectangle
from capture.sources.screen import close_mss, grab_pixels, open_mss
from capture.sources.windows import Window
from capture.sources.x11 import X11Watch

__all__ = ["WindowSource", "fitted"]

#: X11's coordinates have 16 bits: nothing is drawn here, and no cursor comes near.
NOWHERE: Final = Rectangle(-(1 << 20), -(1 << 20), 0, 0)

#: A picture is grabbed again when the window has moved meanwhile; one that never rests is taken as it comes.
MOST_GRABS: Final = 3

#: What tells that a window, or one it is in, is somewhere else, has another size, is hidden, shown or gone.
_STRUCTURE_EVENTS: Final = (
    X.ConfigureNotify,
    X.DestroyNotify,
    X.GravityNotify,
    X.MapNotify,
    X.ReparentNotify,
    X.UnmapNotify,
)


class WindowSource:
    """Frames of the window that `find` gives when it is opened, with what covers it.

    Its size then, made even, stays that of the picture. When the window changes its size it is put into the middle of
    that on black, made smaller where it is too large; while it is hidden the last picture stands. When it is closed,
    `tell` and `end` are called once, each with `window_closed`, and the last picture stands until the end.
    """

    def __init__(
        self,
        find: Callable[[], Window],
        *,
        cursor: bool,
        tell: Callable[[str, str], None],
        end: Callable[[str], None],
    ) -> None:
        self._find = find
        self._cursor = cursor
        self._tell = tell
        self._end = end
        self._title = ""
        self._size = self._first_size = (0, 0)
        self._bounds = self._area = NOWHERE
        self._hidden = self._gone = False
        self._grabber: Any = None
        self._watch: _WindowWatch | None = None
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
        self._grabber = open_mss()
        watch = self._watch = _WindowWatch(window.number, with_cursor=self._cursor)
        self._bounds = watch.bounds
        try:
            area = watch.locate()
        except _WindowGoneError as gone:
            raise NotReadyError(f"the window {self._title!r} is gone", "see capture devices") from gone
        # A hidden one still has its size.
        area, self._hidden = area or window.area, area is None
        even = area.made_even()
        if not even.width or not even.height:
            raise UsageError(f"the window {self._title!r} has no area to record", "choose another one")
        self._first_size, self._size, self._area = (area.width, area.height), (even.width, even.height), area
        if even != area:
            sizes = f"{area.width}x{area.height} cropped to {even.width}x{even.height}"
            self._tell("cropped", f"{sizes}: sizes must be even")
        watch.look_at(NOWHERE if self._hidden else area)

    def begin(self, epoch_s: float) -> None:
        """The first picture is new, whatever was seen before."""
        if self._watch is not None:
            self._watch.forget()

    def wait_for_change(self, until_s: float) -> bool:
        assert self._watch is not None  # noqa: S101 - it is open
        return self._watch.wait_for_change(until_s)

    def grab(self) -> Frame:
        watch = self._watch
        assert watch is not None  # noqa: S101 - it is open
        changed_at_s, _ = watch.begin_grab()
        for _ in range(MOST_GRABS):
            now_s = time.monotonic()
            self._keep_up(watch)
            picture = None if self._hidden else self._seen()
            watch.sync()
            if not watch.has_moved:
                break
        else:
            # What was under a window that is gone or hidden is nobody's business.
            self._keep_up(watch)
        if picture is not None and not self._hidden:
            watch.draw_cursor(picture, self._area)
            self._last = fitted(picture, *self._size)
        elif self._last is None:
            self._last = _black(*self._size)
        return Frame(self._last, now_s if changed_at_s is None else (changed_at_s + now_s) / 2)

    def idle(self) -> None:
        if self._watch is not None:
            self._watch.hear()
            self._keep_up(self._watch)

    def wake(self) -> None:
        if self._watch is not None:
            self._watch.wake()

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
        grabber, self._grabber = self._grabber, None
        if grabber is not None:
            close_mss(grabber)

    def _keep_up(self, watch: _WindowWatch) -> None:
        """Look where the window is, if it may be elsewhere."""
        if not watch.has_moved or self._gone:
            return
        try:
            area = watch.locate()
        except _WindowGoneError:
            area, self._gone = None, True
            self._tell("window_closed", f"the window {self._title!r} was closed")
            self._end("window_closed")
        self._hidden = area is None
        self._area = area or self._area
        watch.look_at(area or NOWHERE)

    def _seen(self) -> Pixels:
        """What is on the screen where the window is; what is not on the screen is black."""
        left, top, width, height = self._area.left, self._area.top, self._area.width, self._area.height
        if (width, height) == self._first_size:
            width, height = self._size
        right, bottom = min(left + width, self._bounds.right), min(top + height, self._bounds.bottom)
        x, y = max(left, self._bounds.left), max(top, self._bounds.top)
        if x >= right or y >= bottom:
            return _black(width, height)
        pixels = grab_pixels(self._grabber, Rectangle(x, y, right - x, bottom - y))
        if pixels.shape[:2] == (height, width):
            return pixels
        picture = _black(width, height)
        picture[y - top : bottom - top, x - left : right - left] = pixels
        return picture


def fitted(picture: Pixels, width: int, height: int) -> Pixels:
    """`picture` in the middle of a black one of this size, made smaller where it does not fit."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(1.0, width / picture.shape[1], height / picture.shape[0])
    if scale < 1.0:
        wide, high = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "bgra")
        picture = np.asarray(frame.reformat(wide, high, interpolation=Interpolation.AREA).to_ndarray())
    left, top = (width - picture.shape[1]) // 2, (height - picture.shape[0]) // 2
    canvas = _black(width, height)
    canvas[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return canvas


def _black(width: int, height: int) -> Pixels:
    return np.zeros((height, width, 4), np.uint8)


class _WindowGoneError(Exception):
    """The window does not exist any more."""


class _WindowWatch(X11Watch):
    """Watches a window's place as well: what happens to it counts as a change."""

    def __init__(self, number: int, *, with_cursor: bool) -> None:
        #: Something has happened since `locate`.
        self.has_moved = True
        self._relations_changed = True
        super().__init__(NOWHERE, with_cursor=with_cursor)
        self._window = self._display.create_resource_object("window", number)

    @property
    def bounds(self) -> Rectangle:
        """The whole screen."""
        size = self._guarded(self._root.get_geometry)
        return Rectangle(0, 0, size.width, size.height)

    def locate(self) -> Rectangle | None:
        """Where the window is now; None while it cannot be seen. Raises `_WindowGoneError`."""
        # What happens from here on counts anew.
        self.has_moved = False
        try:
            if self._relations_changed:
                self._relations_changed = False
                self._guarded(self._follow)
            if self._guarded(self._window.get_attributes).map_state != X.IsViewable:
                return None
            size = self._guarded(self._window.get_geometry)
            place = self._guarded(lambda: self._window.translate_coords(self._root, 0, 0))
        except error.XError as gone:
            raise _WindowGoneError from gone
        # The translation is of the root's origin into the window.
        return Rectangle(-place.x, -place.y, size.width, size.height)

    def _follow(self) -> None:
        """Be told of what happens to the window and to all it is in: its frame moves, and it does not."""
        window = self._window
        while window and window.id != self._root.id:
            # One that was destroyed meanwhile is noticed by what is asked next.
            window.change_attributes(event_mask=X.StructureNotifyMask, onerror=error.CatchError())
            window = window.query_tree().parent

    def _hear(self, event: Any) -> None:
        if event.type not in _STRUCTURE_EVENTS:
            return
        self.has_moved = True
        self._relations_changed |= event.type == X.ReparentNotify
        if self._changed_at_s is None:
            self._changed_at_s = time.monotonic()
