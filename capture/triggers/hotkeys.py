"""Global hotkeys through pynput: they work whichever window has the focus.

The keyboard is observed, never grabbed: everything typed reaches its window, and none of it is stored. This module
identifies each key; `bindings` decides what it means.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Final

from capture.errors import NotReadyError
from capture.events import Command, EventKind, Send
from capture.triggers.bindings import ALT_GR, DEFAULT_HOTKEYS, MODIFIERS, KeyEvent, Matcher, check_bindings

__all__ = ["DEFAULT_HOTKEYS", "Hotkeys", "check_bindings"]

#: How long to wait for the listener to end. One that takes longer is left to end with the process.
_LISTENER_END_S: Final = 1.0

#: The keysym of AltGr on current X11 keyboards (XK_ISO_Level3_Shift); pynput knows only the older one.
_X_LEVEL_3_SHIFT: Final = 0xFE03

#: The modifier bits of an X11 event's state that are fixed; the others are looked up.
_X_SHIFT: Final = 1
_X_CONTROL: Final = 4

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


class Hotkeys:
    """Sends the command of each key in `bindings`, and records while the `hold` key is held.

    Keys are written as in `DEFAULT_HOTKEYS`: `<ctrl>`, `<alt>`, `<shift>` and `<cmd>` before a character, a name such
    as `space` or `<f9>`, or a virtual code such as `<65>`. The brackets around a name are optional.
    """

    unavailable_event = EventKind.NO_HOTKEYS

    def __init__(self, bindings: Mapping[str, Command] = DEFAULT_HOTKEYS, hold: str | None = None) -> None:
        """Raise `UsageError` for a key that does not exist or has two commands. Needs no display."""
        check_bindings(bindings, hold)
        self._bindings = bindings
        self._hold = hold
        self._matcher: Matcher | None = None
        self._listener: Any = None
        self._stopped = False

    def start(self, send: Send) -> None:
        """Start to listen and pass commands to `send`, from a thread of pynput.

        Raises `NotReadyError` when the system does not let keys be observed.
        """
        if os.environ.get("WAYLAND_DISPLAY"):
            # Through XWayland pynput sees only what is typed into X11 windows.
            raise NotReadyError(
                "hotkeys do not work under Wayland",
                "bind a key to a command in the desktop's settings, or stop with Ctrl+C",
            )
        try:
            # Importing pynput connects to the display.
            from pynput import keyboard
        except (ImportError, OSError) as error:
            raise NotReadyError("hotkeys do not work here", "stop with Ctrl+C") from error
        self._stopped = False
        matcher = self._matcher = Matcher(self._bindings, self._hold)

        # An exception in one of these callbacks would end the listener for good, so they only match and send.
        def on_press(key: Any) -> None:
            if (event := _event_of(listener, key)) is not None:
                for command in matcher.press(event):
                    send(command, "hotkey")

        def on_release(key: Any) -> None:
            if (event := _event_of(listener, key)) is not None:
                for command in matcher.release(event):
                    send(command, "hotkey")

        listener = keyboard.Listener(on_press=on_press, on_release=on_release)
        if hasattr(listener, "_keycode_to_keysym"):
            listener._event_to_key = _XKeys(listener._event_to_key)
        listen, failures = listener.run, []

        def run() -> None:
            try:
                listen()
            except Exception as error:
                # The display is gone or lacks an extension. Without this, `listener.wait` would block forever.
                failures.append(error)
                listener._mark_ready()

        listener.run = run
        listener.start()
        listener.wait()
        if failures:
            raise NotReadyError("hotkeys do not work here", "stop with Ctrl+C") from failures[0]
        self._listener = listener
        if self._stopped:
            # `stop` was called while the display hung.
            self.stop()
        if sys.platform == "darwin" and not getattr(keyboard.Listener, "IS_TRUSTED", True):
            raise NotReadyError("hotkeys do not work here", "allow this terminal under Privacy, Input Monitoring")

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
            # If the display has died, each of these raises.
            with suppress(Exception):
                listener.stop()
            _end_recording_of_keys(listener)
            with suppress(Exception):
                listener.join(_LISTENER_END_S)


def _end_recording_of_keys(listener: Any) -> None:
    """End pynput's X11 listener now rather than with the next key.

    pynput asks for the end on the connection that is busy listening, which sends the request only with the next key.
    Its other connection sends it at once.
    """
    display, context = getattr(listener, "_display_stop", None), getattr(listener, "_context", None)
    if display is not None and context is not None:
        with suppress(Exception):
            display.record_disable_context(context)
            display.flush()


def _event_of(listener: Any, key: Any) -> KeyEvent | None:
    """Return the event for a key from pynput; None for a key that pynput cannot read."""
    if key is None or isinstance(key, KeyEvent):
        return key
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


class _XKeys:
    """Replaces pynput's reader of X11 events, which names a key by what it types at that moment.

    With pynput's names, a key released after Shift is not the key that was pressed, which then stays down forever, and
    Alt pressed while Shift is held is not Alt. Here a key is identified by its keycode and named by what it types
    without modifiers. The held modifiers are those that the server reports with each event.
    """

    def __init__(self, read: Callable[[Any, Any], Any]) -> None:
        self._read = read
        self._masks: dict[str, int] | None = None

    def __call__(self, display: Any, event: Any) -> KeyEvent:
        """Return the event of a key. Raises `IndexError` for a key without a name, which pynput treats as None."""
        if self._masks is None:
            self._masks = self._find_masks(display)
        names = self._names(display, event.detail, event.state & self._masks["num_lock"])
        if self._masks["alt"]:
            held = frozenset(name for name in (*MODIFIERS, ALT_GR) if event.state & self._masks[name])
            return KeyEvent(event.detail, names, held)
        return KeyEvent(event.detail, names)

    def _names(self, display: Any, place: int, state: int) -> tuple[str, ...]:
        key = self._read(display, SimpleNamespace(detail=place, state=state))
        if getattr(key, "vk", None) == _X_LEVEL_3_SHIFT:
            return (ALT_GR,)
        return _names_of(key, lambda key: key)

    def _find_masks(self, display: Any) -> dict[str, int]:
        """Return the bit in an event's state of each modifier; 0 for a modifier that the keyboard lacks."""
        masks = dict.fromkeys((*MODIFIERS, ALT_GR, "num_lock"), 0)
        masks["shift"], masks["ctrl"] = _X_SHIFT, _X_CONTROL
        taken = _X_SHIFT | _X_CONTROL
        for row, places in enumerate(display.get_modifier_mapping()):
            for place in filter(None, places):
                with suppress(IndexError):
                    name = next(iter(self._names(display, place, 0)), "")
                    if masks.get(name) == 0 and not taken & 1 << row:
                        masks[name] = 1 << row
                        taken |= 1 << row
        return masks
