"""Hotkeys on X11 are the keys that type their letters, in every layout."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from key_presses import Heard, xdotool
from running import eventually
from x11_keys import (
    BINDINGS,
    CLIP,
    DISCARD,
    LETTERS,
    MARK,
    PAUSE,
    PROOF,
    RECORD,
    SWITCH,
    US,
    answer,
    answers,
    listening,
    press,
    set_layout,
    until_followed,
)

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.errors import NotReadyError
from capture.events import Command, EventKind
from capture.system.unix_socket import listen
from capture.triggers.hotkeys import Hotkeys

#: The commands of the keys in the places of `LETTERS`, by layout.
LAYOUTS = {
    "us": US,
    "de": US,
    "fr": {"r": RECORD, "p": PAUSE, "x": DISCARD, "c": CLIP, ";": MARK},
    "us -variant dvorak": {"o": RECORD, "r": PAUSE, "b": DISCARD, "i": CLIP, "m": MARK},
    "us -variant colemak": {"s": RECORD, "r": PAUSE, "x": DISCARD, "c": CLIP, "m": MARK},
    # By the letters' places on a US keyboard: none of their layouts has Latin letters.
    "ru": US,
    "gr": US,
    "il": US,
    "ara": US,
    # By the letters of the other layout.
    "us,ru": US,
    "ru,us": US,
    "gr,fr": {"r": RECORD, "p": PAUSE, "x": DISCARD, "c": CLIP, ";": MARK},
    "ru,us -variant ,dvorak": {"o": RECORD, "r": PAUSE, "b": DISCARD, "i": CLIP, "m": MARK},
}


@pytest.mark.usefixtures("own_server")
def test_a_compositor_that_has_ended_takes_no_keys_from_the_x_server(
    temporary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-1")
        # It leaves its socket.
        with listen(str(Path(folder, "wayland-1"))):
            # Beside Xwayland, X11's keys would be heard in X11's windows alone.
            assert Hotkeys(BINDINGS).by_portal
        with listening() as heard:
            assert answer(heard, "ctrl", "alt", "r") == [RECORD]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_key_that_types_a_letter_is_its_hotkey(layout: str, own_server: object) -> None:
    set_layout(*layout.split())
    with listening() as heard:
        assert answers(heard, LETTERS) == LAYOUTS[layout]


def test_hotkeys_follow_a_change_of_the_layout(own_server: object) -> None:
    with listening() as heard:
        assert answers(heard, LETTERS) == US
        for layout, letter, command in (
            ("us -variant dvorak", "r", PAUSE),
            ("us", "r", RECORD),
            ("fr", ";", MARK),
            ("ru", "m", MARK),
        ):
            set_layout(*layout.split())
            until_followed(heard, letter, command)
            assert answers(heard, LETTERS) == LAYOUTS[layout]


def test_hotkeys_follow_keys_that_are_remapped_one_by_one(own_server: object) -> None:
    with listening() as heard:
        subprocess.run(["xmodmap", "-e", "keycode 27 = p P", "-e", "keycode 33 = r R"], check=True, timeout=30)
        until_followed(heard, "p", RECORD)
        assert answers(heard, "rp") == {"r": PAUSE, "p": RECORD}


def test_hotkeys_follow_modifiers_that_are_remapped(own_server: object) -> None:
    with listening({"<alt>+r": RECORD, "<f9>": PROOF}) as heard:
        assert answer(heard, "menu", "r") == []
        subprocess.run(["xmodmap", "-e", "keycode 135 = Alt_R", "-e", "add mod1 = Alt_R"], check=True, timeout=30)
        eventually(lambda: answer(heard, "menu", "r") == [RECORD], "Menu to be Alt")


def test_hotkeys_follow_the_keyboard_in_use(own_server: object) -> None:
    # A second keyboard, here that of XTest, may have a layout of its own.
    with listening() as heard:
        set_layout("-device", "5", "-layout", "us", "-variant", "dvorak")
        until_followed(heard, "r", PAUSE)
        assert answers(heard, LETTERS) == LAYOUTS["us -variant dvorak"]


def test_hotkeys_follow_a_map_that_was_compiled(own_server: object) -> None:
    with listening() as heard:
        printed = subprocess.run(["setxkbmap", "-print"], check=True, capture_output=True, text=True, timeout=30).stdout
        swapped = printed.replace("pc+us", "pc+us(dvorak)")
        assert swapped != printed
        subprocess.run(
            ["xkbcomp", "-w", "0", "-", os.environ["DISPLAY"]], input=swapped, check=True, text=True, timeout=30
        )
        until_followed(heard, "r", PAUSE)
        assert answers(heard, LETTERS) == LAYOUTS["us -variant dvorak"]


@pytest.mark.parametrize(
    ("layouts", "of_each"),
    [
        ("us,ru", [US, US]),
        ("us,us -variant ,dvorak", [US, LAYOUTS["us -variant dvorak"]]),
        ("us,fr,gr", [US, LAYOUTS["fr"], US]),
        # The layout in use decides; Russian and Greek fall back on the first that has the letters.
        ("ru,gr,us,us -variant ,,dvorak,", [LAYOUTS["us -variant dvorak"]] * 3 + [US]),
    ],
)
def test_hotkeys_follow_the_layout_in_use(layouts: str, of_each: list[dict[str, Command]], own_server: object) -> None:
    set_layout(*layouts.split(), *SWITCH)
    with listening() as heard:
        for _ in range(2):
            for expected in of_each:
                assert answers(heard, LETTERS) == expected
                press("menu")


def test_a_key_is_what_its_name_says_when_the_layout_changes_for_it_alone(own_server: object) -> None:
    # xdotool finds the first key that types p in any layout, and switches to that layout for this press alone.
    set_layout("us,us", "-variant", ",dvorak", *SWITCH)
    with listening() as heard:
        for _ in range(2):
            xdotool(os.environ, "key", "ctrl+alt+p", "key", "F9")
            heard.until(PAUSE, PROOF)
            press("menu")


def test_the_first_row_of_a_french_keyboard_has_the_digits(own_server: object) -> None:
    # They need Shift there, but a hotkey says which other keys are held.
    set_layout("fr")
    with listening({"<ctrl>+<alt>+1": RECORD, "<f9>": PROOF}) as heard:
        assert answers(heard, "1234") == {"1": RECORD}


@pytest.mark.parametrize(("layout", "said"), [("ru", True), ("gr", True), ("us,ru", False), ("fr", False)])
def test_it_is_said_that_keys_are_taken_by_their_places(layout: str, said: bool, own_server: object) -> None:
    set_layout(layout)
    hotkeys = Hotkeys({"<ctrl>+<alt>+r": RECORD, "<ctrl>+<shift>+m": MARK, "<f9>": PROOF})
    hotkeys.start(Heard())
    detail = "this keyboard types no R, M: Ctrl+Alt+R, Ctrl+Shift+M are where a US keyboard has them"
    try:
        assert hotkeys.notes == (((EventKind.HOTKEYS, detail),) if said else ())
    finally:
        hotkeys.stop()


def test_keys_that_the_keyboard_lacks_are_named(own_server: object) -> None:
    hotkeys = Hotkeys({"<ctrl>+<alt>+r": RECORD, "<ctrl>+ж": MARK})
    hotkeys.start(Heard())
    try:
        [(kind, detail)] = hotkeys.notes
    finally:
        hotkeys.stop()
    assert (kind, detail) == (
        EventKind.HOTKEYS,
        "this keyboard has no Ctrl+Ж: choose other keys with capture config",
    )
    with pytest.raises(NotReadyError, match=r"this keyboard has no Ctrl\+Ж: stop with Ctrl\+C"):
        Hotkeys({"<ctrl>+ж": MARK}).start(Heard())
