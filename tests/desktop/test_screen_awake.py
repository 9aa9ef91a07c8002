"""The screensaver waits while a picture is recorded; a screen that is blanked nevertheless is reported."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from buses import Service, bus
from running import LIMIT_S, Recorder, eventually, kinds
from xservers import server

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from jeepney import new_method_return
from Xlib import Xatom
from Xlib.display import Display

from capture.desktop import awake_linux, screen_awake
from capture.desktop.screen_awake import ScreenAwake
from capture.sources.x11.xcb import Connection

SAVER: Final = "org.freedesktop.ScreenSaver"
PORTAL: Final = "org.freedesktop.portal.Desktop"
COOKIE: Final = 4711


class Desktop(Service):
    """A service that answers every call and notes it: its member and its body."""

    def __init__(self, address: str, name: str) -> None:
        self.asked: list[tuple[str, Any]] = []
        self._name = name
        super().__init__(address, name)

    def answer(self, member: str, message: Any) -> Any:
        if member == "GetActive":
            return new_method_return(message, "b", (False,))
        self.asked.append((member, message.body))
        if member != "Inhibit":
            return new_method_return(message)
        if self._name == SAVER:
            return new_method_return(message, "u", (COOKIE,))
        return new_method_return(message, "o", ("/org/freedesktop/portal/desktop/request/1",))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process wait for the desktop's answers, however busy the machine is."""
    monkeypatch.setattr(awake_linux, "ANSWER_LIMIT_S", LIMIT_S)
    monkeypatch.setattr(screen_awake, "CLOSE_LIMIT_S", LIMIT_S)


@pytest.fixture
def session_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a session bus without services. This process has no display."""
    with bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        monkeypatch.delenv("DISPLAY", raising=False)
        yield address


def test_the_desktop_is_asked_once_and_given_back(session_bus: str) -> None:
    awake = ScreenAwake(lambda kind, detail: None)
    with closing(Desktop(session_bus, SAVER)) as desktop, closing(awake):
        # The replay buffer and a recording.
        awake.hold()
        awake.take_began("out.mp4")
        eventually(lambda: desktop.asked, "the request")
        awake.take_ended()
        assert desktop.asked == [("Inhibit", ("Capture", "recording the screen"))]
        awake.release()
        assert desktop.asked[1:] == [("UnInhibit", (COOKIE,))]
        awake.take_began("out.mp4")
        eventually(lambda: len(desktop.asked) == 3, "the next request")


def test_the_portal_is_the_second_way(session_bus: str) -> None:
    awake = ScreenAwake(lambda kind, detail: None)
    with closing(Desktop(session_bus, PORTAL)) as desktop, closing(awake):
        awake.hold()
        eventually(lambda: desktop.asked, "the request")
    assert desktop.asked == [("Inhibit", ("", 8, {"reason": ("s", "recording the screen")}))]


@pytest.mark.parametrize("address", ["unix:path=/nonexistent", "disabled:"])
def test_without_a_desktop_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    monkeypatch.setenv("DISPLAY", ":4242")
    awake = ScreenAwake(lambda kind, detail: None)
    awake.hold()
    awake.close()
    awake.close()


def test_windows_is_asked_and_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    kernel = SimpleNamespace(SetThreadExecutionState=asked.append)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(sys, "platform", "win32")
    awake = ScreenAwake(lambda kind, detail: None)
    with closing(awake):
        awake.hold()
        eventually(lambda: asked, "the request")
    # Continuous, system and display; then continuous alone.
    assert asked == [0x80000003, 0x80000000]


@pytest.mark.parametrize("is_there", [True, False])
def test_macos_is_kept_awake_by_its_program(is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called, program = tmp_path / "called", tmp_path / "caffeinate"
    if is_there:
        program.write_text(
            f'#!/bin/sh\ntrap "echo ended >> {called}; exit" TERM\necho "$@" >> {called}\nread never < {tmp_path}/pipe'
        )
        program.chmod(0o700)
        os.mkfifo(tmp_path / "pipe")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if is_there else str(tmp_path))
    monkeypatch.setattr(sys, "platform", "darwin")
    awake = ScreenAwake(lambda kind, detail: None)
    with closing(awake):
        awake.hold()
        if is_there:
            eventually(lambda: called.exists() and called.read_text().endswith("\n"), "the program")
    wanted = [f"-dim -w {os.getpid()}", "ended"] if is_there else []
    assert (called.read_text().splitlines() if is_there else []) == wanted


def is_blanked() -> bool:
    with closing(Connection()) as connection:
        saver = connection.extension("MIT-SCREEN-SAVER")
        assert saver is not None
        answer = connection.ask(saver.request(1, connection.root.to_bytes(4, sys.byteorder)))
        assert answer is not None
        return answer[1] == 1


def test_the_servers_own_screensaver_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:")
    asked = threading.Event()

    class Watch(awake_linux._ServerWatch):
        """Begins once the server was asked."""

        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            asked.set()

    monkeypatch.setattr(awake_linux, "_ServerWatch", Watch)
    with server(monkeypatch, "320x240x24"):
        kept = os.environ["DISPLAY"]
        awake = ScreenAwake(lambda kind, detail: None)
        with closing(awake), pytest.MonkeyPatch.context() as other, server(other, "320x240x24"):
            awake_too = os.environ["DISPLAY"]
            monkeypatch.setenv("DISPLAY", kept)
            awake.hold()
            eventually(asked.is_set, "the request")
            for display in (kept, awake_too):
                subprocess.run(["xset", "-display", display, "s", "1", "s", "noexpose"], check=True, timeout=30)
            monkeypatch.setenv("DISPLAY", awake_too)
            eventually(is_blanked, "the other server blanks its screen")
            monkeypatch.setenv("DISPLAY", kept)
            assert not is_blanked()
            awake.release()
            eventually(is_blanked, "the server blanks its screen")


def test_a_screen_that_is_blanked_before_anyone_looks_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:")
    monkeypatch.setattr(awake_linux, "LOOK_EVERY_S", 0.01)
    reported: list[str] = []
    awake = ScreenAwake(lambda kind, detail: reported.append(kind.value))
    with server(monkeypatch, "320x240x24"), closing(awake):
        subprocess.run(["xset", "s", "activate"], check=True, timeout=30)
        awake.hold()
        eventually(lambda: reported == ["screen_blanked"], "the report")
        subprocess.run(["xset", "s", "reset"], check=True, timeout=30)
        eventually(lambda: len(reported) == 2, "the end")
        assert reported == ["screen_blanked", "screen_shown"]


def test_xscreensaver_is_noticed_by_its_property(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "disabled:")
    monkeypatch.setattr(awake_linux, "LOOK_EVERY_S", 0.01)
    reported: list[str] = []
    awake = ScreenAwake(lambda kind, detail: reported.append(kind.value))
    with server(monkeypatch, "320x240x24"), closing(Display()) as display, closing(awake):
        root, status = display.screen().root, display.intern_atom("_SCREENSAVER_STATUS")

        def cover(by: int) -> None:
            root.change_property(status, Xatom.INTEGER, 32, [by, 1_795_986_660, 0])
            display.sync()

        cover(0)
        awake.hold()
        cover(display.intern_atom("BLANK"))
        eventually(lambda: reported == ["screen_blanked"], "the report")
        cover(0)
        eventually(lambda: reported == ["screen_blanked", "screen_shown"], "the end")
        cover(display.intern_atom("LOCK"))
        eventually(lambda: len(reported) == 3, "the next report")
        # It was killed.
        root.delete_property(status)
        display.sync()
        eventually(lambda: reported == ["screen_blanked", "screen_shown"] * 2, "the last report")


def test_a_recording_keeps_the_screen_awake_and_reports_a_blank_one(
    session_bus: str, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    environment = {**capture_environment, "DBUS_SESSION_BUS_ADDRESS": session_bus}
    path = tmp_path / "out.mkv"

    def xset(what: str) -> None:
        subprocess.run(["xset", "s", what], env=environment, check=True, timeout=30)

    with closing(Desktop(session_bus, SAVER)) as desktop:
        with Recorder(environment, tmp_path, "record", path, "--audio", "none", "--json") as recorder:
            recorder.until_recording(path)
            eventually(lambda: desktop.asked, "the request")
            try:
                xset("activate")
                recorder.until_said("the screensaver has blanked the screen")
            finally:
                xset("reset")
            recorder.until_said("the screen is shown again")
            summary = recorder.stop()
        assert kinds(summary) == ["screen_blanked", "screen_shown"]
        assert [member for member, body in desktop.asked] == ["Inhibit", "UnInhibit"]
        # Without a picture, the screen may sleep.
        with Recorder(environment, tmp_path, "record", "out.ogg", "--duration", "0.3", "--json") as recorder:
            assert recorder.wait() == 0, recorder.stderr
        assert len(desktop.asked) == 2
