"""Password fields are known by what programs report to screen readers, whatever else is on that bus."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest
from running import eventually
from stage import Stage, press
from viewing import Viewer

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from jeepney import DBusAddress, HeaderFields, MessageType, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection

from capture.media import Rectangle
from capture.sources.overlays.overlays import Overlays
from capture.sources.overlays.password_fields import PASSWORD_TEXT, PasswordFields

SCREEN: Final = Rectangle(0, 0, 1280, 720)

#: AT-SPI's number of an ordinary field.
TEXT: Final = 61

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

    def emit_nonsense(self) -> None:
        """Send signals with another content than AT-SPI specifies, or none."""
        focus = DBusAddress("/odd", interface="org.a11y.atspi.Event.Object")
        window = DBusAddress("/odd", interface="org.a11y.atspi.Event.Window")
        self._connection.send(new_signal(focus, "StateChanged", "s", ("focused",)))
        self._connection.send(new_signal(window, "Activate"))

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
            case "GetRole" if fields[HeaderFields.path] == "/odd":
                self._connection.send(new_method_return(message))
            case "GetRole" if self._answers:
                self._connection.send(new_method_return(message, "u", (self.roles[fields[HeaderFields.path]],)))


@pytest.fixture
def bus(tmp_path: Path, desk_environment: dict[str, str]) -> Iterator[str]:
    """The address of a bus that serves as both the session bus and the accessibility bus."""
    with session_bus(f"dir={tmp_path}", desk_environment) as address:
        yield address


@contextmanager
def session_bus(where: str, environment: dict[str, str]) -> Iterator[str]:
    daemon = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address=1", f"--address=unix:{where}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
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


def test_the_session_bus_is_found_where_its_address_is_not_given(
    tmp_path: Path, desk_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with (
        session_bus(f"path={tmp_path}/bus", desk_environment) as bus,
        program(bus) as dialog,
        following(None) as fields,
    ):
        dialog.focus("/password")
        eventually(lambda: fields.focused, "the password field")


def test_what_is_no_report_of_a_focus_does_not_end_the_watch(bus: str) -> None:
    with program(bus) as dialog, program(bus) as odd, following(bus) as fields:
        odd.emit_nonsense()
        # The answer to the question for its role is empty.
        odd.focus("/odd")
        dialog.focus("/password")
        eventually(lambda: fields.focused, "the password field")
        dialog.focus("/name")
        eventually(lambda: not fields.focused, "the other one")
        assert not fields.is_lost


def test_a_bus_that_ends_is_noticed(tmp_path: Path, desk_environment: dict[str, str]) -> None:
    with ExitStack() as opened:
        with session_bus(f"dir={tmp_path}", desk_environment) as bus, program(bus):
            fields = opened.enter_context(following(bus))
            assert not fields.is_lost
        eventually(lambda: fields.is_lost, "the end of the bus")


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


def test_a_recording_says_that_fields_are_no_longer_reported(
    stage: Stage, tmp_path: Path, desk_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[str] = []
    overlays = Overlays(keys=True, report=lambda kind, detail: reported.append(detail))
    with ExitStack() as opened:
        with session_bus(f"dir={tmp_path}", desk_environment) as bus, program(bus):
            monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", bus)
            opened.enter_context(Viewer(SCREEN, overlays=overlays)).source.wait_for_change(0.0)
            assert reported == ["the recording shows the keys you press"]

        def is_reported_after_a_key() -> bool:
            press(desk_environment, "a")
            return len(reported) > 1

        eventually(is_reported_after_a_key, "the report")
        assert reported[1] == "programs no longer report password fields, so only known password prompts are hidden"
