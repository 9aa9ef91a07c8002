"""Keys have the names that people use, on any keyboard."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any, Final

import pytest
from running import eventually

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from Xlib import XK, X
from Xlib.display import Display

from capture.sources.overlays.key_names import Keyboard, Label
from capture.virtual.desk import VirtualDesk

SHIFT, LOCK, CTRL, ALT, NUM, SUPER, ALT_GR = (1 << bit for bit in (0, 1, 2, 3, 4, 6, 7))
SECOND_LAYOUT: Final = 1 << 13


class Table:
    """A keyboard given by its keysyms: for each key the plain one, the one with Shift, and so on."""

    def __init__(self, **keys: tuple[Any, ...]) -> None:
        self.places = {name: number for number, name in enumerate(keys, 20)}
        self._symbols = {
            self.places[name]: [each if isinstance(each, int) else XK.string_to_keysym(each) for each in symbols]
            for name, symbols in keys.items()
        }

    def keycode_to_keysym(self, place: int, index: int) -> int:
        symbols = self._symbols.get(place, [])
        return symbols[index] if index < len(symbols) else 0

    def get_modifier_mapping(self) -> list[list[int]]:
        rows = ((), (), ("ctrl",), ("alt",), ("num",), (), ("super",), ("level3",))
        return [[0, *(self.places[name] for name in row)] for row in rows]


TABLE: Final = Table(
    ctrl=("Control_L",),
    alt=("Alt_L",),
    num=("Num_Lock",),
    super=("Super_L",),
    level3=(0xFE03,),
    c=("c", "C", 0x6D3, 0x6F3, "cent", "copyright"),
    eight=("8", "asterisk", "8", "asterisk"),
    e=("e", "E", "e", "E", 0x20AC),
    space=("space",),
    tab=("Tab", 0xFE20),
    enter=("Return",),
    f5=("F5",),
    kp7=("KP_Home", "KP_7"),
    kp_enter=("KP_Enter",),
    plus=("plus", "asterisk"),
    alef=(0x1000000 + 0x5D0,),
    dead=(0xFE51,),
    media=(0x1008FF7F,),
)


@pytest.mark.parametrize(
    ("key", "state", "text", "typed"),
    [
        ("c", 0, "c", True),
        ("c", SHIFT, "C", True),
        ("c", LOCK, "C", True),
        ("c", LOCK | SHIFT, "c", True),
        ("c", NUM, "c", True),
        ("c", CTRL, "Ctrl+C", False),
        ("c", CTRL | ALT | SHIFT | SUPER, "Ctrl+Alt+Super+Shift+C", False),
        ("c", SECOND_LAYOUT, "с", True),  # noqa: RUF001 - Cyrillic
        ("c", SECOND_LAYOUT | SHIFT, "С", True),  # noqa: RUF001 - Cyrillic
        ("c", SECOND_LAYOUT | CTRL, "Ctrl+C", False),
        ("c", ALT_GR, "¢", True),
        ("c", ALT_GR | SHIFT, "©", True),
        ("e", ALT_GR, "€", True),
        ("eight", SHIFT, "*", True),
        ("eight", LOCK, "8", True),
        ("space", 0, " ", True),
        ("space", CTRL, "Ctrl+Space", False),
        ("tab", 0, "Tab", False),
        ("tab", SHIFT, "Shift+Tab", False),
        ("tab", ALT, "Alt+Tab", False),
        ("enter", 0, "Enter", False),
        ("f5", CTRL, "Ctrl+F5", False),
        ("kp7", 0, "Home", False),
        ("kp7", NUM, "7", True),
        ("kp_enter", NUM, "Enter", False),
        ("plus", CTRL, "Ctrl++", False),
        ("alef", 0, "א", True),
        ("dead", 0, "´", True),  # noqa: RUF001
    ],
)
def test_a_key_has_the_name_people_use(key: str, state: int, text: str, typed: bool) -> None:
    assert Keyboard(TABLE).read(TABLE.places[key], state) == Label(text, typed)


@pytest.mark.parametrize("key", ["ctrl", "alt", "super", "num", "level3", "media"])
def test_modifiers_and_unknown_keys_have_no_name(key: str) -> None:
    assert Keyboard(TABLE).read(TABLE.places[key], 0) is None
    assert Keyboard(TABLE).read(255, 0) is None


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Iterator[Display]:
    """The display of a separate desk: other tests need their keyboard unchanged."""
    with VirtualDesk(320, 240, window_manager=False) as desk:
        for name, value in desk.environment.items():
            monkeypatch.setenv(name, value)
        opened = Display()
        yield opened
        opened.close()


@pytest.mark.parametrize(
    ("layout", "symbol", "state", "text"),
    [
        ("us", "q", CTRL | ALT, "Ctrl+Alt+Q"),
        ("de", "q", ALT_GR, "@"),
        ("us,ru", "q", SECOND_LAYOUT, "й"),
        ("us,ru", "q", SECOND_LAYOUT | CTRL, "Ctrl+Q"),
        ("us,gr", "q", SECOND_LAYOUT, ";"),
        ("us,gr", "a", SECOND_LAYOUT, "α"),  # noqa: RUF001 - Greek
    ],
)
def test_layouts_of_a_real_server_are_followed(
    layout: str, symbol: str, state: int, text: str, display: Display
) -> None:
    keyboard = Keyboard(display)
    keyboard.read(24, 0)
    subprocess.run(["setxkbmap", layout], check=True, timeout=30)

    def read() -> str:
        while display.pending_events():
            event = display.next_event()
            if event.type == X.MappingNotify:
                keyboard.refresh(event)
        label = keyboard.read(display.keysym_to_keycode(XK.string_to_keysym(symbol)), state)
        return label.text if label is not None else ""

    eventually(lambda: read() == text, f"the key to be called {text}")
