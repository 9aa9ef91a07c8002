"""Notifications reach the desktop unchanged and in order, and never block or break the program that announces them."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from running import eventually

from capture.desktop import notify
from capture.desktop.notify import Notifier, _by_gdbus, _by_osascript

if sys.platform == "win32":
    pytest.skip("no notifications on Windows", allow_module_level=True)

ODD = '-n <b>It\'s</b> "saved" & $HOME `id` \\n %s ; é'

#: How long a hundred announcements may take, even on the busiest machine: less than showing one may take.
ASKING_LIMIT_S = 0.5


#: Follows the last argument in the log.
END = "\x1e"


class Desk:
    """A desktop whose programs are scripts that log their arguments, each followed by NUL.

    `END`, which no notification contains, follows the last argument.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "log"
        self.environment = {
            "PATH": f"{folder}:{os.environ['PATH']}",
            "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
        }

    def install(self, name: str, after: str = "") -> None:
        """Install a program that logs its arguments in a single write and then runs `after`."""
        script = self.folder / name
        script.write_text(f"#!/bin/sh\nprintf '%s\\0' {name} \"$@\" '{END}' >>{self.log}\n{after}\n")
        script.chmod(0o755)

    @property
    def shown(self) -> list[list[str]]:
        """The command lines logged so far."""
        if not self.log.exists():
            return []
        return [line.split("\0") for line in self.log.read_text().split(f"\0{END}\0")[:-1]]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The desktop of Linux with `notify-send`."""
    monkeypatch.setattr(sys, "platform", "linux")
    made = Desk(tmp_path)
    made.install("notify-send")
    return made


@pytest.fixture
def notifier_on() -> Iterator[Callable[[Desk], Notifier]]:
    """Makes notifiers and closes them after the test."""
    made: list[Notifier] = []

    def make(desk: Desk) -> Notifier:
        made.append(Notifier(desk.environment))
        return made[-1]

    yield make
    for notifier in made:
        notifier.close()


def shown_by(desk: Desk, title: str, body: str = "") -> list[list[str]]:
    """Show one notification and return the command lines of the desktop's programs."""
    notifier = Notifier(desk.environment)
    notifier.announce(title, body)
    notifier.close()
    return desk.shown


# Texts


def test_texts_arrive_unchanged(desk: Desk) -> None:
    # The body is markup, and notify-send interprets its backslashes.
    body = ODD.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\\", "\\\\")
    assert shown_by(desk, ODD, ODD) == [["notify-send", "--app-name=Capture", "--", ODD, body]]


def test_a_title_needs_no_body(desk: Desk) -> None:
    assert shown_by(desk, "Recording") == [["notify-send", "--app-name=Capture", "--", "Recording", ""]]


def test_control_codes_and_surrogates_are_replaced(desk: Desk) -> None:
    ((*_, title, body),) = shown_by(desk, "a\0b\x1b[2J", "not-\udcff-utf-8\n2")
    assert (title, body) == ("a?b?[2J", "not-?-utf-8\n2")


def test_long_texts_are_cut(desk: Desk) -> None:
    ((*_, title, body),) = shown_by(desk, "a" * 10**6, "b" * 500)
    assert title == "a" * 499 + "…"
    assert body == "b" * 500


def test_notifications_are_shown_in_order(desk: Desk, notifier_on: Callable[[Desk], Notifier]) -> None:
    notifier = notifier_on(desk)
    for number in range(5):
        notifier.announce(str(number))
    eventually(lambda: len(desk.shown) == 5, "five notifications")
    assert [line[3] for line in desk.shown] == ["0", "1", "2", "3", "4"]


# Programs


def test_gdbus_is_used_without_notify_send(desk: Desk) -> None:
    (desk.folder / "notify-send").unlink()
    desk.install("gdbus")
    desk.environment["PATH"] = str(desk.folder)
    (line,) = shown_by(desk, "It's\\", "a\n'b'")
    assert line == list(_by_gdbus("It's\\", "a\n'b'"))
    assert line[:2] == ["gdbus", "call"]
    assert line[line.index("--method") + 1 :] == [
        *("org.freedesktop.Notifications.Notify", "'Capture'", "uint32 0", "''", r"'It\'s\\'", r"'a\n\'b\''"),
        *("@as []", "@a{sv} {}", "int32 10000"),
    ]


def test_osascript_gets_the_texts_as_arguments(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    desk.install("osascript")
    del desk.environment["DBUS_SESSION_BUS_ADDRESS"]
    (line,) = shown_by(desk, ODD, ODD)
    assert line == list(_by_osascript(ODD, ODD))
    assert line[-3:] == ["--", ODD, ODD]
    script = line[1:-3]
    assert script[::2] == ["-e"] * 3
    assert "display notification (item 2 of texts) with title (item 1 of texts)" in script


def test_the_bus_is_found_in_the_runtime_folder(desk: Desk, tmp_path: Path) -> None:
    del desk.environment["DBUS_SESSION_BUS_ADDRESS"]
    desk.environment["XDG_RUNTIME_DIR"] = str(tmp_path)
    desk.install("notify-send", f'printf %s "$DBUS_SESSION_BUS_ADDRESS" >{tmp_path}/address')
    (tmp_path / "bus").touch()
    assert shown_by(desk, "no socket") == []
    (tmp_path / "bus").unlink()
    with socket.socket(socket.AF_UNIX) as bus:
        bus.bind(str(tmp_path / "bus"))
        assert len(shown_by(desk, "a socket")) == 1
    # Without the address, the program would start its own bus.
    assert (tmp_path / "address").read_text() == f"unix:path={tmp_path}/bus"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("unix:path=/a;unix:path=/b", "unix:path=/a;unix:path=/b"),
        ("unix:path=/a;autolaunch:", "unix:path=/a"),
        ("autolaunch:", None),
        ("autolaunch:scope=*user", None),
        ("disabled:", None),
        ("", None),
    ],
)
def test_no_bus_is_ever_started(given: str, used: str | None, desk: Desk, tmp_path: Path) -> None:
    desk.environment["DBUS_SESSION_BUS_ADDRESS"] = given
    desk.install("notify-send", f'printf %s "$DBUS_SESSION_BUS_ADDRESS" >{tmp_path}/address')
    assert len(shown_by(desk, "title")) == (used is not None)
    if used is not None:
        assert (tmp_path / "address").read_text() == used


# No notifications


def test_without_a_way_to_notify_nothing_happens(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()

    def is_silent() -> bool:
        notifier = Notifier(desk.environment)
        notifier.announce("title", "body")
        started = threading.active_count() > before
        notifier.close()
        return not (notifier.available or started or desk.shown)

    monkeypatch.setattr(sys, "platform", "win32")
    assert is_silent()
    monkeypatch.setattr(sys, "platform", "darwin")
    desk.environment["PATH"] = "/nonexistent"
    assert is_silent()
    monkeypatch.setattr(sys, "platform", "linux")
    assert is_silent()
    desk.environment = {"PATH": str(desk.folder)}
    assert is_silent()
    desk.environment["XDG_RUNTIME_DIR"] = "/nonexistent"
    assert is_silent()


def test_an_inaccessible_runtime_folder_is_harmless(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_socket", closed)
    assert not Notifier({"PATH": str(desk.folder), "XDG_RUNTIME_DIR": "/run/user/0"}).available


@pytest.mark.parametrize("broken", ["missing", "not a program", "fails", "killed"])
def test_a_program_that_fails_is_harmless(broken: str, desk: Desk, notifier_on: Callable[[Desk], Notifier]) -> None:
    desk.install("notify-send", {"fails": "exit 1", "killed": "kill -9 $$"}.get(broken, ""))
    notifier = notifier_on(desk)
    assert notifier.available
    program = desk.folder / "notify-send"
    if broken == "missing":
        program.unlink()
    elif broken == "not a program":
        program.write_bytes(b"\0\0\0\0")
    notifier.announce("first")
    notifier.announce("second")
    if broken in ("fails", "killed"):
        eventually(lambda: len(desk.shown) == 2, "both")
    notifier.close()


# Never waiting


def test_a_desktop_that_hangs_blocks_neither_announce_nor_close(
    desk: Desk, notifier_on: Callable[[Desk], Notifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "_SHOW_LIMIT_S", 1.0)
    monkeypatch.setattr(notify, "_CLOSE_LIMIT_S", 0.1)
    desk.install("notify-send", f"echo $$ >{desk.folder}/pid; exec sleep 60")
    notifier = notifier_on(desk)
    begun_s = time.monotonic()
    # More than may wait: the rest is dropped.
    for number in range(100):
        notifier.announce(str(number))
    assert time.monotonic() < begun_s + ASKING_LIMIT_S
    eventually((desk.folder / "pid").exists, "the first")
    begun_s = time.monotonic()
    notifier.close()
    assert time.monotonic() < begun_s + ASKING_LIMIT_S
    # The program that hangs is killed, and the queued notifications follow.
    eventually(lambda: len(desk.shown) >= 2, "the second")
    desk.install("notify-send")


def test_close_shows_the_queued_notifications(desk: Desk) -> None:
    notifier = Notifier(desk.environment)
    for number in range(3):
        notifier.announce(str(number))
    notifier.close()
    assert len(desk.shown) == 3
    notifier.close()
    notifier.announce("too late")
    assert len(desk.shown) == 3


def test_an_unused_notifier_starts_no_thread(desk: Desk) -> None:
    before = threading.active_count()
    notifier = Notifier(desk.environment)
    assert notifier.available
    assert threading.active_count() == before
    notifier.close()
    notifier.announce("too late")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux")
def test_ctrl_c_in_the_terminal_does_not_reach_the_program(desk: Desk) -> None:
    desk.install("notify-send", f"cat /proc/$$/stat >{desk.folder}/stat; echo $$ >{desk.folder}/pid")
    shown_by(desk, "saved")
    session = (desk.folder / "stat").read_text().split()[5]
    assert session == (desk.folder / "pid").read_text().strip() != str(os.getsid(0))


def test_the_notifier_keeps_the_environment_it_started_with(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in desk.environment.items():
        monkeypatch.setenv(name, value)
    notifier = Notifier()
    # As a recording on a virtual desk does.
    for name in desk.environment:
        monkeypatch.setenv(name, "")
    notifier.announce("title")
    notifier.close()
    assert len(desk.shown) == 1
