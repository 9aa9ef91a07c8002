"""Global hotkeys: they work whichever window has the focus. The system's own way to hear them is chosen here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, Protocol

from capture.events import Command, EventKind, Send
from capture.system.desktop_kind import has_wayland_desktop
from capture.triggers.bindings import DEFAULT_HOTKEYS, Matcher, as_readable, check_bindings, readable_keys

if TYPE_CHECKING:
    from capture.triggers.portal_hotkeys import PortalHotkeys

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

    def __init__(
        self,
        bindings: Mapping[str, Command] = DEFAULT_HOTKEYS,
        hold: str | None = None,
        report: Callable[[EventKind, str], None] = lambda kind, detail: None,
    ) -> None:
        """Raise `UsageError` for a key that does not exist or has two commands. Needs no display.

        On Wayland `report` is called, from another thread, with what comes after `start`: which keys the desktop
        gives, and that there are none.
        """
        check_bindings(bindings, hold)
        self._bindings = bindings
        self._hold = hold
        self._report = report
        #: Whether the desktop's portal decides which keys work, and may change them at any time. Through XWayland, only
        #: X11's windows would hear them.
        self.by_portal: Final = has_wayland_desktop(os.environ)
        self._matcher: Matcher | None = None
        self._listener: _Listener | None = None
        self._portal: PortalHotkeys | None = None
        self._stopped = False

    @property
    def keys(self) -> Mapping[Command, str]:
        """The key of each command for people to read; on Wayland those that work at present. Any thread may ask."""
        if self.by_portal:
            return self._portal.keys if self._portal is not None else {}
        return readable_keys(self._bindings)

    @property
    def hold_key(self) -> str:
        """The hold key for people to read, "" without one; on Wayland if it works at present. Any thread may ask."""
        if self.by_portal:
            return self._portal.hold_key if self._portal is not None else ""
        return "" if self._hold is None else as_readable(self._hold)

    @property
    def notes(self) -> tuple[tuple[EventKind, str], ...]:
        """What to report once `start` has returned: keys that other programs have, or that this keyboard lacks."""
        return () if self._listener is None else self._listener.notes

    def start(self, send: Send) -> None:
        """Start to listen and pass commands to `send`, from a thread of its own.

        Raises `NotReadyError` when the system does not let keys be heard, or when no key works. On Wayland it raises
        nothing.
        """
        self._stopped = False
        listener = self._make_listener(send)
        listener.start()
        self._listener = listener
        if self._stopped:
            # `stop` was called while the display hung.
            self.stop()

    def _make_listener(self, send: Send) -> _Listener:
        if self.by_portal:
            from capture.triggers.portal_hotkeys import PortalHotkeys

            self._portal = PortalHotkeys(self._bindings, self._hold, send, self._report)
            self._matcher = self._portal.matcher
            return self._portal
        self._matcher = Matcher(self._bindings, self._hold)
        if sys.platform == "linux":
            from capture.triggers.x11_hotkeys import X11Hotkeys

            return X11Hotkeys(self._bindings, self._hold, self._matcher, send)
        from capture.triggers.pynput_hotkeys import PynputHotkeys

        return PynputHotkeys(self._matcher, send)

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
