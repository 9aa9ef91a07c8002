"""The notification of a saved file: its buttons work after the recorder has ended, and nothing waits for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from buses import bus
from notification_server import NotificationServer
from running import Recorder, eventually

from capture.desktop import saved_notice
from capture.desktop.saved_notice import start_saved_notice

if sys.platform != "linux":
    pytest.skip("the notifications of Linux desktops", allow_module_level=True)

BUTTONS = {"default": "Show in folder", "play": "Play", "show": "Show in folder"}
SOUND = ("--source", "pattern", "--screen", "none", "--duration", "0.2s", "--json")


@pytest.fixture
def environment(tmp_path: Path, capture_environment: dict[str, str]) -> Iterator[dict[str, str]]:
    """A desktop with a session bus, whose programs log how they are called."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("xdg-open", "wl-copy"):
        script = programs / name
        reads = "cat" if name == "wl-copy" else "true"
        script.write_text(f'#!/bin/sh\n{{ echo {name} $XDG_ACTIVATION_TOKEN "$@"; {reads}; }} >>{tmp_path}/log\n')
        script.chmod(0o755)
    (tmp_path / "bus").mkdir()
    with bus(tmp_path / "bus") as address:
        yield {
            **capture_environment,
            "PATH": f"{programs}:/usr/bin:/bin",
            "DBUS_SESSION_BUS_ADDRESS": address,
        }


def called(folder: Path) -> str:
    return (folder / "log").read_text() if (folder / "log").exists() else ""


def test_a_recording_ends_at_once_and_its_buttons_work(
    environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    path = folder / "<b>a & b.ogg"
    with closing(NotificationServer(environment["DBUS_SESSION_BUS_ADDRESS"], "actions", "body-markup")) as server:
        with Recorder(environment, folder, "record", path, *SOUND) as recorder:
            assert recorder.summary()["check"] == "ok"
            assert recorder.wait() == 0
        eventually(lambda: server.shown, "the notification")
        (number, shown) = next(iter(server.shown.items()))
        assert (shown.program, shown.title, shown.buttons) == ("Capture", "Recording saved", BUTTONS | {"copy": "Copy"})
        # The body is markup.
        assert shown.body.startswith(f"{folder}/&lt;b&gt;a &amp; b.ogg  0:00.")
        server.press(number, "play")
        eventually(lambda: "\n" in called(tmp_path), "the player")
        assert called(tmp_path) == f"xdg-open the token {path}\n"


def test_a_quiet_recording_and_one_without_notifications_show_nothing(
    environment: dict[str, str], folder: Path
) -> None:
    def record(*more: str) -> None:
        with Recorder(environment, folder, "record", "out.ogg", *SOUND, "--overwrite", *more) as recorder:
            assert recorder.wait() == 0, recorder.stderr

    with closing(NotificationServer(environment["DBUS_SESSION_BUS_ADDRESS"])) as server:
        record("--quiet")
        with Recorder(environment, folder, "config", "record.notify", "off") as setting:
            assert setting.wait() == 0, setting.stderr
        record()
        with Recorder(environment, folder, "config", "record.notify", "on") as setting:
            assert setting.wait() == 0
        record()
        # Without buttons, because the server has none; in their order, so the others had come before.
        eventually(lambda: server.history, "the notification")
        assert [shown.buttons for shown in server.history] == [{}]


def show(environment: dict[str, str], path: Path) -> subprocess.Popen[bytes]:
    process = start_saved_notice("Clip saved", "a clip", str(path), environment)
    assert process is not None
    return process


@pytest.mark.parametrize("how", ["dismissed", "no buttons", "no server"])
def test_the_process_ends_with_the_notification(how: str, environment: dict[str, str], folder: Path) -> None:
    if how == "no server":
        assert show(environment, folder / "a.mp4").wait(60) == 0
        return
    capabilities = ("body", "actions") if how == "dismissed" else ("body",)
    with closing(NotificationServer(environment["DBUS_SESSION_BUS_ADDRESS"], *capabilities)) as server:
        process = show(environment, folder / "a.mp4")
        eventually(lambda: server.history, "the notification")
        if how == "dismissed":
            assert process.poll() is None
            server.dismiss(next(iter(server.shown)))
        assert process.wait(60) == 0
        assert list(server.shown) == ([] if how == "dismissed" else [1])


def test_buttons_that_no_longer_work_are_withdrawn(
    environment: dict[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_notice, "WAIT_S", 0.2)
    monkeypatch.setattr(os, "environ", environment)
    with closing(NotificationServer(environment["DBUS_SESSION_BUS_ADDRESS"], "actions")) as server:
        begun_s = time.monotonic()
        saved_notice._show("Recording saved", "a file", folder / "a.mp4")
        assert time.monotonic() >= begun_s + 0.2
        eventually(lambda: server.history and not server.shown, "the end of the notification")


def test_few_processes_wait_at_a_time(environment: dict[str, str], folder: Path) -> None:
    with closing(NotificationServer(environment["DBUS_SESSION_BUS_ADDRESS"], "actions")) as server:
        processes = []
        for number in range(10):
            processes.append(show(environment, folder / f"{number}.ogg"))
            eventually(lambda: len(server.history) == len(processes), "the notification")
        eventually(lambda: sum(process.poll() is None for process in processes) == 8, "the end of two")
        eventually(lambda: len(server.shown) == 8, "the end of their notifications")
        for number in tuple(server.shown):
            server.dismiss(number)
        assert [process.wait(60) for process in processes] == [0] * 10


def test_a_file_is_copied_with_its_address(environment: dict[str, str], folder: Path, tmp_path: Path) -> None:
    path = folder / "a b.ogg"
    environment |= {"WAYLAND_DISPLAY": "desk", "DISPLAY": ""}
    with closing(NotificationServer(environment["DBUS_SESSION_BUS_ADDRESS"], "actions")) as server:
        process = show(environment, path)
        eventually(lambda: server.shown, "the notification")
        server.press(1, "copy")
        assert process.wait(60) == 0
    assert called(tmp_path) == f"wl-copy the token --type text/uri-list\n{path.as_uri()}\n"


def test_an_action_that_fails_says_so(environment: dict[str, str], folder: Path) -> None:
    environment |= {"PATH": "/nonexistent", "DISPLAY": ""}
    with closing(NotificationServer(environment["DBUS_SESSION_BUS_ADDRESS"], "actions")) as server:
        process = show(environment, folder / "a.ogg")
        eventually(lambda: server.shown, "the notification")
        # Without a clipboard there is no such button.
        assert server.shown[1].buttons == BUTTONS
        server.press(1, "play")
        assert process.wait(60) == 0
    assert server.history[1].body == "there is no desktop here to open it with: run this in a terminal of the desktop"


@pytest.mark.skipif(not shutil.which("dunst"), reason="needs dunst")
def test_a_real_server_shows_it_and_passes_the_click_on(
    environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    path = folder / "a & <b>.ogg"
    with (tmp_path / "dunst").open("wb") as log:
        dunst = subprocess.Popen(["dunst", "-print"], env=environment, stdout=log, stderr=log)
    try:
        # The bus knows its name a moment after its start.
        eventually(lambda: dunstctl(environment, "is-paused") == "false", "dunst")
        process = start_saved_notice("Clip <saved>", str(path), str(path), environment)
        assert process is not None
        eventually(lambda: dunstctl(environment, "count", "displayed") == "1", "the notification")
        shown = (tmp_path / "dunst").read_text()
        assert f"summary: 'Clip <saved>'\n\tbody: '{folder}/a &amp; &lt;b&gt;.ogg'" in shown
        assert '"play": "Play"' in shown
        dunstctl(environment, "action")
        assert process.wait(60) == 0
        assert called(tmp_path) == f"xdg-open {folder}\n"
        # Its buttons would no longer work.
        eventually(lambda: dunstctl(environment, "count", "displayed") == "0", "the end of the notification")
    finally:
        dunst.kill()
        dunst.wait()


def dunstctl(environment: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        ["dunstctl", *words], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout.strip()
