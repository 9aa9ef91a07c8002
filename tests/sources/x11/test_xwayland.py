"""Xwayland on a real Wayland desktop: without a screen of its own it is refused, with one it is recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from conftest import PROJECT
from reopened import pictures
from running import Recorder, eventually

from capture.sources.x11.xcb import Extension
from capture.sources.x11.xwayland import is_rootless

if sys.platform != "linux":
    pytest.skip("Wayland needs Linux", allow_module_level=True)


@pytest.fixture(scope="module")
def wayland(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a Wayland desktop without X11."""
    runtime = tmp_path_factory.mktemp("wayland")
    runtime.chmod(0o700)
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(runtime), "HOME": str(runtime), "PYTHONPATH": str(PROJECT)}
    for name in ("DISPLAY", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS"):
        environment.pop(name, None)
    argv = ["weston", "--backend=headless-backend.so", "--no-config", "--socket=desk"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(argv, env=environment, **cast(Any, quiet)) as weston:
        try:
            eventually((runtime / "desk").exists, "the Wayland desktop")
            yield {**environment, "WAYLAND_DISPLAY": "desk"}
        finally:
            weston.terminate()


@contextmanager
def xwayland(environment: dict[str, str], *options: str) -> Iterator[dict[str, str]]:
    """Run Xwayland on the desktop; yield the environment of its clients."""
    reading, writing = os.pipe()
    argv = ["Xwayland", "-displayfd", str(writing), "-nolisten", "tcp", "-noreset", *options]
    with subprocess.Popen(argv, env=environment, pass_fds=[writing], stderr=subprocess.DEVNULL) as process:
        os.close(writing)
        try:
            with os.fdopen(reading) as number:
                yield {**environment, "DISPLAY": f":{number.readline().strip()}"}
        finally:
            process.terminate()


@pytest.mark.parametrize("names", [("WAYLAND_DISPLAY", "DISPLAY"), ("DISPLAY",), ("WAYLAND_DISPLAY",)])
def test_what_xwayland_does_not_show_is_refused(wayland: dict[str, str], folder: Path, names: tuple[str, ...]) -> None:
    with xwayland(wayland, "-rootless") as environment:
        for name in {"DISPLAY", "WAYLAND_DISPLAY"} - set(names):
            del environment[name]
        with Recorder(environment, folder, "record", "out.mp4", "--audio", "none", "--duration", "0.2") as recorder:
            assert recorder.wait() == 3, recorder.stderr
            assert "Wayland" in recorder.stderr
            assert "Traceback" not in recorder.stderr
    assert list(folder.iterdir()) == []


def test_xwayland_with_a_screen_of_its_own_is_recorded(wayland: dict[str, str], folder: Path) -> None:
    with xwayland(wayland) as environment:
        subprocess.run(["xsetroot", "-solid", "#206040"], env=environment, check=True, timeout=30)
        with Recorder(
            environment,
            folder,
            *("record", "out.mkv", "--audio", "none", "--no-cursor", "--quality", "high"),
            *("--duration", "0.3", "--json"),
        ) as recorder:
            summary = recorder.summary()
    assert summary["check"] == "ok"
    last = pictures(folder / "out.mkv").last
    assert abs(last[100, 100].astype(int) - (0x20, 0x60, 0x40)).max() <= 3


class Server:
    """A connection to a server that has the extensions `known` and no pixels in its root."""

    root = 1

    def __init__(self, *known: str) -> None:
        self._known = known

    def ask(self, request: bytes) -> None:
        return None

    def extension(self, name: str) -> Extension | None:
        return Extension(150, 90) if name in self._known else None


def test_newer_versions_are_known_by_their_extension() -> None:
    assert is_rootless(cast(Any, Server("XWAYLAND")))
    # As after `ssh -X`: an X server that shows this program nothing.
    assert not is_rootless(cast(Any, Server()))
