"""Hotkeys through pynput, on Windows and macOS.

The keyboard is observed, never grabbed: everything typed reaches its window, and none of it is stored. This module
identifies each key; `bindings` decides what it means.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from capture.errors import NotReadyError
from capture.events import EventKind, Send
from capture.triggers.bindings import ALT_GR, MODIFIERS, KeyEvent, Matcher

__all__ = ["PynputHotkeys"]

#: How long to wait for the listener to end. One that takes longer is left to end with the process.
_LISTENER_END_S: Final = 1.0

#: Virtual keys of Windows (winuser.h). On most keyboards the right Alt is AltGr and has the same code.
_WINDOWS_KEYS: Final[Mapping[str, tuple[int, ...]]] = {
    "shift": (0xA0, 0xA1),
    "ctrl": (0xA2, 0xA3),
    "alt": (0xA4,),
    ALT_GR: (0xA5,),
    "cmd": (0x5B, 0x5C),
}

#: Modifier flags of macOS (CGEventTypes.h), and the event source that combines all keyboards of the session.
_MAC_FLAGS: Final = {"shift": 0x20000, "ctrl": 0x40000, "alt": 0x80000, "cmd": 0x100000}
_MAC_SESSION: Final = 0


class PynputHotkeys:
    """Passes the commands that `matcher` gives to `send`, from a thread of pynput."""

    #: There is nothing to say about single keys: they are shared with all programs.
    notes: tuple[tuple[EventKind, str], ...] = ()

    def __init__(self, matcher: Matcher, send: Send) -> None:
        self._matcher = matcher
        self._send = send
        self._listener: Any = None

    def start(self) -> None:
        """Start to listen. Raises `NotReadyError` when the system does not let keys be observed."""
        try:
            from pynput import keyboard
        except (ImportError, OSError) as error:
            raise NotReadyError("hotkeys do not work here", "stop with Ctrl+C") from error

        # An exception in one of these callbacks would end the listener for good, so they only match and send.
        def on_press(key: Any) -> None:
            if (event := _event_of(listener, key)) is not None:
                for command in self._matcher.press(event):
                    self._send(command, "hotkey")

        def on_release(key: Any) -> None:
            if (event := _event_of(listener, key)) is not None:
                for command in self._matcher.release(event):
                    self._send(command, "hotkey")

        listener = keyboard.Listener(on_press=on_press, on_release=on_release)
        listen, failures = listener.run, []

        def run() -> None:
            try:
                listen()
            except Exception as error:
                # Without this, `listener.wait` would block forever.
                failures.append(error)
                listener._mark_ready()

        listener.run = run
        listener.start()
        listener.wait()
        if failures:
            raise NotReadyError("hotkeys do not work here", "stop with Ctrl+C") from failures[0]
        self._listener = listener
        if sys.platform == "darwin" and not getattr(keyboard.Listener, "IS_TRUSTED", True):
            self.stop()
            raise NotReadyError("hotkeys do not work here", "allow this terminal under Privacy, Input Monitoring")

    def stop(self) -> None:
        """Stop listening. May be called twice."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with suppress(Exception):
                listener.stop()
            with suppress(Exception):
                listener.join(_LISTENER_END_S)


def _event_of(listener: Any, key: Any) -> KeyEvent | None:
    """Return the event for a key from pynput; None for a key that pynput cannot read."""
    if key is None:
        return None
    names = _names_of(key, listener.canonical)
    code = getattr(key, "value", key).vk
    return KeyEvent(names[0] if code is None else code, names, _held_modifiers()) if names else None


def _names_of(key: Any, canonical: Callable[[Any], Any]) -> tuple[str, ...]:
    """Return the names in bindings of a key from pynput: its name or character, and its virtual code."""
    name = getattr(key, "name", None)
    if name is None:
        # On Windows this finds the character that the key types without modifiers, whatever is held.
        char = canonical(key).char
        name = char.lower() if char else None
    elif name[:-2] in MODIFIERS:
        name = name[:-2]
    code = getattr(key, "value", key).vk
    return (*((name,) if name else ()), *((f"<{code}>",) if code is not None else ()))


def _held_modifiers() -> frozenset[str] | None:
    """Return the modifiers held according to the system; None on systems that are not asked.

    On Windows, Ctrl+Alt+Del is pressed on this desktop and released on another, so the release is never seen. Without
    asking, a plain letter would be a hotkey from then on.
    """
    if sys.platform == "win32":
        import ctypes

        state = ctypes.windll.user32.GetAsyncKeyState
        return frozenset(name for name, codes in _WINDOWS_KEYS.items() if any(state(code) & 0x8000 for code in codes))
    if sys.platform == "darwin":
        import ctypes

        services = ctypes.CDLL("/System/Library/Frameworks/ApplicationServices.framework/ApplicationServices")
        services.CGEventSourceFlagsState.restype = ctypes.c_uint64
        flags = services.CGEventSourceFlagsState(_MAC_SESSION)
        return frozenset(name for name, flag in _MAC_FLAGS.items() if flags & flag)
    return None
