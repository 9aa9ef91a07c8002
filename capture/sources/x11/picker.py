"""Showing with the mouse what of an X11 desktop is to be recorded."""

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
from capture.sources.screens import refuse_wayland
from capture.sources.x11.outline import Outline
from capture.sources.x11.window_list import Window, window_at
from capture.sources.x11.xlib import connect

__all__ = ["point_at_window", "point_out_region"]

#: A program whose menu is open holds the mouse for as long; a key that started the recorder until it is let go.
GRAB_LIMIT_S: Final = 3.0
GRAB_INTERVAL_S: Final = 0.02

#: Less was a click and no drag.
LEAST_SIDE: Final = 8

#: The number of the cross in X11's font of cursors.
_CROSSHAIR: Final = 34

_MOUSE_EVENTS: Final = X.ButtonPressMask | X.ButtonReleaseMask | X.PointerMotionMask
_LEFT_BUTTON: Final = 1
_RIGHT_BUTTON: Final = 3


def point_out_region(say: Callable[[str], None]) -> Rectangle:
    """The area that is dragged over, with even sides. `say` is called when that can begin.

    Raises `UsageError` after Esc or the right button, and `NotReadyError` where the mouse cannot be had.
    """
    with _held_mouse() as display, _outline(display) as outline:
        say("drag over what is to be recorded; Esc leaves it")
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
                    return area.made_even()
                start = None
                outline.show(None)
    raise AssertionError("the mouse never ends")


def point_at_window(say: Callable[[str], None]) -> Window:
    """The window that is clicked at; the one under the mouse is outlined. Else like `point_out_region`."""
    with _held_mouse() as display, _outline(display) as outline:
        say("click at the window that is to be recorded; Esc leaves it")
        pressed = False
        for event in _mouse_events(display):
            found = window_at(display, event.root_x, event.root_y)
            outline.show(None if found is None else found.area)
            if event.type == X.ButtonPress:
                pressed = event.detail == _LEFT_BUTTON
            elif event.type == X.ButtonRelease and pressed and found is not None:
                # Not before: the program would be told of a button that was let go, but never pressed.
                return found
    raise AssertionError("the mouse never ends")


@contextmanager
def _held_mouse() -> Iterator[Display]:
    """A connection that all keys and all of the mouse go to. Whatever happens, they are let go."""
    refuse_wayland()
    display = connect()
    try:
        _hold(display)
        yield display
    except (error.XError, error.ConnectionClosedError, OSError) as lost:
        raise NotReadyError(f"the mouse cannot be followed ({lost})", "try again") from lost
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
    # Black, with its white edge behind it.
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
    """What the mouse does; of its ways only where it has got to. Raises `UsageError` when it is called off."""
    while True:
        if not (waiting := display.pending_events()):
            # Not in the library: Ctrl+C in the middle of one of its reads would leave it unusable.
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
                raise UsageError("nothing was selected", "give --region WxH+X+Y or --window TITLE to do without")
            if event.type in (X.ButtonPress, X.ButtonRelease):
                yield event
        if way is not None:
            yield way


def _between(start: tuple[int, int], end: tuple[int, int]) -> Rectangle:
    """The rectangle with these two pixels in its corners."""
    (left, right), (top, bottom) = sorted((start[0], end[0])), sorted((start[1], end[1]))
    return Rectangle(left, top, right - left + 1, bottom - top + 1)
