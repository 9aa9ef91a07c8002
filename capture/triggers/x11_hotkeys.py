"""Hotkeys on X11: the recorder grabs its keys, so that the program that has the focus does not get them as well.

Other keys are neither grabbed nor seen. While a grabbed key is down, X11 sends every key here. Then the recorder takes
the whole keyboard, event for event, because only an event that the keyboard waits for can be given back to the program
that has the focus. The keys follow the keyboard's layouts, also when these change.
"""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Mapping, Set
from contextlib import suppress
from typing import Final, NamedTuple

from capture.errors import NotReadyError
from capture.events import Command, EventKind, Send
from capture.triggers.bindings import Combination, KeyEvent, Matcher, as_readable, parse
from capture.triggers.x11_connection import GONE, Connection, Grab, KeyPress, KeyRelease, MapChange
from capture.triggers.x11_keyboard import Plan
from capture.triggers.x11_resets import despite_resets

__all__ = ["X11Hotkeys"]

#: How long the thread may take to end. A server that does not answer is cut off after that.
_END_S: Final = 1.0

#: How often to look whether a key is still down whose release goes to another program: only after such a program got a
#: key that was pressed meanwhile. A recording that ends with the release ends at most this much too late.
_LOOK_AGAIN_S: Final = 0.02

#: What ends a recording. Without a key for any of these, the terminal must not promise one.
_ENDING: Final = (Command.TOGGLE, Command.STOP)

_REMEDY: Final = "choose other keys with capture config"


class _Down(NamedTuple):
    """A key that is down, by how it was pressed."""

    event: KeyEvent
    is_hotkey: bool
    #: Whether the press was kept from the program that has the focus; the release goes where the press went.
    is_ours: bool


class X11Hotkeys:
    """Sends the commands of `bindings` and of the `hold` key to `send`, from a thread of its own.

    One thread calls `start`, then any thread `stop`. `notes` does not change after `start`.
    """

    def __init__(self, bindings: Mapping[str, Command], hold: str | None, matcher: Matcher, send: Send) -> None:
        self._texts = {parse(text): text for text in (*bindings, *(() if hold is None else (hold,)))}
        self._commands = {parse(text): command for text, command in bindings.items()}
        self._hold = None if hold is None else parse(hold)
        self._locking = {Combination(self._hold.modifiers, name) for name in matcher.locking} if self._hold else set()
        self._matcher = matcher
        self._send = send
        #: What to report about single keys, as the kind and the detail of events.
        self.notes: tuple[tuple[EventKind, str], ...] = ()
        # The grabs this connection has, by whether the keyboard waits after each event.
        self._grabs: dict[Grab, bool] = {}
        # The combinations that belong to another program.
        self._taken: set[Combination] = set()
        # Whether these include the keys that lock the recording of a hold.
        self._can_lock = False
        # The hotkeys that are down, with the modifiers that the matcher must know.
        self._down: dict[int, _Down] = {}
        # Whether all keys come here, because a hotkey is down.
        self._has_keyboard = False
        self._thread = threading.Thread(target=self._run, name="hotkeys", daemon=True)

    def start(self) -> None:
        """Grab the keys and start to listen. Raises `NotReadyError` if not one of them works."""
        try:
            self._connection = despite_resets(Connection, *GONE)
        except GONE as error:
            raise NotReadyError("hotkeys do not work here", "stop with Ctrl+C") from error
        try:
            self._read_keyboard()
            self.notes = tuple(self._find_notes())
        except GONE as error:
            self._connection.close(releasing=False)
            raise NotReadyError("hotkeys do not work here", "stop with Ctrl+C") from error
        except NotReadyError:
            self._connection.close()
            raise
        self._wake, self._woken = socket.socketpair()
        self._thread.start()

    def stop(self) -> None:
        """Give the keys back and stop listening. May be called twice, after `start`."""
        with suppress(OSError):
            self._wake.send(b"!")
        self._thread.join(_END_S)
        if self._thread.is_alive():
            self._connection.cut()
            self._thread.join(_END_S)
        self._wake.close()

    def _run(self) -> None:
        try:
            # If the server is gone, so are the hotkeys; the source that records from it reports that.
            with suppress(*GONE):
                while not self._is_woken():
                    self._handle_events()
        finally:
            self._connection.close()
            self._woken.close()

    def _is_woken(self) -> bool:
        """Wait until an event arrives or it is time to look at the keys; return whether to end."""
        wait_s = _LOOK_AGAIN_S if self._misses_releases else None
        wait_s = 0.0 if self._connection.has_events else wait_s
        woken = self._woken.fileno()
        readable, _, _ = select.select([self._connection.fileno(), woken], [], [], wait_s)
        return woken in readable

    def _handle_events(self) -> None:
        map_changed = False
        for event in self._connection.events():
            if isinstance(event, MapChange):
                # They come in crowds: the map is read once for all of them.
                map_changed = True
                continue
            if map_changed:
                map_changed = False
                self._read_keyboard()
            if isinstance(event, KeyPress):
                self._press(event)
            else:
                self._release(event)
        if map_changed:
            self._read_keyboard()
        self._look_at_keys()

    # Grabs

    def _read_keyboard(self) -> None:
        self._plan = Plan(self._connection.keyboard(), [*self._texts, *self._locking])
        self._grab()

    @property
    def _active(self) -> set[Combination]:
        """What is a hotkey at present."""
        return self._texts.keys() | (self._locking if self._can_lock else set())

    def _grab(self) -> None:
        """Have the grabs of all active combinations, and no others."""
        self._can_lock = self._matcher.is_held
        # The keyboard waits only where the layout decides whether a press is a hotkey.
        owners: dict[Grab, Combination] = {}
        wanted: dict[Grab, bool] = {}
        for combination in self._active:
            for chord, in_all_layouts in self._plan.chords(combination):
                for root in self._connection.roots:
                    grab = Grab(root, chord.keycode, chord.modifiers)
                    owners[grab] = combination
                    wanted[grab] = not in_all_layouts
        refused: list[Grab] = []
        self._connection.change_grabs(
            [grab for grab in self._grabs if self._grabs[grab] != wanted.get(grab)],
            [(grab, waits) for grab, waits in wanted.items() if self._grabs.get(grab) != waits],
            refused.append,
        )
        # A key that another program has belongs to it alone, whatever Num Lock is.
        lost = {self._without_locks(grab) for grab in refused}
        self._taken = {owners[grab] for grab in refused}
        self._grabs = {grab: waits for grab, waits in wanted.items() if self._without_locks(grab) not in lost}
        self._connection.change_grabs(wanted.keys() - self._grabs.keys() - set(refused), (), refused.append)

    def _without_locks(self, grab: Grab) -> Grab:
        return grab._replace(modifiers=grab.modifiers & ~self._plan.keyboard.locks)

    # Events

    def _press(self, press: KeyPress) -> None:
        self._look_at_keys()
        event = self._plan.event(press.keycode, press.state)
        is_hotkey = self._plan.meaning(event) in self._active
        # If modifiers were given back, the hotkey would repeat as another key in the other program.
        is_further_modifier = self._has_keyboard and self._plan.keyboard.modifier(press.keycode) is not None
        repeats = press.keycode in self._down
        if not (is_hotkey or is_further_modifier or repeats):
            # From now on this is the key that repeats, so the keyboard can go with it.
            self._connection.give_back(press)
            self._has_keyboard = False
            return
        had_keyboard = self._has_keyboard
        if had_keyboard:
            self._connection.keep(press)
        else:
            self._has_keyboard = self._connection.take(press)
        if not repeats:
            if is_hotkey:
                self._note_modifiers(press)
            self._down[press.keycode] = _Down(event, is_hotkey, is_ours=True)
            self._pass_on(self._matcher.press(event))
        if not had_keyboard:
            self._answer_first(press)

    def _note_modifiers(self, press: KeyPress) -> None:
        """Pass the modifiers that are down to the matcher: they were pressed before anything was sent here."""
        held = self._plan.event(press.keycode, press.state).modifiers
        for keycode in self._connection.keys_down() - self._down.keys() - {press.keycode}:
            modifier = self._plan.keyboard.modifier(keycode)
            if modifier is not None:
                event = KeyEvent(keycode, (modifier,), held)
                self._down[keycode] = _Down(event, is_hotkey=False, is_ours=False)
                self._pass_on(self._matcher.press(event))

    def _release(self, release: KeyRelease) -> None:
        if not self._connection.tells_repeats and release.keycode in self._connection.keys_down():
            # It repeats: this release has no key that goes up.
            self._connection.keep(release)
            return
        is_ours = release.keycode in self._down and self._down[release.keycode].is_ours
        self._forget(release.keycode, self._plan.event(release.keycode, release.state))
        if is_ours and self._hotkeys_down:
            self._connection.keep(release)
            return
        if is_ours:
            self._connection.let_go(release)
        else:
            self._connection.give_back(release)
        self._has_keyboard = False
        if self._hotkeys_down:
            self._has_keyboard = self._connection.take(release)
            self._answer_first(release)

    def _forget(self, keycode: int, event: KeyEvent) -> None:
        # With another layout it may have another name by now.
        down = self._down.pop(keycode, None)
        self._pass_on(self._matcher.release(event if down is None else down.event))

    @property
    def _hotkeys_down(self) -> bool:
        return any(down.is_hotkey for down in self._down.values())

    @property
    def _misses_releases(self) -> bool:
        return not self._has_keyboard and bool(self._down)

    def _answer_first(self, event: KeyPress | KeyRelease) -> None:
        """Answer the event for which the keyboard was taken: keep the keyboard only if a hotkey is still down.

        Hotkeys that went up before are forgotten now, even if their releases have yet to be read. Otherwise the next
        key would come here, although its release and all others go to the program that has the focus.
        """
        self._forget_all_but(self._connection.keys_down_at_server())
        if self._hotkeys_down:
            self._connection.keep(event)
            return
        self._connection.let_go(event)
        self._has_keyboard = False

    def _look_at_keys(self) -> None:
        """Find the keys whose release went to another program."""
        if self._misses_releases:
            self._forget_all_but(self._connection.keys_down() if self._hotkeys_down else frozenset())

    def _forget_all_but(self, keycodes: Set[int]) -> None:
        for keycode in self._down.keys() - keycodes:
            self._forget(keycode, self._down[keycode].event)
        # Without a hotkey, modifiers do not matter.
        for keycode in () if self._hotkeys_down else tuple(self._down):
            self._forget(keycode, self._down[keycode].event)

    def _pass_on(self, commands: list[Command]) -> None:
        for command in commands:
            self._send(command, "hotkey")
        if self._locking and self._matcher.is_held != self._can_lock:
            self._grab()

    # Reports

    def _find_notes(self) -> list[tuple[EventKind, str]]:
        """Return what to report. Raises `NotReadyError` if no key works."""
        missing = [combination for combination in self._texts if not self._plan.can(combination)]
        taken = [combination for combination in self._texts if combination in self._taken]
        placed = [
            combination
            for combination in self._texts
            if combination.key in self._plan.by_place and combination not in taken
        ]
        words = []
        if taken:
            words.append(f"another program uses {self._named(taken)}")
        if missing:
            words.append(f"this keyboard has no {self._named(missing)}")
        without = {*taken, *missing}
        if words and without == self._texts.keys():
            raise NotReadyError("; ".join(words), f"stop with Ctrl+C, or {_REMEDY}")
        notes = []
        if words:
            ends = any(command in _ENDING and key not in without for key, command in self._commands.items())
            detail = f"{'; '.join(words)}: {_REMEDY}"
            notes.append((EventKind.HOTKEYS if ends else EventKind.NO_HOTKEYS, detail))
        if placed:
            typed = ", ".join(combination.key.upper() for combination in placed)
            detail = f"this keyboard types no {typed}: {self._named(placed)} are where a US keyboard has them"
            notes.append((EventKind.HOTKEYS, detail))
        return notes

    def _named(self, combinations: list[Combination]) -> str:
        return ", ".join(as_readable(self._texts[combination]) for combination in combinations)
