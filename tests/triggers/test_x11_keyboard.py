"""A binding means the key that types its letter in the layout in use, or else the one that comes nearest to that."""

from __future__ import annotations

import struct
import sys
from collections.abc import Mapping, Sequence

import pytest

from capture.triggers.bindings import parse
from capture.triggers.x11_keyboard import Key, Keyboard, Plan

CTRL, ALT, NUM, SUPER = 4, 8, 16, 64
CTRL_KEY, ALT_KEY, NUM_KEY, SUPER_KEY = 37, 64, 77, 133
LOCKS = 2 | NUM

#: The place of R on a US keyboard, and two others.
R_PLACE, S_PLACE, ONE_PLACE = 27, 39, 10
KEYPAD_1, KEYPAD_PLUS, PLUS = 87, 86, 21

HELD_KEYS: Mapping[int, Key] = {
    CTRL_KEY: Key(((0xFFE3,),)),
    ALT_KEY: Key(((0xFFE9, 0xFFE7),)),
    NUM_KEY: Key(((0xFF7F,),)),
    SUPER_KEY: Key(((0xFFEB,),)),
}
ROWS: Sequence[Sequence[int]] = ((50,), (66,), (CTRL_KEY,), (ALT_KEY,), (NUM_KEY,), (), (SUPER_KEY,), ())


def typed(*layouts: str, **more: int) -> Key:
    """A key by its characters in each layout: plain, with Shift."""
    return Key(tuple(tuple(map(_symbol, layout)) for layout in layouts), **more)  # type: ignore[arg-type]


def _symbol(char: str) -> int:
    return ord(char) if ord(char) < 0x100 else 0x1000000 + ord(char)


def plan(keys: Mapping[int, Key], *bindings: str, rows: Sequence[Sequence[int]] = ROWS) -> Plan:
    return Plan(Keyboard({**HELD_KEYS, **keys}, rows), [parse(text) for text in bindings])


def keycodes(made: Plan, text: str, layout: int = 0, locks: int = 0) -> set[int]:
    """Return the keys that are `text` in a layout."""
    held = sum(made.keyboard.masks[name] for name in parse(text).modifiers)
    state = held | locks | layout << 13
    return {key for key in made.keyboard.keys if made.meaning(made.event(key, state)) == parse(text)}


R = "<ctrl>+<alt>+r"


def test_the_layout_in_use_comes_first_then_the_others_then_the_place() -> None:
    both = plan({R_PLACE: typed("rR", "pP"), S_PLACE: typed("sS", "rR")}, R)
    assert [keycodes(both, R, layout) for layout in (0, 1)] == [{R_PLACE}, {S_PLACE}]
    second = plan({R_PLACE: typed("кК", "pP"), S_PLACE: typed("ыЫ", "rR")}, R)
    assert [keycodes(second, R, layout) for layout in (0, 1)] == [{S_PLACE}, {S_PLACE}]
    none = plan({R_PLACE: typed("кК"), S_PLACE: typed("ыЫ")}, R)
    assert keycodes(none, R) == {R_PLACE}
    assert [made.by_place for made in (both, second, none)] == [set(), set(), {"r"}]


def test_what_a_key_types_comes_before_what_falls_back_on_it() -> None:
    made = plan({R_PLACE: typed("кК")}, R, "<ctrl>+<alt>+к")
    assert keycodes(made, "<ctrl>+<alt>+к") == {R_PLACE}
    assert keycodes(made, R) == set()


def test_a_character_that_needs_shift_is_on_its_key() -> None:
    made = plan({ONE_PLACE: typed("&1"), PLUS: typed("=+")}, "<ctrl>+1", "<ctrl>++", "<ctrl>+<shift>+&")
    assert keycodes(made, "<ctrl>+1") == keycodes(made, "<ctrl>+<shift>+&") == {ONE_PLACE}
    assert keycodes(made, "<ctrl>++") == {PLUS}
    assert made.by_place == set()


def test_num_lock_decides_about_the_keypad_alone() -> None:
    keypad = {KEYPAD_1: Key(((0xFF9C, 0xFFB1),)), KEYPAD_PLUS: Key(((0xFFAB, 0xFFAB),))}
    made = plan({**keypad, ONE_PLACE: typed("1!")}, "<ctrl>+1", "<ctrl>++", "<ctrl>+end")
    assert [keycodes(made, "<ctrl>+1", locks=locks) for locks in (0, NUM, 2)] == [
        {ONE_PLACE},
        {ONE_PLACE, KEYPAD_1},
        {ONE_PLACE},
    ]
    assert [keycodes(made, "<ctrl>+end", locks=locks) for locks in (0, NUM)] == [{KEYPAD_1}, set()]
    assert [keycodes(made, "<ctrl>++", locks=locks) for locks in (0, NUM)] == [{KEYPAD_PLUS}] * 2


@pytest.mark.parametrize(
    ("key", "typed_in_each"),
    [
        (typed("rR"), "rrrr"),
        (typed("rR", "pP"), "rprp"),
        (typed("rR", "pP", clamps=True), "rppp"),
        (typed("rR", "pP", redirects_to=1), "rppp"),
        (typed("rR", "pP", redirects_to=3), "rprr"),
        (Key(()), "    "),
    ],
)
def test_a_key_with_fewer_layouts_than_the_keyboard_repeats_them(key: Key, typed_in_each: str) -> None:
    assert "".join(chr(key.symbol(layout, 0) or 32) for layout in range(4)) == typed_in_each


def test_a_grab_is_exact_whatever_the_locks_are() -> None:
    made = plan({R_PLACE: typed("rR")}, R)
    assert {chord for chord, sure in made.chords(parse(R))} == {
        (R_PLACE, CTRL | ALT | locks) for locks in (0, 2, NUM, LOCKS)
    }
    assert all(sure for chord, sure in made.chords(parse(R)))


def test_a_key_that_is_a_hotkey_in_some_layouts_only_is_not_sure() -> None:
    made = plan({R_PLACE: typed("rR", "pP"), S_PLACE: typed("sS", "rR")}, R, "<ctrl>+<alt>+p")
    assert {(chord.keycode, sure) for chord, sure in made.chords(parse(R))} == {(R_PLACE, False), (S_PLACE, False)}


def test_what_a_keyboard_lacks_is_known() -> None:
    without_super = (*ROWS[:6], (), ())
    made = plan({R_PLACE: typed("rR")}, R, "<cmd>+r", "<ctrl>+é", rows=without_super)
    assert [made.can(parse(text)) for text in (R, "<cmd>+r", "<ctrl>+é")] == [True, False, False]
    assert list(made.chords(parse("<cmd>+r"))) == []
    assert plan({}, R).can(parse(R)) is False


def test_modifiers_are_named_and_a_modifier_may_be_a_hotkey() -> None:
    made = plan({R_PLACE: typed("rR")}, R, "<65507>")
    assert made.event(CTRL_KEY, 0).names == ("ctrl", "<65507>")
    assert made.event(R_PLACE, CTRL | ALT | NUM).modifiers == frozenset(("ctrl", "alt"))
    assert keycodes(made, "<65507>") == {CTRL_KEY}


@pytest.mark.skipif(sys.platform != "linux", reason="the library of X11 is for Linux")
def test_a_map_is_read_as_the_server_sends_it() -> None:
    from capture.triggers.x11_connection import keys_of

    def key(about: int, width: int, *symbols: int) -> bytes:
        return struct.pack(f"=4xBBH{len(symbols)}I", about, width, len(symbols), *symbols)

    keys = key(0, 0) + key(2, 2, *b"rRpP") + key(0x41, 1, *b"x") + key(0x91, 3, *b"abc") + key(0xB2, 1, *b"yz")
    reply = struct.pack("=17xBHB19x", 8, 11, 5) + keys
    assert keys_of(reply) == {
        8: Key(()),
        9: typed("rR", "pP"),
        10: typed("x", clamps=True),
        11: typed("abc", redirects_to=1),
        12: typed("y", "z", redirects_to=3),
    }
