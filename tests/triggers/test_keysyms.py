"""Keysyms have the characters that they type and the names that bindings use."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys

import pytest

from capture.triggers.bindings import ALT_GR, MODIFIERS, NAMED_KEYS
from capture.triggers.keysyms import KEYPAD, MODIFIER_KEYS, binding_names, character

#: Latin, Cyrillic, Greek, Hebrew, Arabic and Thai.
PAGES = (0x00, 0x01, 0x02, 0x03, 0x05, 0x06, 0x07, 0x0C, 0x0D, 0x13)


@pytest.mark.skipif(sys.platform != "linux", reason="the library to compare with comes with xdotool")
def test_letters_of_all_scripts_have_their_character() -> None:
    # The reference is what programs type: xdotool installs it.
    library = ctypes.CDLL("libxkbcommon.so.0")
    checked = 0
    for page in PAGES:
        for symbol in range(page << 8, (page << 8) + 0x100):
            number = library.xkb_keysym_to_utf32(symbol)
            char = chr(number) if number else ""
            if char.isprintable() and char:
                checked += 1
                assert character(symbol) == char, hex(symbol)
    assert checked > 600
    assert character(0x1000000 + ord("\N{GEORGIAN LETTER AN}")) == "\N{GEORGIAN LETTER AN}"
    assert character(0x4B1) == "\N{KATAKANA LETTER A}"


@pytest.mark.parametrize("symbol", [0, 0xFFE1, 0xFF08, 0x1FFFFFFF, 0x100000A, 0x7F, 0xEFFF])
def test_other_keysyms_have_no_character(symbol: int) -> None:
    assert character(symbol) == ""


@pytest.mark.parametrize(
    ("symbol", "names"),
    [
        *((ord("r"), ("r", "<114>")), (ord("R"), ("r", "<82>")), (0x20, ("space", "<32>"))),
        *(
            (0x6CB, ("к", "<1739>")),
            (0xFE52, ("^", "<65106>")),
            (0xFFB1, ("1", "<65457>")),
            (0xFF9C, ("end", "<65436>")),
        ),
        *((0xFF8D, ("enter", "<65421>")), (0xFFC6, ("f9", "<65478>")), (0xFFE4, ("ctrl", "<65508>"))),
        *((0xFE03, (ALT_GR, "<65027>")), (0x1008FF7F, ("<269025151>",)), (0, ())),
    ],
)
def test_a_key_has_its_names_in_bindings(symbol: int, names: tuple[str, ...]) -> None:
    assert binding_names(symbol) == names


def test_every_name_of_a_key_has_a_keysym() -> None:
    symbols = (*range(0xFE00, 0x10000), *range(0x1008FF00, 0x10090000), 0x20)
    found = {names[0] for symbol in symbols if (names := binding_names(symbol))}
    assert found >= NAMED_KEYS
    assert {*MODIFIERS, ALT_GR} == set(MODIFIER_KEYS.values()) <= found
    assert {"1", "+", "end", "enter"} <= {binding_names(symbol)[0] for symbol in KEYPAD}
