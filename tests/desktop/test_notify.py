"""Notifications reach the desktop unchanged and in order, and never block or break the program that announces them."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from buses import bus
from notification_server import NotificationServer
from running import LIMIT_S, eventually

from capture.desktop import notices, notify
from capture.desktop.notify import Notifier

if sys.platform == "win32":
    pytest.skip("no notifications on Windows", allow_module_level=True)

ODD = '-n <b>It\'s</b> "saved" & $HOME `id` \\n %s ; é'

#: Longer than a test.
NEVER_S = 600.0


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the session bus of a Linux desktop without services."""
    monkeypatch.setattr(sys, "platform", "linux")
    with bus(tmp_path) as made:
        yield made


@pytest.fixture
def server(address: str) -> Iterator[NotificationServer]:
    with closing(NotificationServer(address, "body", "body-markup")) as made:
        yield made


@pytest.fixture
def notifier_on() -> Iterator[Callable[[str], Notifier]]:
    """Makes notifiers on the bus of an address, and closes them after the test."""
    made: list[Notifier] = []

    def make(address: str) -> Notifier:
        made.append(Notifier({**os.environ, "DBUS_SESSION_BUS_ADDRESS": address}))
        return made[-1]

    yield make
    for notifier in made:
        notifier.close()


def shown_by(server: NotificationServer, address: str, title: str, body: str = "") -> list[tuple[str, str]]:
    """Show one notification; return the title and the body of all that were shown."""
    notifier = Notifier({"DBUS_SESSION_BUS_ADDRESS": address})
    notifier.announce(title, body)
    notifier.close()
    return [(shown.title, shown.body) for shown in server.history]


# Texts


def test_texts_arrive_unchanged(server: NotificationServer, address: str) -> None:
    # The body is markup, the title is not.
    body = ODD.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown_by(server, address, ODD, ODD) == [(ODD, body)]
    server.capabilities = ("body",)
    assert shown_by(server, address, ODD, ODD)[1:] == [(ODD, ODD)]
    assert {shown.program for shown in server.history} == {"Capture"}
    assert all(not shown.buttons for shown in server.history)


def test_control_codes_and_surrogates_are_replaced(server: NotificationServer, address: str) -> None:
    assert shown_by(server, address, "a\0b\x1b[2J", "not-\udcff-utf-8\n2") == [("a?b?[2J", "not-?-utf-8\n2")]


def test_long_texts_are_cut(server: NotificationServer, address: str) -> None:
    assert shown_by(server, address, "a" * 10**6, "b" * 500) == [("a" * 499 + "…", "b" * 500)]


def test_notifications_are_shown_in_order(
    server: NotificationServer, address: str, notifier_on: Callable[[str], Notifier]
) -> None:
    notifier = notifier_on(address)
    for number in range(5):
        notifier.announce(str(number))
    eventually(lambda: len(server.history) == 5, "five notifications")
    assert [shown.title for shown in server.history] == ["0", "1", "2", "3", "4"]


# The way to the desktop


def test_osascript_gets_the_texts_as_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    script = tmp_path / "osascript"
    script.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" >>{tmp_path}/log\ncat /proc/$$/stat >{tmp_path}/stat\n")
    script.chmod(0o755)
    notifier = Notifier({"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    notifier.announce(ODD, ODD)
    notifier.close()
    line = (tmp_path / "log").read_text().split("\0")[:-1]
    assert line[-3:] == ["--", ODD, ODD]
    words = line[:-3]
    assert words[::2] == ["-e"] * 3
    assert "display notification (item 2 of texts) with title (item 1 of texts)" in words
    # The Ctrl+C that ends the recording does not reach it.
    if sys.platform == "linux":
        assert (tmp_path / "stat").read_text().split()[5] != str(os.getsid(0))


def test_the_bus_is_found_in_the_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    environment = {"XDG_RUNTIME_DIR": str(tmp_path)}
    (tmp_path / "bus").touch()
    assert not Notifier(environment).available
    (tmp_path / "bus").unlink()
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "bus"))
        assert Notifier(environment).available


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("unix:path=/a;unix:path=/b", True),
        ("unix:path=/a;autolaunch:", True),
        ("autolaunch:", False),
        ("autolaunch:scope=*user", False),
        ("disabled:", False),
        ("", False),
    ],
)
def test_no_bus_is_ever_started(given: str, used: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert Notifier({"DBUS_SESSION_BUS_ADDRESS": given}).available is used


# No notifications


def test_without_a_way_to_notify_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    before = threading.active_count()

    def is_silent(**environment: str) -> bool:
        notifier = Notifier(environment)
        notifier.announce("title", "body")
        started = threading.active_count() > before
        notifier.close()
        return not (notifier.available or started)

    monkeypatch.setattr(sys, "platform", "win32")
    assert is_silent(DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/1000/bus")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert is_silent(PATH="/nonexistent")
    monkeypatch.setattr(sys, "platform", "linux")
    assert is_silent()
    assert is_silent(XDG_RUNTIME_DIR="/nonexistent")


def test_an_inaccessible_runtime_folder_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_socket", closed)
    monkeypatch.setattr(sys, "platform", "linux")
    assert not Notifier({"XDG_RUNTIME_DIR": "/run/user/0"}).available


def test_a_desktop_that_fails_is_harmless(address: str, notifier_on: Callable[[str], Notifier]) -> None:
    # There is no bus at the first, and no server on the second until later.
    gone, absent = notifier_on("unix:path=/nonexistent"), notifier_on(address)
    for notifier in (gone, absent):
        assert notifier.available
        notifier.announce("first")
    gone.close()
    absent.announce("second")
    eventually(lambda: not absent._waiting.filled(), "both were tried")
    with closing(NotificationServer(address)) as server:
        absent.announce("third")
        eventually(lambda: "third" in [shown.title for shown in server.history], "the third")


# Never waiting


def test_a_desktop_that_hangs_blocks_neither_announce_nor_close(
    address: str, notifier_on: Callable[[str], Notifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "ANSWER_LIMIT_S", NEVER_S)
    monkeypatch.setattr(notify, "_CLOSE_LIMIT_S", 0.1)

    def ask() -> None:
        # More than may wait: the rest is dropped.
        for number in range(100):
            notifier.announce(str(number))
        notifier.close()

    with closing(NotificationServer(address, is_deaf=True)):
        notifier = notifier_on(address)
        asking = threading.Thread(target=ask)
        asking.start()
        eventually(lambda: not asking.is_alive(), "the end of asking, without an answer")


def test_close_shows_the_queued_notifications(
    server: NotificationServer, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However busy the machine is.
    monkeypatch.setattr(notify, "_CLOSE_LIMIT_S", LIMIT_S)
    notifier = Notifier({"DBUS_SESSION_BUS_ADDRESS": address})
    for number in range(3):
        notifier.announce(str(number))
    notifier.close()
    assert len(server.history) == 3
    notifier.close()
    notifier.announce("too late")
    assert len(server.history) == 3


def test_an_unused_notifier_starts_no_thread(address: str) -> None:
    before = threading.active_count()
    notifier = Notifier({"DBUS_SESSION_BUS_ADDRESS": address})
    assert notifier.available
    assert threading.active_count() == before
    notifier.close()
    notifier.announce("too late")


def test_the_notifier_keeps_the_environment_it_started_with(
    server: NotificationServer, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    notifier = Notifier()
    # As a recording on a virtual desk does.
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "")
    notifier.announce("title")
    notifier.close()
    assert len(server.history) == 1
