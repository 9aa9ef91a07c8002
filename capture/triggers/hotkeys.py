"""Keys that work while any window has the focus, through pynput.

The keyboard is listened to, never grabbed: what is typed reaches its window, and nothing of it is kept. What the keys
mean is decided in `bindings`; here each is told apart from the others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Final

from capture.errors import NotReadyError
from capture.event_kinds import EventKind
from capture.events import Command, Send
from capture.triggers.bindings import ALT_GR, DEFAULT_HOTKEYS, MODIFIERS, KeyEvent, Matcher, check_bindings

__all__ = ["DEFAULT_HOTKEYS", "Hotkeys", "check_bindings"]

#: A listener that does not end by then is left to end with the process.
_LISTENER_END_S: Final = 1.0

#: What AltGr is called on today's X11 keyboards (XK_ISO_Level3_Shift); pynput knows the older name alone.
_X_LEVEL_3_SHIFT: Final = 0xFE03

#: The bits of an X11 event's state that never move; the others are looked up.
_X_SHIFT: Final = 1
_X_CONTROL: Final = 4

#: Virtual keys of Windows (winuser.h). The right Alt is AltGr on most keyboards and cannot be told from it.
_WINDOWS_KEYS: Final[Mapping[str, tuple[int, ...]]] = {
    "shift": (0xA0, 0xA1),
    "ctrl": (0xA2, 0xA3),
    "alt": (0xA4,),
    ALT_GR: (0xA5,),
    "cmd": (0x5B, 0x5C),
}

#: Flags of macOS (CGEventTypes.h), and the state that merges all keyboards of the session.
_MAC_FLAGS: Final = {"shift": 0x20000, "ctrl": 0x40000, "alt": 0x80000, "cmd": 0x100000}
_MAC_SESSION: Final = 0


class Hotkeys:
    """Gives a command for each key of `bindings`, and records for as long as `hold` is held.

    Keys are written as in `DEFAULT_HOTKEYS`: `<ctrl>`, `<alt>`, `<shift>` and `<cmd>` before a character, a name such
    as `space` or `<f9>`, or a virtual code such as `<65>`. Names may go without their brackets.
    """

    absence = EventKind.NO_HOTKEYS

    def __init__(self, bindings: Mapping[str, Command] = DEFAULT_HOTKEYS, hold: str | None = None) -> None:
        """Raises `UsageError` for a key that does not exist, or has two meanings. Needs no display."""
        check_bindings(bindings, hold)
        self._bindings = bindings
        self._hold = hold
        self._matcher: Matcher | None = None
        self._listener: Any = None
        self._stopped = False

    def start(self, send: Send) -> None:
        """Listen. Raises `NotReadyError` where keys cannot be heard."""
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
        self._stopped = False
        matcher = self._matcher = Matcher(self._bindings, self._hold)

        # An exception in one of these would end the listener for good, so they only look up and pass on.
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
                # The display is gone, or lacks what is needed. Whoever waits for the listener would wait forever.
                failures.append(error)
                listener._mark_ready()

        listener.run = run
        listener.start()
        listener.wait()
        if failures:
            raise NotReadyError("hotkeys do not work here", "stop with Ctrl+C") from failures[0]
        self._listener = listener
        if self._stopped:
            # It was, while the display hung.
            self.stop()
        if sys.platform == "darwin" and not getattr(keyboard.Listener, "IS_TRUSTED", True):
            raise NotReadyError("hotkeys do not work here", "allow this terminal under Privacy, Input Monitoring")

    def take_began(self, path: str) -> None:
        """Keys mean the same in every recording."""

    def take_ended(self) -> None:
        """What was held or locked for that recording means nothing to the next one."""
        if self._matcher is not None:
            self._matcher.reset()

    def stop(self) -> None:
        self._stopped = True
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


def _event_of(listener: Any, key: Any) -> KeyEvent | None:
    """The event of a key as pynput gives it, which is None for one that it cannot read."""
    if key is None or isinstance(key, KeyEvent):
        return key
    names = _names_of(key, listener.canonical)
    code = getattr(key, "value", key).vk
    return KeyEvent(names[0] if code is None else code, names, _held_modifiers()) if names else None


def _names_of(key: Any, canonical: Callable[[Any], Any]) -> tuple[str, ...]:
    """What a key of pynput is called in bindings: by its name or character, and by its virtual code."""
    name = getattr(key, "name", None)
    if name is None:
        # On Windows this finds the character that the key types alone, whatever is held.
        char = canonical(key).char
        name = char.lower() if char else None
    elif name[:-2] in MODIFIERS:
        name = name[:-2]
    code = getattr(key, "value", key).vk
    return (*((name,) if name else ()), *((f"<{code}>",) if code is not None else ()))


def _held_modifiers() -> frozenset[str] | None:
    """The modifiers that the system says are held; None where it is not asked.

    Ctrl+Alt+Del on Windows is pressed on this desktop and let go on another, which is not heard: a plain letter would
    be a hotkey ever after.
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
    """Takes the place of pynput's reader of X11 events, which names a key by what it types just then.

    By that, a key let go after Shift is another than the one that went down, and stays down for ever; and Alt pressed
    while Shift is held is no Alt. Here a key is its place on the keyboard and is named by what it types alone, and the
    modifiers are those the server tells with each event.
    """

    def __init__(self, read: Callable[[Any, Any], Any]) -> None:
        self._read = read
        self._masks: dict[str, int] | None = None

    def __call__(self, display: Any, event: Any) -> KeyEvent:
        """Raises `IndexError` for a key that has no name, which pynput takes for None."""
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
        """The bits of an event's state by the modifier they stand for; 0 where there is none."""
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
