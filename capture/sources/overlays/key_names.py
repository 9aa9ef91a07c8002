"""Names keys of an X11 keyboard as people do: the letter that is typed, or `Ctrl+Alt+T`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from Xlib import X
from Xlib.display import Display

from capture.triggers.keysyms import KEYPAD, NUM_LOCK, character

__all__ = ["Keyboard", "Label"]

#: Keys that type no character.
_NAMES: Final[Mapping[int, str]] = {
    **{0xFF08: "Backspace", 0xFF09: "Tab", 0xFE20: "Tab", 0xFF0D: "Enter", 0xFF8D: "Enter", 0xFF1B: "Esc"},
    **{0xFF50: "Home", 0xFF51: "Left", 0xFF52: "Up", 0xFF53: "Right", 0xFF54: "Down"},
    **{0xFF55: "Page up", 0xFF56: "Page down", 0xFF57: "End", 0xFF63: "Insert", 0xFFFF: "Delete"},
    **{0xFF95: "Home", 0xFF96: "Left", 0xFF97: "Up", 0xFF98: "Right", 0xFF99: "Down"},
    **{0xFF9A: "Page up", 0xFF9B: "Page down", 0xFF9C: "End", 0xFF9E: "Insert", 0xFF9F: "Delete"},
    **{0xFF13: "Pause", 0xFF61: "Print", 0xFF67: "Menu"},
    **{0xFFBE + number: f"F{number + 1}" for number in range(24)},
    **{0x1008FF11: "Volume down", 0x1008FF12: "Mute", 0x1008FF13: "Volume up", 0x1008FF14: "Play"},
}

#: Modifiers that are written before a key, in this order, with the keysyms of their keys.
_HELD: Final = {"Ctrl": (0xFFE3, 0xFFE4), "Alt": (0xFFE9, 0xFFEA), "Super": (0xFFEB, 0xFFEC)}
_LEVEL_3: Final = (0xFE03, 0xFF7E)

#: Where a press's state holds the selected keyboard layout.
_GROUP_SHIFT: Final = 13
_GROUPS: Final = 3

#: The index of a key's first keysym in each of the first two layouts, plain and with AltGr.
_PLAIN: Final = (0, 2)
_WITH_LEVEL_3: Final = (4, 6)


@dataclass(frozen=True, slots=True)
class Label:
    """The name of a pressed key; `typed` if it is a character, to be joined with its neighbours."""

    text: str
    typed: bool


class Keyboard:
    """The keyboard with the server's mapping, which may change. For one thread."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._masks: dict[str, int] | None = None

    def refresh(self, event: Any) -> None:
        """Apply a change of the mapping that the server has reported."""
        self._display.refresh_keyboard_mapping(event)
        self._masks = None

    def read(self, place: int, state: int) -> Label | None:
        """Return the name of key code `place` under the modifiers in `state`; None for a modifier or an unknown key."""
        masks = self._masks = self._masks or self._find_masks()
        held = [name for name in _HELD if state & masks[name]]
        shift = bool(state & X.ShiftMask)
        symbol = self._symbol(place, state, masks)
        if (name := _NAMES.get(symbol)) is not None:
            return Label("+".join([*held, *(["Shift"] if shift else []), name]), typed=False)
        char = character(symbol)
        if held:
            # A shortcut is named by what is printed on the key, in Latin letters if it has any.
            plain = character(self._display.keycode_to_keysym(place, 0)) or char
            name = plain.upper() if plain != " " else "Space"
            return Label("+".join([*held, *(["Shift"] if shift else []), name]), typed=False) if plain else None
        if state & X.LockMask and len(char.swapcase()) == 1:
            char = char.lower() if shift else char.upper()
        return Label(char, typed=True) if char else None

    def _symbol(self, place: int, state: int, masks: Mapping[str, int]) -> int:
        shift = bool(state & X.ShiftMask)
        group = min(state >> _GROUP_SHIFT & _GROUPS, len(_PLAIN) - 1)
        if self._symbol_at(place, 1) in KEYPAD:
            return self._symbol_at(place, int(shift != bool(state & masks["Num"])))
        begins = [_PLAIN[group], _PLAIN[0]]
        if state & masks["Level 3"]:
            begins.insert(0, _WITH_LEVEL_3[group])
        return next((found for begin in begins if (found := self._symbol_at(place, begin + shift))), 0)

    def _symbol_at(self, place: int, index: int) -> int:
        symbol: int = self._display.keycode_to_keysym(place, index)
        return symbol

    def _find_masks(self) -> dict[str, int]:
        """Return the bit of each modifier in a press's state; 0 if the keyboard lacks it."""
        wanted = {**_HELD, "Num": (NUM_LOCK,), "Level 3": _LEVEL_3}
        masks = {**dict.fromkeys(wanted, 0), "Ctrl": X.ControlMask}
        taken = X.ShiftMask | X.LockMask | X.ControlMask
        for row, places in enumerate(self._display.get_modifier_mapping()):
            symbols = [self._symbol_at(place, 0) for place in places if place]
            for name, keys in wanted.items():
                if not masks[name] and not taken & 1 << row and any(symbol in keys for symbol in symbols):
                    masks[name] = 1 << row
                    taken |= 1 << row
        return masks
