"""The windows of an X11 desktop: the list, the one that a name selects, and the active one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from Xlib import X, error
from Xlib.display import Display

from capture.errors import NotReadyError, UsageError
from capture.media import Rectangle
from capture.sources.screens import require_x11
from capture.sources.window_choice import choose_by_title, one_of
from capture.sources.x11.window_place import place_of, shadow_of
from capture.sources.x11.window_title import title_of
from capture.sources.x11.xlib import connect

__all__ = ["Window", "active_window", "choose_window", "find_window", "list_windows", "listing", "window_at"]

#: How deep to look for a window to list: window managers wrap windows in frames, and none was seen to nest them deeper.
_FRAMES: Final = 3

#: A window's id as tools print it: `0x0080000c` or `8388620`. Ids have 29 bits.
_ID: Final = re.compile(r"0[xX](?P<hexadecimal>[0-9a-fA-F]{1,20})|(?P<decimal>[0-9]{1,20})")
_LARGEST_ID: Final = 1 << 29


@dataclass(frozen=True, slots=True)
class Window:
    """A window. `id` is its number as X11's tools print it, `area` its place without frame and shadow."""

    id: str
    title: str
    area: Rectangle
    active: bool

    @property
    def number(self) -> int:
        return int(self.id, 16)

    def __str__(self) -> str:
        return f"{self.title!r} ({self.id}, {self.area})"


def list_windows() -> list[Window]:
    """Return the visible windows, topmost last: those with a title, and those that a window manager manages.

    Raises `NotReadyError`.
    """
    with listing() as display:
        return _windows(display)


def active_window() -> Window:
    """Return the active window: the window manager's, or without one the window with the keyboard focus.

    Raises `UsageError` if there is none.
    """
    with listing() as display:
        windows = _windows(display)
        found = next((window for window in windows if window.active), None)
        if found is None and (number := _active_top(display)):
            # A window without a title.
            found = _seen(display.create_resource_object("window", number), display, title="", active=True)
    if found is None:
        raise UsageError("no window is active", one_of(windows))
    return found


def find_window(wanted: str) -> Window:
    """Return the window that `--window` selects, as `choose_window`; by its id also one that is not listed.

    Raises `UsageError` if no window matches, or more than one, and `NotReadyError`.
    """
    with listing() as display:
        windows = _windows(display)
        number = _number_in(wanted)
        unlisted = None
        if number is not None and not any(wanted == window.title for window in windows):
            unlisted = _by_number(display, number)
        return unlisted or choose_window(windows, wanted)


def choose_window(windows: Sequence[Window], wanted: str) -> Window:
    """Return the window that `--window` selects: by its whole title, its id, or a part of its title in any case.

    Ids are compared as numbers, in hexadecimal after `0x` and else in decimal. Raises `UsageError` if no window
    matches, or more than one.
    """
    number = _number_in(wanted)
    return choose_by_title(windows, wanted, lambda window: window.number == number)


def window_at(display: Display, x: int, y: int) -> Window | None:
    """Return the topmost listed window at this place, its frame included; None if there is none."""
    for child in reversed(display.screen().root.query_tree().children):
        try:
            place = child.get_geometry()
        except error.XError:
            continue
        border = 2 * place.border_width
        whole = Rectangle(place.x, place.y, place.width + border, place.height + border)
        if whole.contains(Rectangle(x, y, 1, 1)) and (found := _listed(child, display, _FRAMES, active=False)):
            return found
    return None


@contextmanager
def listing() -> Iterator[Display]:
    """Open a connection for listing windows. Raises `NotReadyError` if that, or the work inside, fails."""
    require_x11()
    display = connect()
    try:
        yield display
    except (error.XError, error.ConnectionClosedError, OSError) as lost:
        raise NotReadyError(f"the windows cannot be listed ({lost})", "try again") from lost
    finally:
        display.close()


def _number_in(wanted: str) -> int | None:
    """Return the window's id in `wanted`, None if it is not one."""
    found = _ID.fullmatch(wanted.strip())
    if found is None:
        return None
    return int(found["hexadecimal"], 16) if found["hexadecimal"] else int(found["decimal"])


def _by_number(display: Display, number: int) -> Window | None:
    """Return the window with this id, shown or not; None if there is none, or if it can show nothing."""
    if not 0 < number < _LARGEST_ID or number == display.screen().root.id:
        return None
    window = display.create_resource_object("window", number)
    try:
        if window.get_attributes().win_class != X.InputOutput:
            return None
        active = _active_top(display) == _top(window, display.screen().root)
        return _seen(window, display, title_of(window, display), active=active)
    except error.XError:
        return None


def _windows(display: Display) -> list[Window]:
    active = _active_top(display)
    root = display.screen().root
    size = root.get_geometry()
    screen = Rectangle(0, 0, size.width, size.height)
    found = [_listed(child, display, _FRAMES, active=child.id == active) for child in root.query_tree().children]
    # Window managers keep helper windows beside the screen.
    return [window for window in found if window is not None and window.area.intersects(screen)]


def _listed(window: Any, display: Display, depth: int, *, active: bool) -> Window | None:
    """Return the window, or the first listed one inside it: window managers wrap windows in frames."""
    try:
        if window.get_attributes().map_state != X.IsViewable:
            return None
        title = title_of(window, display)
        if title or _is_managed(window, display):
            return _seen(window, display, title, active=active)
        inside = window.query_tree().children if depth else []
    except error.XError:
        # It was closed meanwhile.
        return None
    return next((found for child in inside if (found := _listed(child, display, depth - 1, active=active))), None)


def _is_managed(window: Any, display: Display) -> bool:
    """Whether a window manager manages the window, which need not have a title (ICCCM 4.1.3.1)."""
    return window.get_property(display.get_atom("WM_STATE"), X.AnyPropertyType, 0, 1) is not None


def _seen(window: Any, display: Display, title: str, *, active: bool) -> Window:
    area = shadow_of(window, display).cut_from(place_of(window, display.screen().root))
    return Window(hex(window.id), title, area, active)


def _active_top(display: Display) -> int:
    """Return the number of the root's child that holds the active window, 0 if there is none."""
    root = display.screen().root
    said = root.get_full_property(display.get_atom("_NET_ACTIVE_WINDOW"), X.AnyPropertyType)
    if said is not None and len(said.value) and said.value[0]:
        try:
            return _top(display.create_resource_object("window", int(said.value[0])), root)
        except error.XError:
            # A window manager that has ended leaves the property behind.
            pass
    focus = display.get_input_focus().focus
    if focus == X.PointerRoot:
        # Without a window manager, keys go to the window under the pointer.
        focus = root.query_pointer().child
    if isinstance(focus, int) or focus.id == root.id:
        return 0
    try:
        return _top(focus, root)
    except error.XError:
        return 0


def _top(window: Any, root: Any) -> int:
    """Return the number of the root's child that is or contains `window`."""
    while (parent := window.query_tree().parent) and parent.id != root.id:
        window = parent
    return int(window.id)
