"""Recordings from the command line of a Wayland desktop that gives its outputs without a dialog."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
import pytest
from numbered import HEIGHT, WIDTH, number_of
from running import Recorder, kinds
from wayland_desk import Sway, Window, has_sway, sway_desk

from capture.sources.wayland.windows import list_windows

if sys.platform != "linux":
    pytest.skip("Wayland needs Linux", allow_module_level=True)
if not has_sway():
    pytest.skip("sway is not installed, or must not make a user namespace", allow_module_level=True)

QUIET: Final = ("--audio", "none", "--quality", "high", "--no-hotkeys")

#: The numbers that the outputs show.
LEFT: Final = 0x1234
RIGHT: Final = 0x4321


@pytest.fixture(scope="module")
def shared_desk(temporary_folder: Path) -> Iterator[Sway]:
    """Two outputs side by side, each with a window."""
    with (
        tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder,
        sway_desk(Path(folder), "resolution 640x360 position 0 0", "resolution 320x240 position 640 0") as desk,
    ):
        yield desk


@pytest.fixture
def desk(shared_desk: Sway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sway]:
    monkeypatch.delenv("DISPLAY", raising=False)
    for name, value in shared_desk.environment.items():
        monkeypatch.setenv(name, value)
    windows = []
    for output, number in (("HEADLESS-1", LEFT), ("HEADLESS-2", RIGHT)):
        shared_desk.tell("focus output", output)
        windows.append(Window())
        windows[-1].draw(number)
    yield shared_desk
    for window in windows:
        window.close()


def run(desk: Sway, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "capture", *arguments],
        env=desk.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def shown_in(path: Path) -> set[int]:
    """Return the numbers in the left upper corner of the pictures of a file."""
    with av.open(str(path)) as container:
        return {number_of(frame.to_ndarray(format="gray")[:HEIGHT, :WIDTH]) for frame in container.decode(video=0)}


@pytest.mark.parametrize(
    ("arguments", "number", "size"),
    [
        ((), LEFT, (640, 360)),
        (("--screen", "2"), RIGHT, (320, 240)),
        (("--screen", "HEADLESS-2", "--constant-fps"), RIGHT, (320, 240)),
        (("--region", "300x100+640+0"), RIGHT, (300, 100)),
        (("--screen", "all"), LEFT, (960, 360)),
        # From the grey of the first output into the second.
        (("--region", "600x100+320+100"), 0, (600, 100)),
    ],
)
def test_the_output_that_was_chosen_is_recorded(
    desk: Sway, folder: Path, arguments: tuple[str, ...], number: int, size: tuple[int, int]
) -> None:
    path = folder / "out.mkv"
    with Recorder(
        desk.environment, folder, "record", path, *QUIET, "--json", "--duration", "0.5s", *arguments
    ) as recorder:
        summary = recorder.summary()
    assert (summary["check"], kinds(summary)) == ("ok", [])
    assert (summary["video"]["width"], summary["video"]["height"]) == size
    assert shown_in(path) == {number}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--screen", "3"), 2, "there is no screen '3': use primary, all, HEADLESS-2, HEADLESS-1, 2"),
        (("--region", "300x100+2000+0"), 2, "the region 300x100+2000+0 reaches outside the screen"),
        (("--region", "300x100+640+250"), 2, "the region 300x100+640+250 is on no screen"),
        (("--show-clicks",), 3, "clicks cannot be shown on Wayland"),
        (("--window", "any"), 3, "record the region where it is; this compositor needs no dialog for screens"),
        (("--screen", "ask"), 3, "record it by its name"),
    ],
)
def test_what_cannot_be_had_is_refused(
    desk: Sway, folder: Path, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = run(desk, "record", str(folder / "out.mkv"), *QUIET, "--duration", "0.2s", *arguments)
    assert (done.returncode, words in done.stderr) == (code, True), done.stderr
    assert done.stderr.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_windows_are_refused_where_the_compositor_gives_none(desk: Sway, folder: Path) -> None:
    if list_windows() is not None:
        pytest.skip("this sway gives windows")
    done = run(desk, "record", str(folder / "out.mkv"), *QUIET, "--window", "Editor")
    assert done.returncode == 3
    assert "record the region where it is; this compositor needs no dialog for screens" in done.stderr
    listed = run(desk, "devices")
    assert listed.returncode == 0
    assert "windows: none" in listed.stdout
    assert "this compositor shows programs no windows" in listed.stderr


def test_devices_and_doctor_name_the_outputs(desk: Sway) -> None:
    found = json.loads(run(desk, "devices", "--json").stdout)
    place = {"x": 640, "y": 0, "width": 320, "height": 240, "primary": False, "scale": 1.0}
    assert found["screens"][1] == {"id": "2", "name": "HEADLESS-2", **place}
    checks = json.loads(run(desk, "doctor", "--json").stdout)["checks"]
    (display,) = (check for check in checks if check["name"] == "display")
    assert (display["ok"], display["found"]) == (True, "HEADLESS-1 640x360+0+0, HEADLESS-2 320x240+640+0")


def test_the_recording_is_kept_when_the_compositor_is_killed(temporary_folder: Path, folder: Path) -> None:
    path = folder / "out.mkv"
    with (
        tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as made,
        sway_desk(Path(made), "resolution 640x360") as desk,
        Recorder(desk.environment, folder, "record", path, *QUIET, "--json") as recorder,
    ):
        recorder.until_recording(path)
        desk.process.kill()
        summary = recorder.summary()
        assert recorder.wait() == 1
        assert (summary["stopped_by"], summary["check"]) == ("display_lost", "ok")
        assert "the Wayland compositor has ended" in recorder.stderr
        assert "Traceback" not in recorder.stderr
