"""Typing is hidden while something asks for a password, however that becomes known."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from running import eventually
from stage import GREY, Pane, mouse, press

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from jeepney import DBusAddress, HeaderFields, MessageType, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection
from Xlib import X
from Xlib.display import Display
from Xlib.error import ConnectionClosedError

from capture.sources.overlays.input_listener import HELD_BACK_S, KeystrokeFilter
from capture.sources.overlays.key_names import Label
from capture.sources.overlays.password_fields import PASSWORD_TEXT, PasswordFields
from capture.sources.overlays.password_prompts import PasswordPrompts
from capture.sources.overlays.terminals import waits_for_password
from capture.sources.x11.input_record import Button, Key, PressReader

#: AT-SPI's number of an ordinary field.
TEXT: Final = 61


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


# Password fields


_END = "org.test.End"


class Program:
    """A program on an accessibility bus, and the registry where listeners request events."""

    def __init__(self, address: str, *, answers: bool = True) -> None:
        self.registered: list[str] = []
        self._answers = answers
        self.roles: dict[str, int] = {}
        self._connection: DBusConnection = open_dbus_connection(address)
        for name in ("org.a11y.atspi.Registry", "org.a11y.Bus"):
            with suppress(Exception):
                Proxy(message_bus, self._connection).RequestName(name)
        # Before anything else, or a program that ends at once would not hear its own message.
        Proxy(message_bus, self._connection).AddMatch(f"type='signal',interface='{_END}'")
        self._address = address
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        # A message to itself ends its wait.
        self.emit(_END, "End", "/", ("", 0, 0))
        self._thread.join()
        with suppress(OSError):
            self._connection.close()

    def focus(self, path: str, *, gained: bool = True) -> None:
        self.emit("org.a11y.atspi.Event.Object", "StateChanged", path, ("focused", int(gained), 0))

    def window(self, what: str, path: str = "/window") -> None:
        self.emit("org.a11y.atspi.Event.Window", what, path, ("", 0, 0))

    def emit(self, interface: str, member: str, path: str, body: tuple[str, int, int]) -> None:
        emitter = DBusAddress(path, interface=interface)
        self._connection.send(new_signal(emitter, member, "siiv(so)", (*body, ("i", 0), (":0.0", "/"))))

    def _serve(self) -> None:
        while True:
            message = self._connection.receive()
            fields = message.header.fields
            if message.header.message_type is MessageType.method_call:
                self._answer(message, fields)
            elif fields.get(HeaderFields.interface) == _END:
                return

    def _answer(self, message: Any, fields: dict[HeaderFields, Any]) -> None:
        match fields[HeaderFields.member]:
            case "RegisterEvent":
                self.registered.append(message.body[0])
                self._connection.send(new_method_return(message))
            case "GetAddress":
                self._connection.send(new_method_return(message, "s", (self._address,)))
            case "GetRole" if self._answers:
                self._connection.send(new_method_return(message, "u", (self.roles[fields[HeaderFields.path]],)))


@pytest.fixture
def bus(tmp_path: Path, desk_environment: dict[str, str]) -> Iterator[str]:
    """The address of a bus that serves as both the session bus and the accessibility bus."""
    daemon = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address=1", f"--address=unix:dir={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=desk_environment,
    )
    assert daemon.stdout is not None
    with daemon.stdout:
        yield daemon.stdout.readline().strip()
        daemon.terminate()
        daemon.wait()


@contextmanager
def program(address: str, **options: Any) -> Iterator[Program]:
    opened = Program(address, **options)
    opened.roles = {"/password": PASSWORD_TEXT, "/name": TEXT}
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def following(address: str | None) -> Iterator[PasswordFields]:
    fields = PasswordFields(address)
    try:
        yield fields
    finally:
        fields.close()
        fields.close()


def test_a_password_field_is_noticed_while_it_has_the_focus(bus: str) -> None:
    with program(bus) as dialog, following(bus) as fields:
        assert "object:state-changed:focused" in dialog.registered
        assert not fields.focused
        for _ in range(3):
            dialog.focus("/password")
            eventually(lambda: fields.focused, "the password field")
            dialog.focus("/name")
            eventually(lambda: not fields.focused, "the other one")
        dialog.focus("/password")
        eventually(lambda: fields.focused, "the password field")
        dialog.focus("/password", gained=False)
        eventually(lambda: not fields.focused, "that it has left")


def test_events_of_other_windows_do_not_count(bus: str) -> None:
    with program(bus) as dialog, program(bus) as other, following(bus) as fields:
        dialog.window("Activate")
        dialog.focus("/password")
        eventually(lambda: fields.focused, "the password field")
        # A tooltip closes, and a window of another program.
        dialog.window("Destroy", "/tooltip")
        other.window("Deactivate")
        dialog.window("Deactivate")
        eventually(lambda: not fields.focused, "another window")
        dialog.window("Activate")
        eventually(lambda: fields.focused, "the window with the password field again")
        other.focus("/name")
        eventually(lambda: not fields.focused, "the other program")


def test_typing_is_hidden_until_the_role_is_known(bus: str) -> None:
    with program(bus), program(bus, answers=False) as silent, following(bus) as fields:
        silent.focus("/name")
        eventually(lambda: fields.focused, "the doubt")
        silent.focus("/name", gained=False)
        eventually(lambda: not fields.focused, "its end")


def test_a_program_that_ends_leaves_no_field_behind(bus: str) -> None:
    with program(bus), following(bus) as fields:
        with program(bus) as dialog:
            dialog.focus("/password")
            eventually(lambda: fields.focused, "the password field")
        eventually(lambda: not fields.focused, "the end of its program")


def test_the_session_bus_knows_the_accessibility_bus(bus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
    with program(bus) as dialog, following(None) as fields:
        dialog.focus("/password")
        eventually(lambda: fields.focused, "the password field")


@pytest.mark.parametrize("address", [None, "", "disabled:", "unix:path=/nonexistent/bus", "nonsense", "unix:x"])
def test_a_missing_accessibility_bus_is_an_error(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if address is None:
        monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    else:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    with pytest.raises(OSError, match="no accessibility bus"):
        PasswordFields(None)


def test_the_accessibility_bus_is_never_started(bus: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
    with pytest.raises(OSError, match=r"no accessibility bus.*GetAddress"):
        PasswordFields(None)


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
