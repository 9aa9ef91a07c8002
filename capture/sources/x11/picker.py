"""Lets the user choose a region or a window of an X11 desktop with the mouse."""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from Xlib import XK, X, error
from Xlib.display import Display

from capture.errors import NotReadyError, UsageError
from capture.media import Rectangle
from capture.sources.screens import LEAST_SIDE, require_x11
from capture.sources.x11.outline import Outline
from capture.sources.x11.window_list import Window, window_at
from capture.sources.x11.xlib import connect

__all__ = ["pick_region", "pick_window"]

#: How long to retry the grab: a program with an open menu holds the mouse, and a shortcut that started the recorder
#: holds the keyboard until its key is released.
GRAB_LIMIT_S: Final = 3.0
GRAB_INTERVAL_S: Final = 0.02

#: The crosshair's number in X11's cursor font.
_CROSSHAIR: Final = 34

_MOUSE_EVENTS: Final = X.ButtonPressMask | X.ButtonReleaseMask | X.PointerMotionMask
_LEFT_BUTTON: Final = 1
_RIGHT_BUTTON: Final = 3


def pick_region(say: Callable[[str], None]) -> Rectangle:
    """Return the rectangle that the user drags, with even sides. `say` is called with instructions once they can begin.

    Raises `UsageError` after Esc or the right button, `NotReadyError` if the mouse cannot be grabbed.
    """
    with _held_mouse() as display, _outline(display) as outline:
        say("Drag a rectangle to record (Esc cancels)")
        start: tuple[int, int] | None = None
        for event in _mouse_events(display):
            here = event.root_x, event.root_y
            if event.type == X.ButtonPress and event.detail == _LEFT_BUTTON:
                start = here
            elif start is not None and event.type == X.MotionNotify:
                outline.show(_between(start, here))
            elif start is not None and event.type == X.ButtonRelease and event.detail == _LEFT_BUTTON:
                area = _between(start, here)
                if min(area.width, area.height) >= LEAST_SIDE:
                    return area.trimmed_to_even()
                start = None
                outline.show(None)
    raise AssertionError("the mouse never ends")


def pick_window(say: Callable[[str], None]) -> Window:
    """Return the window that the user clicks, outlining the one under the mouse. Otherwise like `pick_region`."""
    with _held_mouse() as display, _outline(display) as outline:
        say("Click the window to record (Esc cancels)")
        pressed = False
        for event in _mouse_events(display):
            found = window_at(display, event.root_x, event.root_y)
            outline.show(None if found is None else found.area)
            if event.type == X.ButtonPress:
                pressed = event.detail == _LEFT_BUTTON
            elif event.type == X.ButtonRelease and pressed and found is not None:
                # Not at the press: the program below would receive a release without a press.
                return found
    raise AssertionError("the mouse never ends")


@contextmanager
def _held_mouse() -> Iterator[Display]:
    """Open a connection that receives all keys and mouse events; both grabs end with the context, whatever happens."""
    require_x11()
    display = connect()
    try:
        _hold(display)
        yield display
    except (error.XError, error.ConnectionClosedError, OSError) as lost:
        raise NotReadyError(f"the X server stopped reporting the mouse ({lost})", "try again") from lost
    finally:
        with suppress(error.ConnectionClosedError, OSError):
            display.ungrab_pointer(X.CurrentTime)
            display.ungrab_keyboard(X.CurrentTime)
            display.sync()
        with suppress(error.ConnectionClosedError, OSError):
            display.close()


def _hold(display: Display) -> None:
    root, cross = display.screen().root, _cross(display)
    gives_up_at_s = time.monotonic() + GRAB_LIMIT_S
    while True:
        how = X.GrabModeAsync, X.GrabModeAsync
        held = root.grab_pointer(False, _MOUSE_EVENTS, *how, X.NONE, cross, X.CurrentTime)
        if held == X.GrabSuccess:
            held = root.grab_keyboard(False, *how, X.CurrentTime)
        if held == X.GrabSuccess:
            return
        if time.monotonic() >= gives_up_at_s:
            raise NotReadyError(
                "another program holds the mouse or the keyboard", "close its menu, or give --region WxH+X+Y"
            )
        time.sleep(GRAB_INTERVAL_S)


def _cross(display: Display) -> Any:
    font = display.open_font("cursor")
    if font is None:
        return X.NONE
    # Black, with its white edge as the mask.
    return font.create_glyph_cursor(font, _CROSSHAIR, _CROSSHAIR + 1, (0, 0, 0), (65535, 65535, 65535))


@contextmanager
def _outline(display: Display) -> Iterator[Outline]:
    outline = Outline(display)
    try:
        yield outline
    finally:
        with suppress(error.ConnectionClosedError, OSError):
            outline.close()


def _mouse_events(display: Display) -> Iterator[Any]:
    """Yield mouse events; of several motions only the last. Raises `UsageError` if the user cancels."""
    while True:
        if not (waiting := display.pending_events()):
            # Wait outside the library: Ctrl+C during one of its reads would leave it unusable.
            select.select([display], [], [])
        way: Any = None
        for _ in range(waiting):
            event = display.next_event()
            if event.type == X.MotionNotify:
                way = event
                continue
            if way is not None:
                yield way
                way = None
            escaped = event.type == X.KeyPress and display.keycode_to_keysym(event.detail, 0) == XK.XK_Escape
            if escaped or (event.type == X.ButtonPress and event.detail == _RIGHT_BUTTON):
                raise UsageError("nothing was selected", "give --region WxH+X+Y or --window TITLE instead")
            if event.type in (X.ButtonPress, X.ButtonRelease):
                yield event
        if way is not None:
            yield way


def _between(start: tuple[int, int], end: tuple[int, int]) -> Rectangle:
    """Return the rectangle with these two pixels in its corners."""
    (left, right), (top, bottom) = sorted((start[0], end[0])), sorted((start[1], end[1]))
    return Rectangle(left, top, right - left + 1, bottom - top + 1)
