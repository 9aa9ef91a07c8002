"""Hotkeys on Wayland: the desktop's portal gives the keys, which the user can change in the desktop's settings.

All calls to the portal are made on a thread, so that neither the start of a recording nor its end waits for them. A
portal that dies, refuses or hangs costs the keys and nothing else.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from capture.errors import NotReadyError
from capture.events import Command, EventKind, Send
from capture.system.desktop_entry import trouble_with_own_entry
from capture.triggers.bindings import HOTKEYS, KeyEvent, Matcher, as_readable
from capture.triggers.desktop_keys import as_xdg, where_to_set
from capture.triggers.global_shortcuts import CancelledError, GlobalShortcuts, Shortcut, ShortcutEvent, StoppedError
from capture.triggers.key_refusal import forget_refusal, note_refusal, was_refused

__all__ = ["PortalHotkeys", "describe"]

#: The shortcut that records while it is held.
_HOLD: Final = "hold"

_ABOUT: Final = {hotkey.command: hotkey.about for hotkey in HOTKEYS}

#: How long the thread may take to end. It is left alone after that.
_END_S: Final = 1.0

#: A key that is pressed again after this time without a release has lost its release: desktops that repeat a key that
#: is held do so after 0.66 s at most, and then many times a second.
_LOST_AFTER_S: Final = 1.0

#: How often keys are asked for again after the portal has ended: its end may have to do with the keys.
_TRIES: Final = 3

#: Longer descriptions of a key are cut.
_LONGEST: Final = 40

_NONSENSE: Final = "the portal's answers make no sense"

_Report = Callable[[EventKind, str], None]


class PortalHotkeys:
    """Sends the commands of `bindings` and of the `hold` key to `send`, from a thread of its own.

    `report` is called from that thread with what the user should know. One thread calls `start`, then any thread
    `stop`, once or twice.
    """

    #: What is known at once; the rest goes to `report`.
    notes: tuple[tuple[EventKind, str], ...] = ()

    def __init__(
        self,
        bindings: Mapping[str, Command],
        hold: str | None,
        send: Send,
        report: _Report,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment = dict(os.environ if environment is None else environment)
        self._send = send
        self._report = report
        self._texts: dict[str, str] = {}
        self._commands: dict[str, Command] = {}
        for text, command in bindings.items():
            name = command.value
            while name in self._texts:
                # A command with several keys.
                name += "_"
            self._texts[name], self._commands[name] = text, command
        if hold is not None:
            self._texts[_HOLD] = hold
        self._places = {name: place for place, name in enumerate(self._texts)}
        #: For it, each shortcut is a key of its own, without modifiers.
        self.matcher = Matcher(
            {_key(self._places[name]): command for name, command in self._commands.items()},
            None if hold is None else _key(self._places[_HOLD]),
        )
        # What the desktop said last about its keys, and those that work now, for people to read, by the shortcuts' ids.
        self._found: Mapping[str, str] = {}
        self._given: Mapping[str, str] = {}
        # When each key that is down was pressed last, by the id of its shortcut.
        self._pressed_at_s: dict[str, float] = {}
        self._has_lost = False
        self._stopped = False
        self._portal: GlobalShortcuts | None = None
        self._thread = threading.Thread(target=self._run, name="hotkeys", daemon=True)

    @property
    def keys(self) -> dict[Command, str]:
        """The keys that work now, for people to read. Any thread may ask."""
        return {self._commands[name]: key for name, key in self._given.items() if name != _HOLD}

    @property
    def hold_key(self) -> str:
        """The hold key, for people to read, if it works now, else "". Any thread may ask."""
        return self._given.get(_HOLD, "")

    def start(self) -> None:
        """Start to ask for the keys, and return at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening; the desktop gets its keys back."""
        self._stopped = True
        if self._portal is not None:
            self._portal.interrupt()
        self._thread.join(_END_S)

    def ask_once(self) -> None:
        """Let the desktop ask the user about the keys now, in place of `start`, and give the keys back.

        It remembers the answer for the recordings to come. `keys` and `hold_key` are what it gave. Raises
        `NotReadyError` with the reason.
        """
        forget_refusal(self._environment)
        portal = GlobalShortcuts(self._environment)
        try:
            self._ask(portal)
        except (LookupError, TypeError, ValueError) as error:
            raise NotReadyError(_NONSENSE) from error
        finally:
            portal.close()

    def _run(self) -> None:
        portal: GlobalShortcuts | None = None
        try:
            self._portal = portal = GlobalShortcuts(self._environment)
            self._ask(portal)
            tries = 0
            while not self._stopped:
                event = portal.next_event()
                if event.lost:
                    self._lose(event.lost)
                elif event.changed is not None:
                    self._note(event.changed)
                elif not event.is_back:
                    self._handle(event)
                elif self._has_lost and tries < _TRIES:
                    tries += 1
                    self._ask(portal)
        except StoppedError:
            pass
        except NotReadyError as error:
            self._lose(error.message)
        except (LookupError, TypeError, ValueError):
            self._lose(_NONSENSE)
        finally:
            self._given = {}
            if portal is not None:
                portal.close()

    def _ask(self, portal: GlobalShortcuts) -> None:
        """Ask for the keys and report those that differ. Raises `NotReadyError` and `StoppedError`."""
        if self._stopped:
            raise StoppedError
        if was_refused(self._environment):
            raise NotReadyError("the desktop's dialog about keys was cancelled before; capture config bind asks again")
        shortcuts = [Shortcut(name, self._about(name), as_xdg(text)) for name, text in self._texts.items()]
        try:
            found = portal.ask(
                shortcuts, lambda: self._report(EventKind.HOTKEYS, "the desktop asks which keys capture may have")
            )
        except CancelledError:
            note_refusal(self._environment)
            raise
        except NotReadyError as error:
            if portal.is_unknown:
                trouble = trouble_with_own_entry(self._environment)
                raise NotReadyError(f"{error.message}; {trouble}: capture config bind writes it") from error
            raise
        if self._has_lost:
            self._has_lost = False
            self._report(EventKind.HOTKEYS, "the hotkeys work again")
        self._found = {}
        self._note(found)

    def _about(self, name: str) -> str:
        about = "record while the key is held" if name == _HOLD else _ABOUT.get(self._commands[name], "")
        about = about or self._commands[name].value.replace("_", " ")
        return about[0].upper() + about[1:]

    def _note(self, found: Mapping[str, str]) -> None:
        """Remember the keys that were given, and report what is not as in the settings, unless it was before."""
        if found == self._found:
            return
        self._found = found
        named = {name: words for name in self._texts if (words := _printable(found.get(name, "")))}
        self._given = {
            name: as_readable(self._texts[name]) if _is_same(words, self._texts[name]) else words
            for name, words in named.items()
        }
        if not named:
            self._report(EventKind.NO_HOTKEYS, f"the desktop names no keys for capture: {self._instead}")
            return
        other = [
            f"{key} to {self._about(name).lower()}"
            for name, key in self._given.items()
            if key != as_readable(self._texts[name])
        ]
        if other:
            self._report(EventKind.HOTKEYS, f"the desktop's settings have {', '.join(other)}")
        missing = [as_readable(text) for name, text in self._texts.items() if name not in named]
        if missing:
            can_end = Command.TOGGLE in self.keys or Command.STOP in self.keys
            kind = EventKind.HOTKEYS if can_end else EventKind.NO_HOTKEYS
            words = f"the desktop does not give {', '.join(missing)}: set keys for Capture in its settings"
            self._report(kind, words)

    @property
    def _instead(self) -> str:
        """What the user can do without hotkeys."""
        toggles = [text for name, text in self._texts.items() if self._commands.get(name) is Command.TOGGLE]
        text = toggles[0] if toggles else HOTKEYS[0].key
        return f"{where_to_set(text, self._environment)}; or stop with Ctrl+C"

    def _lose(self, reason: str) -> None:
        """Report once that there are no keys."""
        self._given = {}
        if not self._has_lost:
            self._has_lost = True
            words = f"hotkeys do not work in this Wayland session ({reason}): {self._instead}"
            self._report(EventKind.NO_HOTKEYS, words)

    def _handle(self, event: ShortcutEvent) -> None:
        place = self._places.get(event.id)
        if place is None:
            return
        key = KeyEvent(place, (_key(place),))
        commands = []
        if event.is_pressed:
            now_s = time.monotonic()
            if now_s - self._pressed_at_s.get(event.id, now_s) > _LOST_AFTER_S:
                commands += self.matcher.release(key)
            self._pressed_at_s[event.id] = now_s
            commands += self.matcher.press(key)
        else:
            self._pressed_at_s.pop(event.id, None)
            commands += self.matcher.release(key)
        for command in commands:
            self._send(command, "hotkey")


def describe(environment: Mapping[str, str]) -> str:
    """Return how the desktop gives keys, without asking for any. Raises `NotReadyError` with the reason."""
    portal = GlobalShortcuts(environment)
    try:
        version, has_registry = portal.versions()
    finally:
        portal.close()
    found = f"the desktop gives them through its portal (GlobalShortcuts {version}), and asks the first time"
    trouble = trouble_with_own_entry(environment) if has_registry else ""
    if trouble:
        return f"{found}; but {trouble}: capture config bind writes it"
    return f"{found}; its dialog was cancelled: capture config bind asks again" if was_refused(environment) else found


def _key(place: int) -> str:
    return f"<{place}>"


def _printable(words: str) -> str:
    """Return the desktop's words for a key on one line; they are for people, in their language."""
    shown = "".join(char if char.isprintable() else " " for char in words).strip()
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST - 1]}…"


def _is_same(words: str, text: str) -> bool:
    """Whether the desktop's words for a key, as in `Ctrl+Alt+R` or `Press <Control><Alt>r`, mean a binding."""
    names = {"control": "ctrl", "primary": "ctrl", "super": "cmd", "meta": "cmd", "logo": "cmd", "win": "cmd"}
    found = [names.get(part, part) for part in re.split(r"[<>+\s]+", words.lower()) if part not in ("", "press")]
    return sorted(found) == sorted(re.split(r"[+\s]+", as_readable(text).lower()))
