"""Keys that work while any window has the focus, through pynput.

The keyboard is listened to, never grabbed: what is typed reaches its window, and nothing of it is kept. A binding fires
when its key goes down while exactly its modifiers are held, once for as long as it is held.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from capture.errors import NotReadyError, UsageError
from capture.events import Command, Send

__all__ = ["DEFAULT_HOTKEYS", "Hotkeys"]

DEFAULT_HOTKEYS: Final[Mapping[str, Command]] = {
    "<ctrl>+<alt>+r": Command.STOP,
    "<ctrl>+<alt>+p": Command.TOGGLE_PAUSE,
    "<ctrl>+<alt>+x": Command.DISCARD,
}

#: A listener that does not end by then is left to end with the process.
_LISTENER_END_S: Final = 1.0

_MODIFIERS: Final = ("ctrl", "alt", "shift", "cmd")


class Hotkeys:
    """Gives a command for each key of `bindings`, which are written as in `DEFAULT_HOTKEYS`."""

    def __init__(self, bindings: Mapping[str, Command] = DEFAULT_HOTKEYS) -> None:
        self._bindings = bindings
        self._listener: Any = None

    def start(self, send: Send) -> None:
        """Listen. Raises `NotReadyError` where keys cannot be heard, `UsageError` for a key that does not exist."""
        if os.environ.get("WAYLAND_DISPLAY"):
            # XWayland lets pynput hear only what is typed into X11 windows.
            raise NotReadyError(
                "hotkeys do not work under Wayland",
                "bind a key to a command in the desktop's settings, or stop with Ctrl+C",
            )
        try:
            # Importing pynput connects to the display.
            from pynput import keyboard
        except (ImportError, OSError) as error:
            raise NotReadyError("hotkeys do not work here", "stop with Ctrl+C") from error
        matcher = _Matcher(self._bindings, keyboard)

        def on_press(key: Any) -> None:
            # An exception here would end the listener for good, so it only looks up and passes on.
            command = matcher.press(self._listener.canonical(key)) if self._listener and key else None
            if command is not None:
                send(command, "hotkey")

        def on_release(key: Any) -> None:
            if self._listener and key:
                matcher.release(self._listener.canonical(key))

        listener = self._listener = keyboard.Listener(on_press=on_press, on_release=on_release)
        listen, failures = listener.run, []

        def run() -> None:
            try:
                listen()
            except Exception as error:
                # The display is gone, or lacks what is needed. Whoever waits for the listener would wait forever.
                failures.append(error)
                listener._mark_ready()

        listener.run = run
        listener.start()
        listener.wait()
        if failures:
            self._listener = None
            raise NotReadyError("hotkeys do not work here", "stop with Ctrl+C") from failures[0]
        if sys.platform == "darwin" and not getattr(keyboard.Listener, "IS_TRUSTED", True):
            raise NotReadyError("hotkeys do not work here", "allow this terminal under Privacy, Input Monitoring")

    def stop(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            # Where the display died before, each of these raises.
            with suppress(Exception):
                listener.stop()
            _end_recording_of_keys(listener)
            with suppress(Exception):
                listener.join(_LISTENER_END_S)


def _end_recording_of_keys(listener: Any) -> None:
    """On X11 pynput asks to end through the connection that is busy listening, which sends it with the next key.

    Asked through the other one, it ends now.
    """
    display, context = getattr(listener, "_display_stop", None), getattr(listener, "_context", None)
    if display is not None and context is not None:
        with suppress(Exception):
            display.record_disable_context(context)
            display.flush()


class _Matcher:
    """Knows which keys are down, and which binding a further one completes."""

    def __init__(self, bindings: Mapping[str, Command], keyboard: Any) -> None:
        self._modifiers = {getattr(keyboard.Key, name): name for name in _MODIFIERS}
        self._commands: dict[tuple[frozenset[str], Any], Command] = {}
        self._held: set[Any] = set()
        for text, command in bindings.items():
            try:
                *modifiers, key = sorted(keyboard.HotKey.parse(text), key=lambda item: item not in self._modifiers)
            except ValueError as error:
                raise UsageError(f"{text!r} is no key ({error})", "write it like <ctrl>+<alt>+r") from error
            combination = (frozenset(self._modifiers.get(item, str(item)) for item in modifiers), key)
            if combination in self._commands:
                raise UsageError(f"the key {text!r} has two commands", "give each command a key of its own")
            self._commands[combination] = command

    def press(self, key: Any) -> Command | None:
        if key in self._held:
            return None
        self._held.add(key)
        modifiers = frozenset(name for item, name in self._modifiers.items() if item in self._held)
        return self._commands.get((modifiers, key))

    def release(self, key: Any) -> None:
        self._held.discard(key)
