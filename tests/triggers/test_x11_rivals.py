"""Hotkeys on X11 beside other programs that take keys, and on other servers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from key_presses import FocusedWindow, Heard, until_repeated, xdotool
from running import eventually
from x11_keys import (
    BINDINGS,
    LETTERS,
    MARK,
    PAUSE,
    PLACES,
    PROOF,
    RECORD,
    US,
    answer,
    answers,
    hold,
    let_go,
    listening,
    press,
    server,
    set_layout,
    until_followed,
)

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.errors import NotReadyError
from capture.events import Command, EventKind
from capture.triggers import x11_connection
from capture.triggers.hotkeys import Hotkeys

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
            (EventKind.HOTKEYS, "another program uses Ctrl+Alt+P: choose other keys with capture config"),
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
        "another program uses Ctrl+Alt+R: choose other keys with capture config",
    )


def test_the_second_of_two_recorders_has_no_hotkeys_until_the_first_ends(own_server: object) -> None:
    bindings = {"<ctrl>+<alt>+r": RECORD, "<ctrl>+<alt>+m": MARK}
    with listening({**bindings, "<f9>": PROOF}) as heard:
        with pytest.raises(
            NotReadyError, match=r"another program uses Ctrl\+Alt\+R, Ctrl\+Alt\+M: stop with Ctrl\+C, or"
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
        stopping = threading.Thread(target=hotkeys.stop)
        stopping.start()
        eventually(lambda: not stopping.is_alive(), "the end of the hotkeys")


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
