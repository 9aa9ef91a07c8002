"""Typing is hidden while something asks for a password, however that becomes known."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from running import eventually
from stage import GREY, Pane, mouse, press

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from Xlib import X
from Xlib.display import Display
from Xlib.error import ConnectionClosedError

from capture.sources.overlays.input_listener import HELD_BACK_S, KeystrokeFilter
from capture.sources.overlays.key_names import Label
from capture.sources.overlays.password_prompts import PasswordPrompts
from capture.sources.overlays.terminals import waits_for_password
from capture.sources.x11.input_record import Button, Key, PressReader

# Keyboard grabs


@pytest.fixture
def presses(in_process_desk: object) -> Iterator[PressReader]:
    opened = PressReader(keys=True)
    yield opened
    opened.close()
    opened.close()


@pytest.fixture
def holder(in_process_desk: object) -> Iterator[Display]:
    """The connection of a program that may grab the keyboard."""
    display = Display()
    yield display
    # Some tests close it.
    with suppress(ConnectionClosedError):
        display.close()


def hear(presses: PressReader, environment: dict[str, str]) -> None:
    """Wait until everything so far has arrived: events come in one order."""
    press(environment, "F12")
    eventually(lambda: any(isinstance(each, Key) for each in presses.read()), "the key")


def test_presses_come_with_their_place(presses: PressReader, desk_environment: dict[str, str]) -> None:
    mouse(desk_environment, "mousemove 300 200 click 1 mousemove 500 301 click 3 click 4 key ctrl+shift+r")
    heard: list[Button | Key] = []

    def have_come() -> bool:
        heard.extend(presses.read())
        return len(heard) >= 5

    eventually(have_come, "all of it")
    assert heard[:2] == [Button(300, 200), Button(500, 301)]
    assert all(isinstance(each, Key) for each in heard[2:])
    assert [each.state for each in heard[2:] if isinstance(each, Key)] == [0, 4, 5]


def grab_core(display: Display) -> None:
    root = display.screen().root
    assert root.grab_keyboard(False, X.GrabModeAsync, X.GrabModeAsync, X.CurrentTime) == X.GrabSuccess


def ungrab_core(display: Display) -> None:
    display.ungrab_keyboard(X.CurrentTime)
    display.sync()


def grab_xinput(display: Display, device: int = 3) -> None:
    display.xinput_query_version()
    root = display.screen().root
    assert root.xinput_grab_device(device, X.CurrentTime, X.GrabModeAsync, X.GrabModeAsync, False, 0).status == 0


def ungrab_xinput(display: Display, device: int = 3) -> None:
    display.xinput_ungrab_device(device, X.CurrentTime)
    display.sync()


@pytest.mark.parametrize(
    ("take", "give_back"),
    [(grab_core, ungrab_core), (grab_xinput, ungrab_xinput), (grab_core, Display.close), (grab_xinput, Display.close)],
)
def test_a_program_that_grabs_the_keyboard_is_noticed(
    take: Callable[[Display], None],
    give_back: Callable[[Display], None],
    presses: PressReader,
    holder: Display,
    desk_environment: dict[str, str],
) -> None:
    hear(presses, desk_environment)
    assert not presses.keyboard_is_held
    take(holder)
    hear(presses, desk_environment)
    assert presses.keyboard_is_held
    give_back(holder)
    hear(presses, desk_environment)
    assert not presses.keyboard_is_held


def test_refused_grabs_and_mouse_grabs_do_not_count(
    presses: PressReader, holder: Display, desk_environment: dict[str, str]
) -> None:
    grab_xinput(holder, device=2)
    hear(presses, desk_environment)
    assert not presses.keyboard_is_held
    ungrab_xinput(holder, device=2)
    grab_core(holder)
    second = Display()
    refused = second.screen().root.grab_keyboard(False, X.GrabModeAsync, X.GrabModeAsync, X.CurrentTime)
    assert refused == X.AlreadyGrabbed
    ungrab_core(holder)
    hear(presses, desk_environment)
    second.close()
    assert not presses.keyboard_is_held


# Windows and terminals


@pytest.fixture
def prompts(presses: PressReader) -> Iterator[PasswordPrompts]:
    opened = PasswordPrompts(presses.display, presses)
    yield opened
    opened.close()
    opened.close()


@pytest.mark.parametrize("framed", [False, True])
def test_typing_into_a_password_program_is_hidden(
    framed: bool, prompts: PasswordPrompts, desk_environment: dict[str, str]
) -> None:
    with (
        Pane(desk_environment, "Editor", (0, 0, 99, 99), GREY, program="editor") as editor,
        Pane(desk_environment, "Key", (200, 0, 99, 99), GREY, program="pinentry-gtk-2", framed=framed) as prompt,
    ):
        editor.take_focus()
        assert not prompts.hides_typing()
        prompt.take_focus()
        assert prompts.hides_typing()
        editor.take_focus()
        assert not prompts.hides_typing()


def test_without_a_window_manager_the_window_under_the_pointer_has_the_focus(
    prompts: PasswordPrompts, presses: PressReader, desk_environment: dict[str, str]
) -> None:
    with Pane(desk_environment, "Key", (200, 0, 99, 99), GREY, program="ssh-askpass", framed=True):
        presses.display.set_input_focus(X.PointerRoot, X.RevertToPointerRoot, X.CurrentTime)
        mouse(desk_environment, "mousemove 250 50")
        assert prompts.hides_typing()
        mouse(desk_environment, "mousemove 700 500")
        assert not prompts.hides_typing()


@contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal with a command in it, as in a terminal window: this end of it, and the command's pid."""
    here, there = pty.openpty()
    command = subprocess.Popen(
        ["sleep", "1000"], stdin=there, stdout=there, stderr=there, start_new_session=True, preexec_fn=take_terminal
    )
    os.close(there)
    try:
        yield here, command.pid
    finally:
        command.kill()
        command.wait()
        os.close(here)


def take_terminal() -> None:
    import fcntl

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def set_flags(terminal: int, *, echo: bool, lines: bool) -> None:
    flags = termios.tcgetattr(terminal)
    for flag, wanted in ((termios.ECHO, echo), (termios.ICANON, lines)):
        flags[3] = flags[3] | flag if wanted else flags[3] & ~flag
    termios.tcsetattr(terminal, termios.TCSANOW, flags)


@pytest.mark.parametrize(
    ("echo", "lines", "secret"),
    [(True, True, False), (False, True, True), (False, False, False), (True, False, False)],
    ids=["a command that reads", "sudo", "a shell", "a game"],
)
def test_typing_into_a_terminal_without_echo_is_hidden(
    echo: bool, lines: bool, secret: bool, prompts: PasswordPrompts, desk_environment: dict[str, str]
) -> None:
    # Both the window and the terminal belong to this process.
    with terminal() as (here, pid), Pane(desk_environment, "Shell", (0, 0, 99, 99), GREY, program="xterm") as window:
        window.take_focus()
        set_flags(here, echo=echo, lines=lines)
        assert waits_for_password(os.getpid()) is secret
        assert prompts.hides_typing() is secret
        # None of its children has a terminal.
        assert not waits_for_password(pid)


# Keystroke filter


class Secrets:
    hidden = False

    def hides_typing(self) -> bool:
        return self.hidden


class Typist:
    """Types keys one after the other, and knows which of them were shown."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.secrets = Secrets()
        self.shown = ""
        self._typing = KeystrokeFilter(self.secrets, self._show, lambda: self.now_s)

    def _show(self, label: Label) -> None:
        self.shown += label.text

    def type(self, text: str, *, every_s: float = 0.01) -> None:
        for char in text:
            self._typing.press(Label(char, typed=True))
            self.wait(every_s)

    def wait(self, duration_s: float) -> None:
        self.now_s += duration_s
        self._typing.show_due()

    def forget(self) -> None:
        self._typing.forget()


def test_keys_are_held_back_for_a_moment() -> None:
    typist = Typist()
    typist.type("ab")
    assert typist.shown == ""
    typist.wait(HELD_BACK_S - 0.015)
    assert typist.shown == "a"
    typist.wait(0.02)
    assert typist.shown == "ab"


def test_no_key_of_a_password_is_shown() -> None:
    typist = Typist()
    typist.type("name", every_s=HELD_BACK_S)
    typist.secrets.hidden = True
    typist.type("secret", every_s=HELD_BACK_S)
    typist.secrets.hidden = False
    typist.type("more")
    typist.wait(HELD_BACK_S)
    assert typist.shown == "namemore"


def test_the_report_of_a_password_field_may_come_late() -> None:
    typist = Typist()
    typist.type("se")
    typist.secrets.hidden = True
    typist.type("c")
    typist.secrets.hidden = False
    typist.wait(1.0)
    assert typist.shown == ""
    typist.type("se")
    typist.secrets.hidden = True
    typist.wait(HELD_BACK_S)
    typist.secrets.hidden = False
    typist.wait(1.0)
    assert typist.shown == ""


def test_forgotten_keys_are_never_shown() -> None:
    typist = Typist()
    typist.type("abc")
    typist.forget()
    typist.wait(1.0)
    assert typist.shown == ""
