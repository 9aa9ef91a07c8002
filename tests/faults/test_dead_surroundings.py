"""A name of the surroundings that leads to something dead is no mistake of the caller's: exit code 3, with a remedy."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from conftest import PROJECT, RunCapture

from capture.errors import NotReadyError
from capture.sources.portal.screencast import ScreenCast

if sys.platform != "linux":
    pytest.skip("these names are Linux's", allow_module_level=True)

#: A display that no X server has: their numbers end at 59535, where TCP's ports do.
NO_X_SERVER: Final = ":60000"

Refused = Callable[..., str]


def left_behind(folder: Path) -> Path:
    """A socket at which nothing listens any more."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "left"))
    return folder / "left"


def no_socket(folder: Path) -> Path:
    (folder / "plain").write_text("no socket")
    return folder / "plain"


def missing(folder: Path) -> Path:
    return folder / "missing"


def too_long(folder: Path) -> Path:
    return folder / ("x" * 120)


DEAD = pytest.mark.parametrize("make", [left_behind, no_socket, missing, too_long])


@pytest.fixture
def refused(folder: Path) -> Refused:
    """Runs capture without a desktop but for the given names; returns its only line, after exit code 3."""

    def run(*arguments: str, **names: object) -> str:
        environment = {
            "HOME": str(folder.parent),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(PROJECT),
            "XDG_RUNTIME_DIR": str(folder.parent),
            **{name: str(value) for name, value in names.items()},
        }
        argv = [sys.executable, "-m", "capture", *arguments]
        done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (3, ""), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert list(folder.iterdir()) == []
        return done.stderr

    return run


@DEAD
@pytest.mark.parametrize(
    "options", [(), ("--screen", "2"), ("--screen", "all"), ("--window", "Editor"), ("--region", "select")]
)
def test_a_dead_compositor(
    refused: Refused, tmp_path: Path, make: Callable[[Path], Path], options: tuple[str, ...]
) -> None:
    address = make(tmp_path)
    said = refused("record", "out.mp4", "--audio", "none", *options, WAYLAND_DISPLAY=address.name)
    assert f"no Wayland compositor can be reached at {address} (" in said
    assert said.endswith("start capture in the session itself, use --screen none, or capture headless -- COMMAND\n")


def test_a_compositor_whose_folder_is_not_named(refused: Refused) -> None:
    said = refused("record", "out.mp4", "--audio", "none", WAYLAND_DISPLAY="wayland-0", XDG_RUNTIME_DIR="")
    assert "no Wayland compositor can be reached at wayland-0, because XDG_RUNTIME_DIR is ''" in said


@pytest.mark.parametrize("display", [NO_X_SERVER, "nonsense"])
@pytest.mark.parametrize("options", [("--screen", "2"), ("--window", "Editor"), ("--region", "select")])
def test_a_dead_x_server(refused: Refused, display: str, options: tuple[str, ...]) -> None:
    said = refused("record", "out.mp4", "--audio", "none", *options, DISPLAY=display)
    assert f"no X server lets capture in at DISPLAY={display}: set DISPLAY as it is in the session" in said


def test_hotkeys_of_a_dead_x_server_do_not_stop_a_recording(
    run_capture: RunCapture, capture_environment: dict[str, str]
) -> None:
    capture_environment["DISPLAY"] = NO_X_SERVER
    done = run_capture("record", "out.mp4", "--source", "pattern", "--audio", "none", "--duration", "0.2")
    assert done.returncode == 0, done.stderr
    assert "hotkeys do not work here" in done.stderr


def test_a_runtime_folder_in_which_nothing_can_listen_does_not_stop_a_recording(
    run_capture: RunCapture, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    capture_environment["XDG_RUNTIME_DIR"] = str(tmp_path)
    (tmp_path / "capture").touch()
    done = run_capture("record", "out.mp4", "--source", "pattern", "--audio", "none", "--duration", "0.2")
    assert done.returncode == 0, done.stderr
    said = f"commands from other terminals do not work here: cannot use the folder {tmp_path}/capture (Not a directory)"
    assert said in done.stderr


@DEAD
@pytest.mark.parametrize("arguments", [("record",), ("record", "--audio", "a-microphone"), ("note",)])
def test_a_dead_sound_server(
    refused: Refused, tmp_path: Path, make: Callable[[Path], Path], arguments: tuple[str, ...]
) -> None:
    server = f"unix:{make(tmp_path)}"
    said = refused(arguments[0], "out.ogg", *arguments[1:], PULSE_SERVER=server)
    assert f"no sound server answers at PULSE_SERVER={server} (" in said
    assert "start PulseAudio or PipeWire, or use --audio none" in said


@pytest.mark.parametrize("address", ["nonsense", "unix:", "unix:path", ";"])
def test_what_is_no_address_of_a_bus_is_quoted(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
    with pytest.raises(NotReadyError, match=f"DBUS_SESSION_BUS_ADDRESS={address} names no session bus"):
        ScreenCast()
