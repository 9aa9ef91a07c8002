"""The windows of a Wayland desktop whose compositor gives programs their pictures."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from capture.errors import DisplayLostError, NotReadyError, UsageError
from capture.sources.wayland.desktop import Desktop, Interface
from capture.sources.window_choice import choose_by_title, one_of
from capture.system.wayland_connection import text_of

__all__ = ["Window", "WindowList", "active_window", "choose_window", "list_windows"]

#: Events of the lists and of a window in ext-foreign-toplevel-list and in wlr-foreign-toplevel-management.
_TOPLEVEL: Final = 0
_CLOSED: Final = 0
_TITLE: Final = 2
_APP_ID: Final = 3
_IDENTIFIER: Final = 4
_STATE_TITLE: Final = 0
_STATE_APP_ID: Final = 1
_STATE: Final = 4
_STATE_CLOSED: Final = 6

#: A window's state: it is the active one.
_ACTIVATED: Final = 2


@dataclass(slots=True)
class Window:
    """A window. `id` is the compositor's, `app` the program's name for itself, `number` that of the protocol's object.

    Wayland tells programs neither where it is nor how large.
    """

    number: int
    id: str = ""
    title: str = ""
    app: str = ""
    active: bool = False

    @property
    def area(self) -> None:
        """Its place, which Wayland does not tell."""
        return None

    def __str__(self) -> str:
        return f"{self.title!r} ({self.id}, {self.app or 'unnamed program'})"


class WindowList:
    """The windows of a `Desktop` that gives them, as they are after each wait for its connection's events."""

    def __init__(self, desktop: Desktop) -> None:
        """Raises `DisplayLostError`."""
        self._connection = desktop.connection
        self._note_change = desktop.note_change
        self._windows: dict[int, Window] = {}
        self._states: dict[int, Window] = {}
        desktop.bound(Interface.WINDOWS, self._on_list)
        if desktop.offers(Interface.WINDOW_STATES):
            desktop.bound(Interface.WINDOW_STATES, self._on_states)
        self._connection.round_trip()

    @property
    def windows(self) -> list[Window]:
        """The windows that are open, in the compositor's order."""
        open_now = [window for window in self._windows.values() if window.id]
        # The two protocols have no name for a window in common: its title and its program have to tell it from others.
        active = [(state.title, state.app) for state in self._states.values() if state.active]
        for window in open_now:
            alike = [each for each in open_now if (each.title, each.app) == (window.title, window.app)]
            window.active = (window.title, window.app) in active and len(alike) == 1
        return open_now

    def has(self, window: Window) -> bool:
        """Whether it is still open."""
        return window.number in self._windows

    def _on_list(self, code: int, arguments: bytes) -> None:
        if code == _TOPLEVEL:
            (number,) = struct.unpack("=I", arguments)
            window = self._windows[number] = Window(number)
            self._connection.adopt(number, lambda code, arguments: self._on_window(window, code, arguments))

    def _on_window(self, window: Window, code: int, arguments: bytes) -> None:
        if code == _CLOSED:
            self._windows.pop(window.number, None)
            self._note_change()
        elif code == _TITLE:
            window.title = text_of(arguments)
        elif code == _APP_ID:
            window.app = text_of(arguments)
        elif code == _IDENTIFIER:
            window.id = text_of(arguments)

    def _on_states(self, code: int, arguments: bytes) -> None:
        if code == _TOPLEVEL:
            (number,) = struct.unpack("=I", arguments)
            window = self._states[number] = Window(number)
            self._connection.adopt(number, lambda code, arguments: self._on_state(window, code, arguments))

    def _on_state(self, window: Window, code: int, arguments: bytes) -> None:
        if code == _STATE_CLOSED:
            self._states.pop(window.number, None)
        elif code == _STATE_TITLE:
            window.title = text_of(arguments)
        elif code == _STATE_APP_ID:
            window.app = text_of(arguments)
        elif code == _STATE:
            (length,) = struct.unpack_from("=I", arguments)
            window.active = _ACTIVATED in struct.unpack_from(f"={length // 4}I", arguments, 4)


def list_windows() -> list[Window] | None:
    """Return the windows of the desktop; None if its compositor does not give programs their pictures."""
    try:
        with closing(Desktop()) as desktop:
            return WindowList(desktop).windows if desktop.gives_windows else None
    except (NotReadyError, DisplayLostError):
        return None


def choose_window(windows: Sequence[Window], wanted: str) -> Window:
    """Return the window that `--window` selects: by its whole title, its id, or a part of its title in any case.

    Raises `UsageError` if no window matches, or more than one.
    """
    return choose_by_title(windows, wanted, lambda window: window.id == wanted)


def active_window(windows: Sequence[Window]) -> Window:
    """Return the active window. Raises `UsageError` if there is none, or others have its title."""
    for window in windows:
        if window.active:
            return window
    raise UsageError("no window is active, or others have the same title", one_of(windows))
