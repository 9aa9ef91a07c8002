"""Which keys mean what: the grammar they are written in, and how what is pressed is matched. Needs no keyboard."""

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
    "Hotkey",
    "KeyEvent",
    "Matcher",
    "as_spoken",
    "check_bindings",
]


class Hotkey(NamedTuple):
    """A key that can be chosen: what it is called in the settings, the key it is unless another was chosen."""

    name: str
    key: str
    command: Command
    about: str


HOTKEYS: Final = (
    Hotkey("toggle", "<ctrl>+<alt>+r", Command.TOGGLE, "begin a recording, or end it"),
    Hotkey("pause", "<ctrl>+<alt>+p", Command.TOGGLE_PAUSE, "pause, or go on"),
    Hotkey("discard", "<ctrl>+<alt>+x", Command.DISCARD, "end the recording and remove its file"),
    Hotkey("clip", "<ctrl>+<alt>+c", Command.CLIP, "save what the replay buffer holds"),
    Hotkey("mark", "<ctrl>+<alt>+m", Command.MARK, "remember this moment in the recording"),
)

DEFAULT_HOTKEYS: Final[Mapping[str, Command]] = {hotkey.key: hotkey.command for hotkey in HOTKEYS}

#: What may stand before a key; the left and the right one count the same.
MODIFIERS: Final = ("ctrl", "alt", "shift", "cmd")

#: A modifier that no binding can ask for: while it is held, letters are others.
ALT_GR: Final = "alt_gr"

_WITH_ALT_GR: Final = frozenset((*MODIFIERS, ALT_GR))

#: Keys that type no character of their own, as pynput calls them.
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

#: Parts joined by `+`, each a name, with brackets or without, or one character, which may be `+` itself.
_WRITTEN: Final = re.compile(r"((<\w+>|\w+|\S)\+)*(<\w+>|\w+|\S)")
_PART: Final = re.compile(r"(<\w+>|\w+|\S)(?:\+|$)")

_HOW: Final = "write it like <ctrl>+<alt>+r, <ctrl>+<alt>+space or <f9>"

#: After these nothing is recorded that letting go of the hold key could end.
_ENDING: Final = frozenset((Command.STOP, Command.TOGGLE, Command.DISCARD))

_PAUSING: Final = frozenset((Command.PAUSE, Command.TOGGLE_PAUSE))


class KeyEvent(NamedTuple):
    """A key that went down, or up."""

    #: Which key of the keyboard it is: the same at its press and its release, whatever else is held.
    place: Hashable
    #: What it may be called in a binding: `r`, `space`, `ctrl`, and its virtual code `<65>`.
    names: tuple[str, ...]
    #: The modifiers that the system says were held just before; None where it does not say.
    modifiers: frozenset[str] | None = None


class _Combination(NamedTuple):
    modifiers: frozenset[str]
    key: str


def check_bindings(bindings: Mapping[str, Command], hold: str | None = None) -> None:
    """Raises `UsageError` for a key that does not exist, and for one that would mean two things."""
    _table(bindings, hold)


def as_spoken(text: str) -> str:
    """How people call a key: Ctrl+Alt+R for `<ctrl>+<alt>+r`. Raises `UsageError` for one that does not exist."""
    combination = _parse(text)
    held = [modifier for modifier in MODIFIERS if modifier in combination.modifiers]
    words = [part.strip("<>").replace("_", " ") or part for part in (*held, combination.key)]
    return "+".join(word[0].upper() + word[1:] for word in words)


def _table(
    bindings: Mapping[str, Command], hold: str | None
) -> tuple[dict[_Combination, Command], _Combination | None]:
    commands: dict[_Combination, Command] = {}
    for text, command in bindings.items():
        if commands.setdefault(_parse(text), command) is not command:
            raise UsageError(f"the key {text!r} has two commands", "give each command a key of its own")
    if hold is None:
        return commands, None
    held = _parse(hold)
    if held in commands:
        raise UsageError(
            f"the hold key {hold!r} is also the key for {commands[held].value}", "give each command a key of its own"
        )
    return commands, held


def _parse(text: str) -> _Combination:
    if _WRITTEN.fullmatch(text) is None:
        raise UsageError(f"{text!r} is no key", _HOW)
    modifiers: list[str] = []
    keys: list[str] = []
    for part in _PART.findall(text):
        bracketed = len(part) > 1 and part[0] == "<"
        name = part[1:-1].lower() if bracketed else part.lower()
        if name in MODIFIERS:
            modifiers.append(name)
        elif len(part) == 1 or name in NAMED_KEYS:
            keys.append(name)
        elif bracketed and name.isdecimal():
            keys.append(f"<{int(name)}>")
        else:
            raise UsageError(f"{text!r} is no key (there is no {part})", _HOW)
    if len(keys) != 1 or len(set(modifiers)) != len(modifiers):
        raise UsageError(f"{text!r} is no key (it takes each modifier once, and one other key)", _HOW)
    return _Combination(frozenset(modifiers), keys[0])


class _Hold(Enum):
    """What the hold key is doing."""

    #: Its press begins a recording.
    WAITING = "waiting"
    #: Letting go ends the recording.
    HELD = "held"
    #: The recording goes on by itself; its next press ends it.
    LOCKED = "locked"


class Matcher:
    """Knows which keys are down, and what a further one, or letting go of one, commands.

    A binding fires when its key goes down while exactly its modifiers are held, once for as long as it is down. The
    hold key starts a recording and letting go of it, or of one of its modifiers, stops it, unless the pause key was
    pressed meanwhile: that locks the recording, and the next press of the hold key stops it.

    A keyboard that repeats a held key sends presses alone (seen on X11, true of Windows and macOS), so a press of a
    key that is down changes nothing. Releases can get lost, to a screen locker for one. A lost release of a modifier is
    made good by the next press that says which are held; one of any other key costs its next press, and no more:
    letting go of that one counts. Used by one thread, but for `reset`.
    """

    def __init__(self, bindings: Mapping[str, Command], hold: str | None = None) -> None:
        """Raises what `check_bindings` does."""
        self._commands, self._hold = _table(bindings, hold)
        self._locking = {item.key for item, command in self._commands.items() if command in _PAUSING}
        self._state = _Hold.WAITING
        self._hold_place: Hashable = None
        # The names of the keys that are down, by place.
        self._down: dict[Hashable, tuple[str, ...]] = {}

    def reset(self) -> None:
        """The recording has ended by other means: the next press of the hold key starts one. Any thread."""
        self._state = _Hold.WAITING

    def press(self, event: KeyEvent) -> list[Command]:
        """The commands that this key going down gives, in their order."""
        modifiers = self._down_modifiers() if event.modifiers is None else event.modifiers
        commands = self._make_good(modifiers)
        if event.place in self._down:
            return commands
        self._down[event.place] = event.names
        if self._state is _Hold.HELD and self._locking.intersection(event.names):
            self._state = _Hold.LOCKED
            return commands
        for name in event.names:
            combination = _Combination(modifiers, name)
            if combination == self._hold:
                return commands + self._press_hold(event.place)
            command = self._commands.get(combination)
            if command is not None:
                if command in _ENDING:
                    self._state = _Hold.WAITING
                return [*commands, command]
        return commands

    def release(self, event: KeyEvent) -> list[Command]:
        """The commands that this key going up gives."""
        self._down.pop(event.place, None)
        if self._state is not _Hold.HELD or self._hold is None:
            return []
        let_go = self._hold.modifiers.intersection(event.names) - self._down_modifiers()
        if event.place != self._hold_place and not let_go:
            return []
        self._state = _Hold.WAITING
        return [Command.STOP]

    def _press_hold(self, place: Hashable) -> list[Command]:
        if self._state is _Hold.HELD:
            # Another key of that name: there are two of some.
            return []
        if self._state is _Hold.LOCKED:
            self._state = _Hold.WAITING
            return [Command.STOP]
        self._state = _Hold.HELD
        self._hold_place = place
        return [Command.START]

    def _make_good(self, modifiers: frozenset[str]) -> list[Command]:
        """Forget modifiers that are believed down and are not; what a release that was not heard would have given."""
        for place, names in list(self._down.items()):
            if names and names[0] in _WITH_ALT_GR and names[0] not in modifiers:
                del self._down[place]
        if self._state is _Hold.HELD and self._hold is not None and not self._hold.modifiers <= modifiers:
            self._state = _Hold.WAITING
            return [Command.STOP]
        return []

    def _down_modifiers(self) -> frozenset[str]:
        return frozenset(names[0] for names in self._down.values() if names and names[0] in _WITH_ALT_GR)
