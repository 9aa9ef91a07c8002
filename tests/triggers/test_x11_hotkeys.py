"""Hotkeys on X11 are the keys that type their letters, belong to the recorder alone, and give all other keys back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from conftest import PROJECT
from key_presses import FocusedWindow, Heard, fake_keys, until_repeated, xdotool
from running import eventually

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.errors import NotReadyError
from capture.events import Command, EventKind
from capture.system.unix_socket import listen
from capture.triggers import x11_connection
from capture.triggers.bindings import DEFAULT_HOTKEYS
from capture.triggers.hotkeys import Hotkeys

#: Keys of a PC keyboard by what a US keyboard has there.
PLACES: Final = {
    **{char: 24 + at for at, char in enumerate("qwertyuiop")},
    **{char: 38 + at for at, char in enumerate("asdfghjkl;")},
    **{char: 52 + at for at, char in enumerate("zxcvbnm,./")},
    **{char: 10 + at for at, char in enumerate("1234567890-=")},
    **{"ctrl": 37, "alt": 64, "shift": 50, "right_ctrl": 105, "F8": 74, "F9": 75, "space": 65, "menu": 135},
}

#: F9 is in the same place in every layout: it proves that everything pressed before it has been heard.
PROOF: Final = Command.STATUS
BINDINGS: Final[Mapping[str, Command]] = {**DEFAULT_HOTKEYS, "<f9>": PROOF}

RECORD, PAUSE, DISCARD, CLIP, MARK = DEFAULT_HOTKEYS.values()

#: Switches to the next layout with the Menu key.
SWITCH: Final = ("-option", "", "-option", "grp:menu_toggle")

#: A stop may have to wait for a server that hangs, but not longer than this.
STOP_LIMIT_S: Final = 4.0

#: How long a step of a test may take on a busy machine.
LIMIT_S: Final = 30.0


@contextmanager
def server(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """An X server of its own, with this process on it."""
    reading, writing = os.pipe()
    screens = arguments or ("-screen", "0", "320x240x24")
    process = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-nolisten", "tcp", "-noreset", *screens],
        pass_fds=(writing,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as lines:
            monkeypatch.setenv("DISPLAY", f":{lines.readline().strip()}")
        monkeypatch.delenv("XAUTHORITY", raising=False)
        monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()


@pytest.fixture
def own_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """An X server whose keyboard the test may change, with this process on it. It has a US keyboard."""
    with server(monkeypatch) as process:
        yield process


def set_layout(*arguments: str) -> None:
    subprocess.run(["setxkbmap", *arguments], check=True, timeout=30)


@contextmanager
def listening(bindings: Mapping[str, Command] = BINDINGS, held: str | None = None) -> Iterator[Heard]:
    """Hotkeys that listen. None of them is known to be taken."""
    heard = Heard()
    hotkeys = Hotkeys(bindings, held)
    hotkeys.start(heard)
    try:
        assert not [detail for kind, detail in hotkeys.notes if "another program" in detail]
        yield heard
    finally:
        hotkeys.stop()


def hold(*keys: str) -> None:
    """Press keys by their places and keep them down."""
    fake_keys(*(PLACES[key] for key in keys))


def let_go(*keys: str) -> None:
    """Release keys by their places."""
    fake_keys(*(-PLACES[key] for key in keys))


def press(*keys: str) -> None:
    """Press keys by their places, one after the other, and release them in the opposite order."""
    fake_keys(*(PLACES[key] for key in keys), *(-PLACES[key] for key in reversed(keys)))


def answer(heard: Heard, *keys: str) -> list[Command]:
    """Return the commands that pressing these keys together gives."""
    press(*keys)
    press("F9")
    eventually(lambda: PROOF in heard.commands, f"F9 after {keys}")
    commands = heard.commands[: heard.commands.index(PROOF)]
    heard.commands.clear()
    return commands


def answers(heard: Heard, letters: str) -> dict[str, Command]:
    """Return the command of each of these keys with Ctrl and Alt, without those that have none."""
    given = {letter: answer(heard, "ctrl", "alt", letter) for letter in letters}
    assert all(len(commands) <= 1 for commands in given.values())
    return {letter: commands[0] for letter, commands in given.items() if commands}


def until_followed(heard: Heard, letter: str, command: Command) -> None:
    """Wait until the hotkeys have followed a change of the layout: the key in this place gives this command."""
    eventually(lambda: answer(heard, "ctrl", "alt", letter) == [command], f"{letter} to be {command}")


# Layouts. The keys are those of all letters that are hotkeys in any of them.

US = {"r": RECORD, "p": PAUSE, "x": DISCARD, "c": CLIP, "m": MARK}
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
LETTERS = "rpxcm;obis"


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


# Other programs


def test_keys_of_another_program_are_named_and_the_others_work(own_server: object) -> None:
    from Xlib import X
    from Xlib.display import Display

    other = Display()
    root = other.screen().root
    # Most programs forget Num Lock; the key is theirs all the same.
    root.grab_key(PLACES["p"], X.ControlMask | X.Mod1Mask, False, X.GrabModeAsync, X.GrabModeAsync)
    other.sync()
    heard = Heard()
    hotkeys = Hotkeys(BINDINGS)
    hotkeys.start(heard)
    try:
        assert hotkeys.notes == (
            (EventKind.HOTKEYS, "another program has Ctrl+Alt+P: choose other keys with capture config"),
        )
        assert answers(heard, LETTERS) == {key: command for key, command in US.items() if command is not PAUSE}
        while (event := other.next_event()).type != X.KeyPress:
            pass
        assert event.detail == PLACES["p"]
        xdotool(os.environ, "key", "Num_Lock")
        assert answer(heard, "ctrl", "alt", "p") == []
        xdotool(os.environ, "key", "Num_Lock")
    finally:
        hotkeys.stop()
        other.close()


def test_without_a_key_that_ends_a_recording_there_are_no_hotkeys(own_server: object) -> None:
    with listening({"<ctrl>+<alt>+r": RECORD}):
        hotkeys = Hotkeys(BINDINGS)
        hotkeys.start(Heard())
        try:
            [(kind, detail)] = hotkeys.notes
        finally:
            hotkeys.stop()
    assert (kind, detail) == (
        EventKind.NO_HOTKEYS,
        "another program has Ctrl+Alt+R: choose other keys with capture config",
    )


def test_the_second_of_two_recorders_has_no_hotkeys_until_the_first_ends(own_server: object) -> None:
    bindings = {"<ctrl>+<alt>+r": RECORD, "<ctrl>+<alt>+m": MARK}
    with listening({**bindings, "<f9>": PROOF}) as heard:
        with pytest.raises(
            NotReadyError, match=r"another program has Ctrl\+Alt\+R, Ctrl\+Alt\+M: stop with Ctrl\+C, or"
        ):
            Hotkeys(bindings).start(Heard())
        assert answers(heard, "rm") == {"r": RECORD, "m": MARK}
    with listening({**bindings, "<f9>": PROOF}) as heard:
        assert answers(heard, "rm") == {"r": RECORD, "m": MARK}


# Other servers


def test_hotkeys_work_on_every_screen_of_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    screens = ("-screen", "0", "320x240x24", "-screen", "1", "320x240x24")
    with server(monkeypatch, *screens), listening() as heard:
        for screen in (0, 1):
            with FocusedWindow(screen) as window:
                assert answers(heard, LETTERS) == US
                press("z")
                assert PLACES["r"] not in map(abs, window.until(PLACES["z"]))


def test_hotkeys_work_on_a_server_without_xkb(monkeypatch: pytest.MonkeyPatch) -> None:
    with server(monkeypatch):
        monkeypatch.setattr(x11_connection, "_XKB", "NO-XKEYBOARD")
        with listening(held="<f8>") as heard:
            assert answers(heard, LETTERS) == US
            hold("F8")
            heard.until(Command.START)
            until_repeated(PLACES["F8"])
            let_go("F8")
            heard.until(Command.STOP)
            set_layout("us", "-variant", "dvorak")
            until_followed(heard, "r", PAUSE)
            set_layout("ru,us")
            until_followed(heard, "r", RECORD)


@contextmanager
def started(monkeypatch: pytest.MonkeyPatch, held: bool) -> Iterator[tuple[subprocess.Popen[bytes], Hotkeys]]:
    """A server of the test's own with hotkeys on it; with `held`, the hold key is down."""
    with server(monkeypatch) as process:
        heard = Heard()
        hotkeys = Hotkeys(BINDINGS, "<f8>")
        hotkeys.start(heard)
        if held:
            hold("F8", "z")
            heard.until(Command.START)
        yield process, hotkeys


@pytest.mark.parametrize("held", [False, True])
def test_the_end_of_the_server_ends_the_hotkeys_and_nothing_else(held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(monkeypatch, held) as (process, hotkeys):
        process.kill()
        process.wait()
        hotkeys.stop()
        hotkeys.stop()


@pytest.mark.parametrize("held", [False, True])
def test_a_server_that_hangs_does_not_delay_the_end(held: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(monkeypatch, held) as (process, hotkeys):
        process.send_signal(signal.SIGSTOP)
        began_s = time.monotonic()
        hotkeys.stop()
        assert time.monotonic() - began_s < STOP_LIMIT_S


# python-xlib does not close the sockets that found no server.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_without_a_display_hotkeys_do_not_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    for display in (None, ":4711", "nonsense"):
        if display is None:
            monkeypatch.delenv("DISPLAY", raising=False)
        else:
            monkeypatch.setenv("DISPLAY", display)
        with pytest.raises(NotReadyError, match=r"hotkeys do not work here: stop with Ctrl\+C"):
            Hotkeys().start(Heard())
