"""Watches one window: what is drawn in it, and where it goes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from Xlib import X, error
from Xlib.display import Display

from capture.errors import DisplayLostError
from capture.media import Pixels, Rectangle
from capture.sources.x11.change_watch import X11Watch
from capture.sources.x11.window_pixmap import WindowPixmap
from capture.sources.x11.window_place import SHADOW_PROPERTY, Shadow, place_of, shadow_of
from capture.sources.x11.xcb import Connection
from capture.sources.x11.xlib import connect

__all__ = ["WindowGoneError", "WindowWatch"]

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


class WindowGoneError(Exception):
    """The window no longer exists."""


class WindowWatch(X11Watch):
    """An `X11Watch` that also follows a window: whatever happens to the window counts as a change.

    Where the server keeps the window's contents, only what is drawn in the window counts, and not what covers it.
    """

    def __init__(self, number: int, *, with_cursor: bool, overlays_due_s: Callable[[], float]) -> None:
        #: Whether a window event has arrived since `locate`.
        self.has_moved = True
        self._relations_changed = self._shadow_changed = True
        self._number = number
        self._pixmap: WindowPixmap | None = None
        self._shadow = Shadow()
        # Window events are rare, so python-xlib handles them.
        self._display = connect()
        self._window = self._display.create_resource_object("window", number)
        self._root = self._display.screen().root
        # The window and all its ancestors but the root.
        self._nested: list[Any] = []
        try:
            self._shadow_property = self._guarded(lambda: self._display.get_atom(SHADOW_PROPERTY))
            super().__init__(None, with_cursor=with_cursor, overlays_due_s=overlays_due_s)
        except BaseException:
            self._display.close()
            raise

    @property
    def is_covered_by_others(self) -> bool:
        """Whether what covers the window is read too, because the server does not keep the window's contents."""
        return self._pixmap is None

    def on_screen(self, shown: Rectangle) -> Rectangle | None:
        """Return what of `shown` can be read: without the window's contents only what is on the screen."""
        return shown if self._pixmap is not None else shown.intersection(self.bounds)

    def grab(self, part: Rectangle) -> Pixels:
        """Return the pixels of a part of what `locate` says is shown. Raises `DisplayLostError`."""
        if self._pixmap is None:
            return self.reader.grab(part)
        left, top = self._damage_corner
        return self._pixmap.grab(self.reader, Rectangle(part.left - left, part.top - top, part.width, part.height))

    def _watch_damage(self) -> None:
        self._pixmap = WindowPixmap.of(self._connection, self._number)
        super()._watch_damage()

    def _drawable(self) -> int:
        return super()._drawable() if self._pixmap is None else self._number

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
        """Return the window's current place without its shadow, and the part of it that can be read.

        That is all of it where the server keeps the window's contents, and else what its frame shows, even beside the
        screen: window managers roll a window up by shrinking its frame. None while nothing of it can be read. Raises
        `WindowGoneError`.
        """
        # Events from here on count as new.
        self.has_moved = False
        for _ in range(MOST_LOOKS):
            with suppress(error.XError):
                return self._guarded(self._look)  # type: ignore[no-any-return]
            # The window is gone, or the frame around it.
            self._relations_changed = True
        raise WindowGoneError

    def _look(self) -> tuple[Rectangle, Rectangle] | None:
        if self._relations_changed:
            self._relations_changed = False
            self._follow()
        if self._shadow_changed:
            self._shadow_changed = False
            self._shadow = shadow_of(self._window, self._display)
        if self._window.get_attributes().map_state != X.IsViewable:
            return None
        whole, *frames = (place_of(window, self._root) for window in self._nested)
        area = self._shadow.cut_from(whole)
        shown: Rectangle | None
        if self._pixmap is not None:
            self._damage_corner = whole.left, whole.top
            kept = self._pixmap.renew()
            shown = None if kept is None else area.intersection(kept.moved(whole.left, whole.top))
        else:
            shown = area
            for frame in frames:
                shown = shown.intersection(frame) if shown is not None else None
        return (area, shown) if shown is not None else None

    def _follow(self) -> None:
        """Ask for events of the window and its ancestors: when a frame moves, the window in it does not."""
        self._nested = []
        window = self._window
        while window and window.id != self._root.id:
            # If a window was destroyed meanwhile, the next request notices.
            mask = X.StructureNotifyMask | (X.PropertyChangeMask if window is self._window else 0)
            window.change_attributes(event_mask=mask, onerror=error.CatchError())
            self._nested.append(window)
            window = window.query_tree().parent

    def hear(self) -> None:
        super().hear()
        while self._guarded(self._display.pending_events):
            event = self._guarded(self._display.next_event)
            is_shadow = event.type == X.PropertyNotify and event.atom == self._shadow_property
            if is_shadow or event.type in _STRUCTURE_EVENTS:
                self.has_moved = True
                self._relations_changed |= event.type == X.ReparentNotify
                self._shadow_changed |= is_shadow
                self._note_change()
