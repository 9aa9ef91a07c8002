"""Names X11's keysyms: the character that a key types, or the name that it has in a key binding.

Needs no library and no display.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final

from capture.triggers.bindings import ALT_GR

__all__ = ["KEYPAD", "MODIFIER_KEYS", "NUM_LOCK", "SCROLL_LOCK", "binding_names", "character"]

#: X11's keysyms beyond Latin-1 come in pages, most of them numbered like the characters of an older encoding.
_PAGES: Final = {
    **{0x00: "latin-1", 0x01: "iso8859-2", 0x02: "iso8859-3", 0x03: "iso8859-4", 0x04: "shift_jis"},
    **{0x05: "iso8859-6", 0x06: "koi8-u", 0x07: "iso8859-7", 0x0C: "iso8859-8", 0x0D: "tis-620", 0x13: "iso8859-15"},
}

#: Exceptions: runs of characters by the keysym of the first.
_RUNS: Final = {
    0x6A1: "ђѓёєѕіїјљњћќґўџ№ЂЃЁЄЅІЇЈЉЊЋЌҐЎЏ",
    0x7A1: "ΆΈΉΊΪ",
    0x7A7: "ΌΎΫ",
    0x7AB: "Ώ",
    0x7AE: "΅―",
    0x7B1: "άέήίϊΐόύϋΰώ",
    0x7D2: "Σ",
    0x7F2: "σς",
    0x8FB: "←↑→↓",
    0xAA9: "—–",  # noqa: RUF001 - these are meant, here and below
    0xAAE: "…",
    0xAD0: "‘’“”",  # noqa: RUF001
    0x20AC: "€",
    0xFE50: "`´^~¯˘˙¨˚˝ˇ¸˛",  # noqa: RUF001 - accents that wait for their letter
    0xFFAA: "*+,-./0123456789",  # of the keypad
    0xFFBD: "=",
}
_CHARACTERS: Final = {first + place: char for first, run in _RUNS.items() for place, char in enumerate(run)}

#: A keysym from here on is this plus the character's number in Unicode.
_UNICODE: Final = 0x1000000

#: The keys of the keypad; Num Lock chooses between the two keysyms of each.
KEYPAD: Final = range(0xFF80, 0xFFBE)

NUM_LOCK: Final = 0xFF7F
SCROLL_LOCK: Final = 0xFF14

#: The keys that hold a modifier, by the modifier's name in a binding.
MODIFIER_KEYS: Final[Mapping[int, str]] = {
    **{0xFFE1: "shift", 0xFFE2: "shift", 0xFFE3: "ctrl", 0xFFE4: "ctrl", 0xFFE9: "alt", 0xFFEA: "alt"},
    **{0xFFEB: "cmd", 0xFFEC: "cmd", 0xFE03: ALT_GR, 0xFF7E: ALT_GR},
}

#: The other keys that type no visible character, by their names in a binding.
_NAMED: Final[Mapping[int, str]] = {
    **{0x20: "space", 0xFF80: "space", 0xFF09: "tab", 0xFF89: "tab", 0xFF0D: "enter", 0xFF8D: "enter"},
    **{0xFF1B: "esc", 0xFF08: "backspace", 0xFFFF: "delete", 0xFF9F: "delete", 0xFF63: "insert", 0xFF9E: "insert"},
    **{0xFF50: "home", 0xFF95: "home", 0xFF57: "end", 0xFF9C: "end"},
    **{0xFF55: "page_up", 0xFF9A: "page_up", 0xFF56: "page_down", 0xFF9B: "page_down"},
    **{0xFF51: "left", 0xFF96: "left", 0xFF52: "up", 0xFF97: "up"},
    **{0xFF53: "right", 0xFF98: "right", 0xFF54: "down", 0xFF99: "down"},
    **{0xFFE5: "caps_lock", NUM_LOCK: "num_lock", SCROLL_LOCK: "scroll_lock"},
    **{0xFF13: "pause", 0xFF61: "print_screen", 0xFF67: "menu"},
    **{0x1008FF14: "media_play_pause", 0x1008FF15: "media_stop", 0x1008FF16: "media_previous"},
    **{0x1008FF17: "media_next", 0x1008FF11: "media_volume_down", 0x1008FF12: "media_volume_mute"},
    **{0x1008FF13: "media_volume_up"},
    **{0xFFBE + number: f"f{number + 1}" for number in range(24)},
    **{0xFF91 + number: f"f{number + 1}" for number in range(4)},
}


def binding_names(symbol: int) -> tuple[str, ...]:
    """Return the names in a binding of a key that types `symbol`: its name or character, and its code, as `<65>`."""
    if not symbol:
        return ()
    name = _NAMED.get(symbol) or MODIFIER_KEYS.get(symbol) or character(symbol).lower()
    return (name, f"<{symbol}>") if name else (f"<{symbol}>",)


def character(symbol: int) -> str:
    """Return the character of a keysym, "" if it has no visible one."""
    if symbol in _CHARACTERS:
        return _CHARACTERS[symbol]
    char = ""
    if symbol >= _UNICODE:
        char = chr(symbol - _UNICODE) if symbol - _UNICODE < 0x110000 else ""
    elif symbol >> 8 in _PAGES:
        char = bytes([symbol & 0xFF]).decode(_PAGES[symbol >> 8], errors="ignore")
        # That encoding has kana of half width; people write full-width ones.
        char = unicodedata.normalize("NFKC", char) if symbol >> 8 == 0x04 else char
    return char if char.isprintable() else ""
