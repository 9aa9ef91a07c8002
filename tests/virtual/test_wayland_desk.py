"""The private desk with a Wayland compositor: Wayland and X11 programs fill it, and nothing of it is left."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import PROJECT, RunCapture, StartCapture
from numbered import HEIGHT, WIDTH, number_of
from reopened import each_picture, exact_last
from running import eventually
from wayland_desk import has_sway, sway_desk

from capture.errors import CaptureError, NotReadyError
from capture.events import Command
from capture.triggers.windows import WindowTrigger
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)
needs_sway = pytest.mark.skipif(not has_sway(), reason="sway is not installed, or must not make a user namespace")

WAYLAND: Final = ("--desk", "wayland", "--size", "640x360", "--wait-for-window")

#: A Wayland program that shows a number at the left upper corner of its window.
SHOW: Final = """\
import sys, time
sys.path[:0] = sys.argv[1:3]
from wayland_desk import Window
time.sleep(2)
window = Window()
for number in (0x1234, 0x4321):
    window.draw(number)
    time.sleep(0.5)
sys.exit(7)
"""

#: An X11 program with a small window of one colour, which the desk makes as large as itself.
SHOW_X: Final = """\
import time
from Xlib.display import Display
display = Display()
screen = display.screen()
window = screen.root.create_window(9, 9, 50, 50, 0, screen.root_depth, background_pixel=0x2060A0)
window.map()
display.sync()
time.sleep(60)
"""


@needs_sway
def test_a_wayland_program_fills_the_desk(run_capture: RunCapture, folder: Path) -> None:
    path = folder / "out.mkv"
    command = (sys.executable, "-c", SHOW, str(PROJECT), str(PROJECT / "tests"))
    done = run_capture("headless", path, *WAYLAND, "--quality", "high", "--", *command)
    assert done.returncode == 7, done.stderr
    assert "the recording itself succeeded" in done.stderr
    pictures = [(at_s, picture[..., 1]) for at_s, picture in each_picture(path)]
    assert {picture.shape for _, picture in pictures} == {(360, 640)}
    # It begins with the window, which took its time, and which the compositor may show a moment later.
    assert min(at_s for at_s, picture in pictures if picture.any()) < 1.5
    shown = [picture for _, picture in pictures if picture.any()]
    assert {number_of(picture[:HEIGHT, :WIDTH]) for picture in shown} == {0x1234, 0x4321}
    assert min(picture[HEIGHT:].min() for picture in shown) > 60


@needs_sway
def test_an_x11_program_fills_the_desk(run_capture: RunCapture, folder: Path) -> None:
    path = folder / "out.mkv"
    command = (sys.executable, "-c", SHOW_X)
    done = run_capture(
        "headless", path, *WAYLAND, "--audio", "none", "--quality", "high", "--duration", "1s", "--", *command
    )
    assert done.returncode == 0, done.stderr
    last = exact_last(path).astype(int)
    assert abs(last - (0x20, 0x60, 0xA0)).max() <= 3


@needs_sway
def test_nothing_is_left_of_the_desk_of_a_killed_recorder(
    start_capture: StartCapture, folder: Path, temporary_folder: Path
) -> None:
    before = set(temporary_folder.glob("capture-desk-*"))
    path = folder / "out.mkv"
    with start_capture("headless", path, *WAYLAND[:-1], "--audio", "none", "--", "sleep", "60") as recorder:
        recorder.until_recording(path)
        (made,) = set(temporary_folder.glob("capture-desk-*")) - before
        assert "sway" in programs_on(made)
        recorder.process.kill()
    eventually(lambda: not programs_on(made), "the end of the desk's programs")
    eventually(lambda: not made.exists(), "the end of the desk's folder")


def programs_on(folder: Path) -> set[str]:
    """Return the names of the programs on the desk of `folder`."""
    found = set()
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and str(folder).encode() in (process / "environ").read_bytes():
                found.add((process / "comm").read_text().strip())
        except OSError:
            continue
    return found


def test_a_missing_compositor_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pulseaudio").symlink_to("/usr/bin/pulseaudio")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotReadyError) as caught:
        VirtualDesk(320, 240, kind="wayland").open()
    assert str(caught.value) == "sway is not installed: apt-get install sway"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs sway as another user")
def test_root_without_another_user_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unshare = tmp_path / "unshare"
    unshare.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted' >&2\nexit 1\n")
    unshare.chmod(0o755)
    (tmp_path / "sway").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(NotReadyError, match=r"sway does not run as root.*: run capture as an ordinary user"):
        VirtualDesk(320, 240, kind="wayland").open()


class Heard:
    """What a trigger of windows says."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.failures: list[CaptureError] = []

    def send(self, command: Command, given_by: str, **more: Any) -> None:
        self.commands.append(command)


@contextmanager
def triggered(limit_s: float) -> Iterator[Heard]:
    heard = Heard()
    trigger = WindowTrigger(heard.failures.append, limit_s)
    trigger.start(heard.send)
    try:
        yield heard
    finally:
        trigger.stop()


@needs_sway
def test_a_desktop_without_a_window_is_waited_for_with_a_limit(
    temporary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder,
        sway_desk(Path(folder), "resolution 320x240") as desk,
    ):
        for name, value in desk.environment.items():
            monkeypatch.setenv(name, value)
        with triggered(0.1) as heard:
            eventually(lambda: heard.failures, "the end of the wait")
            assert "no window appeared within 0.1 s" in str(heard.failures[0])
        with triggered(60) as heard:
            time.sleep(0.05)
        assert (heard.commands, heard.failures) == ([], [])
        desk.process.kill()
        desk.process.wait()
        with triggered(60) as heard:
            assert "drop --wait-for-window" in str(heard.failures[0])
