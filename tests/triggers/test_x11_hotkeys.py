"""Hotkeys on X11 belong to the recorder alone, and give all other keys back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from typing import Final

import pytest
from conftest import PROJECT
from key_presses import FocusedWindow, fake_keys, until_repeated, xdotool
from x11_keys import (
    CLIP,
    MARK,
    PAUSE,
    PLACES,
    RECORD,
    SWITCH,
    answer,
    hold,
    let_go,
    listening,
    press,
    set_layout,
    until_followed,
)

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.events import Command
from capture.triggers import x11_connection

#: How long a step of a test may take on a busy machine.
LIMIT_S: Final = 30.0

# Modifiers and locks


def test_locks_do_not_matter(own_server: object) -> None:
    locks = ("Caps_Lock", "Num_Lock", "Scroll_Lock")
    with listening() as heard:
        # Scroll Lock becomes a modifier while the hotkeys listen.
        subprocess.run(["xmodmap", "-e", "add mod3 = Scroll_Lock"], check=True, timeout=30)
        xdotool(os.environ, "key", "Scroll_Lock")
        assert locked() != 0
        until_followed(heard, "r", RECORD)
        xdotool(os.environ, "key", "Scroll_Lock")
        for lock in (*locks, *locks):
            # Each of them alone, then all of them.
            xdotool(os.environ, "key", lock)
            assert answer(heard, "ctrl", "alt", "r") == [RECORD]
            assert answer(heard, "ctrl", "alt", "shift", "r") == []
    assert locked() == 0


def locked() -> int:
    """Return the locks in X11's state."""
    from Xlib.display import Display

    display = Display()
    try:
        mask: int = display.screen().root.query_pointer().mask
        return mask
    finally:
        display.close()


# The program that has the focus


def test_the_focused_program_gets_no_hotkey(own_server: object) -> None:
    ctrl, alt, r, z = (PLACES[key] for key in ("ctrl", "alt", "r", "z"))
    with FocusedWindow() as window, listening() as heard:
        press("ctrl", "alt", "r")
        press("ctrl", "r")
        press("r")
        press("z")
        assert window.until(z) == [ctrl, alt, -alt, -ctrl, ctrl, r, -r, -ctrl, r, -r, z, -z]
        heard.until(RECORD)


def test_a_key_right_after_a_hotkey_reaches_the_focused_program(
    own_server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hotkey is up before the recorder takes the keyboard, and the next key comes before it lets go again."""
    is_up = threading.Event()
    take = x11_connection.Connection.take

    def slow_take(self: x11_connection.Connection, event: x11_connection.KeyPress) -> bool:
        assert is_up.wait(LIMIT_S)
        taken = take(self, event)
        hold("ctrl")
        return taken

    ctrl, alt, z = (PLACES[key] for key in ("ctrl", "alt", "z"))
    with FocusedWindow() as window, listening() as heard:
        monkeypatch.setattr(x11_connection.Connection, "take", slow_take)
        press("ctrl", "alt", "r")
        is_up.set()
        heard.until(RECORD)
        let_go("ctrl")
        press("z")
        assert window.until(z) == [ctrl, alt, -alt, -ctrl, ctrl, -ctrl, z, -z]


def test_a_repeating_hotkey_fires_once_and_stays_with_the_recorder(own_server: object) -> None:
    r, z = PLACES["r"], PLACES["z"]
    with FocusedWindow() as window, listening() as heard:
        hold("ctrl", "alt", "r")
        until_repeated(r)
        let_go("r", "alt", "ctrl")
        press("z")
        assert r not in map(abs, window.until(z))
        heard.until(RECORD)


def test_a_key_that_is_no_hotkey_in_this_layout_is_given_back(own_server: object) -> None:
    set_layout("us,us", "-variant", ",dvorak", *SWITCH)
    press("menu")
    p, z = PLACES["p"], PLACES["z"]
    with FocusedWindow() as window, listening() as heard:
        # Here it types l.
        assert answer(heard, "ctrl", "alt", "p") == []
        press("z")
        got = window.until(z)
        assert [key for key in got if abs(key) == p] == [p, -p]
        press("menu")
        assert answer(heard, "ctrl", "alt", "p") == [PAUSE]
        press("z")
        assert p not in map(abs, window.until(z))


def test_after_the_end_the_focused_program_gets_the_keys(own_server: object) -> None:
    r, z = PLACES["r"], PLACES["z"]
    with FocusedWindow() as window:
        with listening():
            pass
        press("ctrl", "alt", "r")
        press("z")
        assert r in window.until(z)


def test_what_is_typed_while_a_hotkey_is_down_reaches_the_focused_program(own_server: object) -> None:
    r, z = PLACES["r"], PLACES["z"]
    with FocusedWindow() as window, listening() as heard:
        hold("ctrl", "alt", "r")
        heard.until(RECORD)
        press("z")
        got = window.until(z)
        assert got[-2:] == [z, -z]
        assert r not in got
        press("c")
        heard.until(CLIP)
        let_go("r", "alt", "ctrl")
        assert answer(heard, "ctrl", "alt", "r") == [RECORD]


@pytest.mark.parametrize(("keys", "command"), [(["ctrl", "alt", "r"], RECORD), (["F8"], Command.START)])
def test_a_key_that_was_down_before_a_hotkey_goes_up_in_the_focused_program(
    keys: list[str], command: Command, own_server: object
) -> None:
    # Otherwise a game would go on walking.
    hotkey, w = PLACES[keys[-1]], PLACES["w"]
    with FocusedWindow() as window, listening(held="<f8>") as heard:
        hold("w", *keys)
        heard.until(command)
        let_go("w")
        assert hotkey not in window.until(w)
        # The hotkey is still down, and does not repeat in the other program.
        until_repeated(hotkey)
        let_go(*reversed(keys))
        press("w")
        assert hotkey not in window.until(w)


def test_a_modifier_that_goes_up_before_its_hotkey_goes_up_in_the_focused_program(own_server: object) -> None:
    ctrl, alt, r, z = (PLACES[key] for key in ("ctrl", "alt", "r", "z"))
    with FocusedWindow() as window, listening() as heard:
        hold("ctrl", "alt", "r")
        heard.until(RECORD)
        let_go("ctrl", "alt")
        until_repeated(r)
        let_go("r")
        press("z")
        assert window.until(z) == [ctrl, alt, -ctrl, -alt, z, -z]
        assert heard.commands == []


LISTEN: Final = """
import sys
from capture.triggers.hotkeys import Hotkeys

Hotkeys(hold="<f8>").start(lambda command, given_by, **more: print(command, flush=True))
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(("keys", "command"), [(["ctrl", "alt", "r"], RECORD), (["F8"], Command.START)])
def test_a_recorder_that_is_stopped_does_not_freeze_the_keyboard(
    keys: list[str], command: Command, own_server: object
) -> None:
    hotkey, z = PLACES[keys[-1]], PLACES["z"]
    recorder = subprocess.Popen(
        [sys.executable, "-c", LISTEN], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with recorder, FocusedWindow() as window:
        assert recorder.stdout is not None
        assert recorder.stdout.readline() == "ready\n"
        recorder.send_signal(signal.SIGSTOP)
        # As with Ctrl+Z in its terminal.
        press(*keys)
        press("z")
        assert [key for key in window.until(z) if abs(key) in (hotkey, z)] == [z, -z]
        recorder.send_signal(signal.SIGCONT)
        assert recorder.stdout.readline() == f"{command}\n"


# Hold to record


@pytest.mark.parametrize("key", ["<f8>", "<ctrl>+<alt>+<space>", "<65508>"])
@pytest.mark.parametrize("repeats_have_releases", [False, True])
def test_a_hold_lasts_until_its_key_is_released(
    key: str, repeats_have_releases: bool, own_server: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    if repeats_have_releases:
        monkeypatch.setattr(x11_connection, "_DETECTABLE_AUTO_REPEAT", 0)
    keys = {"<f8>": ["F8"], "<65508>": ["right_ctrl"]}.get(key, ["ctrl", "alt", "space"])
    with listening(held=key) as heard:
        hold(*keys)
        heard.until(Command.START)
        if key != "<65508>":
            # Modifiers do not repeat.
            until_repeated(PLACES[keys[-1]])
        press("z")
        assert heard.commands == []
        let_go(*reversed(keys))
        heard.until(Command.STOP)
        assert answer(heard, "ctrl", "alt", "r") == [RECORD]


@pytest.mark.parametrize("first", ["ctrl", "alt", "space"])
def test_what_is_typed_during_a_hold_reaches_the_focused_program(first: str, own_server: object) -> None:
    z = PLACES["z"]
    keys = ["ctrl", "alt", "space"]
    with FocusedWindow() as window, listening(held="<ctrl>+<alt>+<space>") as heard:
        hold(*keys)
        heard.until(Command.START)
        press("z")
        assert window.until(z)[-2:] == [z, -z]
        # Its release goes to the other program, and is heard all the same.
        let_go(first)
        heard.until(Command.STOP)
        let_go(*(key for key in keys if key != first))
        assert answer(heard, "ctrl", "alt", "r") == [RECORD]


def test_a_release_that_another_program_got_comes_before_the_next_hotkey(own_server: object) -> None:
    z, f8 = PLACES["z"], PLACES["F8"]
    with FocusedWindow() as window, listening(held="<f8>") as heard:
        hold("F8")
        heard.until(Command.START)
        press("z")
        window.until(z)
        # All at once, before the recorder looks at the keys again.
        chord = [PLACES[name] for name in ("ctrl", "alt", "r")]
        fake_keys(-f8, *chord, *(-place for place in reversed(chord)))
        heard.until(Command.STOP, RECORD)


def test_the_pause_key_locks_a_hold_with_other_modifiers(own_server: object) -> None:
    p, z = PLACES["p"], PLACES["z"]
    with FocusedWindow() as window, listening(held="<f8>") as heard:
        # A pause key alone is no hotkey, unless it locks.
        press("p")
        press("z")
        assert p in window.until(z)
        hold("F8")
        heard.until(Command.START)
        press("p")
        let_go("F8")
        press("z")
        assert p not in map(abs, window.until(z))
        press("F8")
        heard.until(Command.STOP)
        press("p")
        press("z")
        assert p in window.until(z)


def test_hotkeys_work_while_another_hotkey_is_down(own_server: object) -> None:
    with listening(held="<f8>") as heard:
        xdotool(os.environ, "keydown", "F8")
        heard.until(Command.START)
        until_repeated(PLACES["F8"])
        for letter, command in (("m", MARK), ("c", CLIP), ("m", MARK)):
            xdotool(os.environ, "key", f"ctrl+alt+{letter}")
            heard.until(command)
        xdotool(os.environ, "keyup", "F8")
        heard.until(Command.STOP)
        xdotool(os.environ, "keydown", "ctrl", "keydown", "alt", "keydown", "r")
        heard.until(RECORD)
        for letter, command in (("c", CLIP), ("m", MARK)):
            xdotool(os.environ, "key", letter)
            heard.until(command)
            xdotool(os.environ, "key", f"ctrl+alt+{letter}", "keydown", "ctrl", "keydown", "alt")
            heard.until(command)
        xdotool(os.environ, "keyup", "r", "keyup", "alt", "keyup", "ctrl")
        assert answer(heard, "ctrl", "alt", "r") == [RECORD]


def test_keys_rolled_over_each_other_fire_each_time(own_server: object) -> None:
    with listening() as heard:
        for _ in range(3):
            hold("ctrl", "alt", "r", "m")
            let_go("r", "m")
            let_go("alt", "ctrl")
            heard.until(RECORD, MARK)
