"""Global hotkeys: they work whichever window has the focus. The system's own way to hear them is chosen here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Protocol

from capture.errors import NotReadyError
from capture.events import Command, EventKind, Send
from capture.triggers.bindings import DEFAULT_HOTKEYS, Matcher, check_bindings

__all__ = ["DEFAULT_HOTKEYS", "Hotkeys", "check_bindings"]


class _Listener(Protocol):
    """Hears the keys of one system."""

    @property
    def notes(self) -> tuple[tuple[EventKind, str], ...]: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Hotkeys:
    """Sends the command of each key in `bindings`, and records while the `hold` key is held.

    Keys are written as in `DEFAULT_HOTKEYS`: `<ctrl>`, `<alt>`, `<shift>` and `<cmd>` before a character, a name such
    as `space` or `<f9>`, or a code such as `<65>`: X11's keysym, or the virtual key of other systems. The brackets
    around a name are optional.
    """

    unavailable_event = EventKind.NO_HOTKEYS

    def __init__(self, bindings: Mapping[str, Command] = DEFAULT_HOTKEYS, hold: str | None = None) -> None:
        """Raise `UsageError` for a key that does not exist or has two commands. Needs no display."""
        check_bindings(bindings, hold)
        self._bindings = bindings
        self._hold = hold
        self._matcher: Matcher | None = None
        self._listener: _Listener | None = None
        self._stopped = False

    @property
    def notes(self) -> tuple[tuple[EventKind, str], ...]:
        """What to report once `start` has returned: keys that other programs have, or that this keyboard lacks."""
        return () if self._listener is None else self._listener.notes

    def start(self, send: Send) -> None:
        """Start to listen and pass commands to `send`, from a thread of its own.

        Raises `NotReadyError` when the system does not let keys be heard, or when no key works.
        """
        if os.environ.get("WAYLAND_DISPLAY"):
            # Through XWayland only what is typed into X11 windows is heard.
            raise NotReadyError(
                "hotkeys do not work under Wayland",
                "bind a key to a command in the desktop's settings, or stop with Ctrl+C",
            )
        self._stopped = False
        self._matcher = Matcher(self._bindings, self._hold)
        listener = self._choose_listener(self._matcher, send)
        listener.start()
        self._listener = listener
        if self._stopped:
            # `stop` was called while the display hung.
            self.stop()

    def _choose_listener(self, matcher: Matcher, send: Send) -> _Listener:
        if sys.platform == "linux":
            from capture.triggers.x11_hotkeys import X11Hotkeys

            return X11Hotkeys(self._bindings, self._hold, matcher, send)
        from capture.triggers.pynput_hotkeys import PynputHotkeys

        return PynputHotkeys(matcher, send)

    def take_began(self, path: str) -> None:
        """Do nothing: the keys are the same in every recording."""

    def take_ended(self) -> None:
        """Forget that the hold key was held or locked for that recording."""
        if self._matcher is not None:
            self._matcher.reset()

    def stop(self) -> None:
        """Stop listening. May be called twice, and from another thread while `start` runs."""
        self._stopped = True
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()
