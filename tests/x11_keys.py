"""Keys pressed on an X server of the test's own, by their places, and the commands that they give."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import pytest
from key_presses import Heard, fake_keys
from running import eventually

from capture.events import Command
from capture.triggers.bindings import DEFAULT_HOTKEYS
from capture.triggers.hotkeys import Hotkeys

__all__ = [
    "BINDINGS",
    "CLIP",
    "DISCARD",
    "LETTERS",
    "MARK",
    "PAUSE",
    "PLACES",
    "PROOF",
    "RECORD",
    "SWITCH",
    "US",
    "answer",
    "answers",
    "hold",
    "let_go",
    "listening",
    "press",
    "server",
    "set_layout",
    "until_followed",
]

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

#: The hotkeys of a US keyboard, and the keys of all letters that are hotkeys in any layout.
US = {"r": RECORD, "p": PAUSE, "x": DISCARD, "c": CLIP, "m": MARK}
LETTERS = "rpxcm;obis"

#: Switches to the next layout with the Menu key.
SWITCH: Final = ("-option", "", "-option", "grp:menu_toggle")


@contextmanager
def server(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """An X server of its own, with this process on it."""
    if sys.platform == "win32":
        raise OSError("there are no X servers on Windows")
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
