"""Key bindings: parses key combinations such as `<ctrl>+<alt>+r` and matches pressed keys against them.

Needs no keyboard and no display.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from enum import Enum
from typing import Final, NamedTuple

from capture.errors import UsageError
from capture.events import Command

__all__ = [
    "ALT_GR",
    "DEFAULT_HOTKEYS",
    "HOTKEYS",
    "MODIFIERS",
    "NAMED_KEYS",
    "Combination",
    "Hotkey",
    "KeyEvent",
    "Matcher",
    "as_readable",
    "check_bindings",
    "parse",
    "readable_keys",
]


class Hotkey(NamedTuple):
    """A hotkey that can be configured: its name in the settings, its default key, its command, and its help text."""

    name: str
    key: str
    command: Command
    about: str


HOTKEYS: Final = (
    Hotkey("record", "<ctrl>+<alt>+r", Command.TOGGLE, "start or stop a recording"),
    Hotkey("pause", "<ctrl>+<alt>+p", Command.TOGGLE_PAUSE, "pause or resume"),
    Hotkey("discard", "<ctrl>+<alt>+x", Command.DISCARD, "stop and delete the recording"),
    Hotkey("clip", "<ctrl>+<alt>+c", Command.CLIP, "save the replay buffer as a clip"),
    Hotkey("mark", "<ctrl>+<alt>+m", Command.MARK, "add a chapter mark"),
)

DEFAULT_HOTKEYS: Final[Mapping[str, Command]] = {hotkey.key: hotkey.command for hotkey in HOTKEYS}

#: The modifiers of a binding; left and right are the same.
MODIFIERS: Final = ("ctrl", "alt", "shift", "cmd")

#: A modifier that no binding can contain: while it is held, keys type other characters.
ALT_GR: Final = "alt_gr"

_WITH_ALT_GR: Final = frozenset((*MODIFIERS, ALT_GR))

#: Keys that type no character.
NAMED_KEYS: Final = frozenset(
    (
        *("space", "tab", "enter", "esc", "backspace", "delete", "insert"),
        *("home", "end", "page_up", "page_down", "up", "down", "left", "right"),
        *("caps_lock", "num_lock", "scroll_lock", "pause", "print_screen", "menu"),
        *("media_play_pause", "media_stop", "media_previous", "media_next"),
        *("media_volume_up", "media_volume_down", "media_volume_mute"),
        *(f"f{number}" for number in range(1, 25)),
    )
)

#: Codes of keys are 32-bit numbers at most.
_CODE_DIGITS: Final = 10

#: Parts joined by `+`. Each is a name, with or without brackets, or one character, which may be `+` itself.
_WRITTEN: Final = re.compile(r"((<\w+>|\w+|\S)\+)*(<\w+>|\w+|\S)")
_PART: Final = re.compile(r"(<\w+>|\w+|\S)(?:\+|$)")

_HOW: Final = "write it like <ctrl>+<alt>+r, <ctrl>+<alt>+space or <f9>"

#: After these commands there is no recording that releasing the hold key could end.
_ENDING: Final = frozenset((Command.STOP, Command.TOGGLE, Command.DISCARD))

_PAUSING: Final = frozenset((Command.PAUSE, Command.TOGGLE_PAUSE))


class KeyEvent(NamedTuple):
    """A key that was pressed or released."""

    #: Identifies the physical key: the same for its press and its release, whatever else is held.
    place: Hashable
    #: The key's names in a binding: `r`, `space` or `ctrl`, and its virtual code, as `<65>`.
    names: tuple[str, ...]
    #: The modifiers that, according to the system, were held just before; None when the system does not say.
    modifiers: frozenset[str] | None = None


class Combination(NamedTuple):
    """A key, by its name in a binding, with exactly these modifiers."""

    modifiers: frozenset[str]
    key: str


def check_bindings(bindings: Mapping[str, Command], hold: str | None = None) -> None:
    """Raise `UsageError` for a key that does not exist, or that would have two commands."""
    _table(bindings, hold)


def as_readable(text: str) -> str:
    """Return a key for people to read: Ctrl+Alt+R for `<ctrl>+<alt>+r`. Raises `UsageError` when it does not exist."""
    combination = parse(text)
    held = [modifier for modifier in MODIFIERS if modifier in combination.modifiers]
    words = [part.strip("<>").replace("_", " ") or part for part in (*held, combination.key)]
    return "+".join(word[0].upper() + word[1:] for word in words)


def readable_keys(bindings: Mapping[str, Command]) -> dict[Command, str]:
    """Return the key of each command for people to read."""
    return {command: as_readable(text) for text, command in bindings.items()}


def _table(bindings: Mapping[str, Command], hold: str | None) -> tuple[dict[Combination, Command], Combination | None]:
    commands: dict[Combination, Command] = {}
    for text, command in bindings.items():
        if commands.setdefault(parse(text), command) is not command:
            raise UsageError(f"the key {text!r} has two commands", "give each command its own key")
    if hold is None:
        return commands, None
    held = parse(hold)
    if held in commands:
        raise UsageError(
            f"the hold key {hold!r} is also the key for {commands[held].value}", "give each command its own key"
        )
    return commands, held


def parse(text: str) -> Combination:
    """Return the combination that a binding names. Raises `UsageError` when it does not exist."""
    if _WRITTEN.fullmatch(text) is None:
        raise UsageError(f"{text!r} is not a key", _HOW)
    modifiers: list[str] = []
    keys: list[str] = []
    for part in _PART.findall(text):
        bracketed = len(part) > 1 and part[0] == "<"
        name = part[1:-1].lower() if bracketed else part.lower()
        if name in MODIFIERS:
            modifiers.append(name)
        elif len(part) == 1 or name in NAMED_KEYS:
            keys.append(name)
        elif bracketed and name.isdecimal() and len(name) <= _CODE_DIGITS:
            keys.append(f"<{int(name)}>")
        else:
            raise UsageError(f"{text!r} is not a key (there is no {part})", _HOW)
    if len(keys) != 1 or len(set(modifiers)) != len(modifiers):
        raise UsageError(f"{text!r} is not a key (use each modifier once, and one other key)", _HOW)
    return Combination(frozenset(modifiers), keys[0])


class _Hold(Enum):
    """The state of the hold key."""

    #: A press starts a recording.
    WAITING = "waiting"
    #: Releasing it stops the recording.
    HELD = "held"
    #: The recording continues without it; the next press stops it.
    LOCKED = "locked"


class Matcher:
    """Tracks which keys are down and returns the commands that each press and release gives.

    A binding fires when its key is pressed while exactly its modifiers are held, once per press. The hold key starts a
    recording. Releasing it, or one of its modifiers, stops the recording. Pressing the pause key meanwhile locks the
    recording: then the next press of the hold key stops it.

    Auto-repeat sends presses without releases (observed on X11, also true of Windows and macOS), so a press of a key
    that is down changes nothing. Releases can get lost, for example to a screen locker. The next press that reports the
    held modifiers corrects a lost release of a modifier. A lost release of another key costs only the next press of
    that key; the release after it counts. One thread uses a matcher; any thread may call `reset`.
    """

    def __init__(self, bindings: Mapping[str, Command], hold: str | None = None) -> None:
        """Raise what `check_bindings` raises."""
        self._commands, self._hold = _table(bindings, hold)
        locking = {item.key for item, command in self._commands.items() if command in _PAUSING}
        #: The names of the keys that lock the recording while the hold key is down.
        self.locking: Final = frozenset(locking if self._hold is not None else ())
        self._state = _Hold.WAITING
        self._hold_place: Hashable = None
        # The names of the keys that are down, keyed by place.
        self._down: dict[Hashable, tuple[str, ...]] = {}

    @property
    def is_held(self) -> bool:
        """Whether releasing the hold key stops the recording. Any thread may ask."""
        return self._state is _Hold.HELD

    def reset(self) -> None:
        """Note that the recording has ended: the next press of the hold key starts one. Any thread may call this."""
        self._state = _Hold.WAITING

    def press(self, event: KeyEvent) -> list[Command]:
        """Return the commands that the press of this key gives, in order."""
        modifiers = self._down_modifiers() if event.modifiers is None else event.modifiers
        commands = self._drop_stale_modifiers(modifiers)
        if event.place in self._down:
            return commands
        self._down[event.place] = event.names
        if self._state is _Hold.HELD and self.locking.intersection(event.names):
            self._state = _Hold.LOCKED
            return commands
        for name in event.names:
            combination = Combination(modifiers, name)
            if combination == self._hold:
                return commands + self._press_hold(event.place)
            command = self._commands.get(combination)
            if command is not None:
                if command in _ENDING:
                    self._state = _Hold.WAITING
                return [*commands, command]
        return commands

    def release(self, event: KeyEvent) -> list[Command]:
        """Return the commands that the release of this key gives."""
        self._down.pop(event.place, None)
        if self._state is not _Hold.HELD or self._hold is None:
            return []
        released = self._hold.modifiers.intersection(event.names) - self._down_modifiers()
        if event.place != self._hold_place and not released:
            return []
        self._state = _Hold.WAITING
        return [Command.STOP]

    def _press_hold(self, place: Hashable) -> list[Command]:
        if self._state is _Hold.HELD:
            # A second key of the same name, which some keyboards have.
            return []
        if self._state is _Hold.LOCKED:
            self._state = _Hold.WAITING
            return [Command.STOP]
        self._state = _Hold.HELD
        self._hold_place = place
        return [Command.START]

    def _drop_stale_modifiers(self, modifiers: frozenset[str]) -> list[Command]:
        """Forget modifiers whose release got lost. Returns the commands that the lost releases would have given."""
        for place, names in list(self._down.items()):
            if names and names[0] in _WITH_ALT_GR and names[0] not in modifiers:
                del self._down[place]
        if self._state is _Hold.HELD and self._hold is not None and not self._hold.modifiers <= modifiers:
            self._state = _Hold.WAITING
            return [Command.STOP]
        return []

    def _down_modifiers(self) -> frozenset[str]:
        return frozenset(names[0] for names in self._down.values() if names and names[0] in _WITH_ALT_GR)
