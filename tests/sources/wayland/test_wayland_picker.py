"""`--region select` on a Wayland desktop: slurp with a mouse and a keyboard of the test, and what can go wrong."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import av
import pytest
from numbered import HEIGHT, WIDTH, number_of
from running import Recorder, eventually, kinds
from watching import watched_output
from wayland_desk import Sway, Window, has_sway, sway_desk
from wayland_input import Keyboard, Mouse

from capture.errors import NotReadyError, UsageError
from capture.media import Rectangle
from capture.sources.wayland import picker

if sys.platform != "linux":
    pytest.skip("Wayland needs Linux", allow_module_level=True)
if not has_sway() or shutil.which("slurp") is None:
    pytest.skip("sway or slurp is not installed, or sway must not make a user namespace", allow_module_level=True)

QUIET: Final = ("--audio", "none", "--quality", "high", "--no-hotkeys", "--json", "--duration", "0.3s")
NUMBER: Final = 0xA5
GROUND: Final = 90


@pytest.fixture(scope="module")
def shared_desk(temporary_folder: Path) -> Iterator[Sway]:
    """An output to the left of the origin, and one at it."""
    with (
        tempfile.TemporaryDirectory(dir=temporary_folder, prefix="w") as folder,
        sway_desk(Path(folder), "resolution 640x360 position -640 0", "resolution 320x240 position 0 0") as desk,
    ):
        yield desk


@pytest.fixture
def desk(shared_desk: Sway, monkeypatch: pytest.MonkeyPatch) -> Sway:
    shared_desk.move_here(monkeypatch)
    return shared_desk


def choosing(desk: Sway, folder: Path) -> Recorder:
    return Recorder(desk.environment, folder, "record", folder / "out.mkv", "--region", "select", *QUIET)


def test_a_dragged_region_is_recorded(desk: Sway, folder: Path) -> None:
    desk.tell("focus output HEADLESS-1")
    window, mouse = Window(ground=GROUND), Mouse(-640, 0, 960, 360)
    window.draw(NUMBER)
    with choosing(desk, folder) as recorder:
        recorder.until_said("Drag a rectangle to record (Esc cancels)")
        with watched_output("HEADLESS-1") as seen:
            # While slurp is there, it makes everything lighter.
            eventually(lambda: (seen.look(0.1), seen.picture[-1, -1, 1] > GROUND)[1], "slurp")
        mouse.move(-640, 0)
        mouse.press()
        mouse.move(-500, 50)
        mouse.move(-640 + WIDTH, HEIGHT)
        mouse.release()
        summary = recorder.summary()
        assert recorder.wait() == 0
    assert (summary["video"]["width"], summary["video"]["height"], kinds(summary)) == (WIDTH, HEIGHT, [])
    with av.open(str(folder / "out.mkv")) as container:
        pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert {number_of(picture[:HEIGHT, :WIDTH]) for picture in pictures} == {NUMBER}
    mouse.close()
    window.close()


def test_choosing_can_be_cancelled(desk: Sway, folder: Path) -> None:
    keyboard = Keyboard()
    with choosing(desk, folder) as recorder:
        recorder.until_said("(Esc cancels)")

        def escape() -> bool:
            keyboard.press_escape()
            return recorder.process.poll() is not None

        eventually(escape, "the end")
        assert recorder.wait() == 2
        assert (recorder.stdout, "nothing was selected" in recorder.stderr) == ("", True)
    assert list(folder.iterdir()) == []
    keyboard.close()


def test_a_killed_recorder_releases_the_mouse(desk: Sway, folder: Path) -> None:
    with choosing(desk, folder) as recorder:
        recorder.until_said("(Esc cancels)")
        eventually(lambda: slurps(desk), "slurp")
    eventually(lambda: not slurps(desk), "the end of slurp")


def slurps(desk: Sway) -> list[Path]:
    """Return the processes of slurp on the desk."""
    place = f"XDG_RUNTIME_DIR={desk.environment['XDG_RUNTIME_DIR']}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        # It may have ended meanwhile.
        with suppress(OSError):
            if (process / "comm").read_text() == "slurp\n" and place in (process / "environ").read_bytes().split(b"\0"):
                found.append(process)
    return found


def test_without_slurp_its_package_is_named(desk: Sway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(NotReadyError, match=r"selecting with the mouse on Wayland needs slurp: .*slurp"):
        picker.pick_region(pytest.fail)


@pytest.mark.parametrize(
    ("script", "error", "words"),
    [
        (
            "echo 'no layers' >&2; exit 1",
            NotReadyError,
            "slurp cannot select a region here [(]no layers[)]: give --reg",
        ),
        ("exit 3", NotReadyError, "slurp cannot select a region here [(]exit code 3[)]"),
        ("echo what", NotReadyError, "slurp cannot select a region here [(]exit code 0[)]"),
        ("echo 'selection cancelled' >&2; exit 1", UsageError, "nothing was selected: give --region WxH[+]X[+]Y"),
    ],
)
def test_what_slurp_says_is_understood(
    script: str, error: type[Exception], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(script, tmp_path, monkeypatch)
    with pytest.raises(error, match=words):
        picker.pick_region(lambda text: None)


def test_a_region_that_is_too_small_is_asked_for_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    once = tmp_path / "once"
    stand_in(f"[ -e {once} ] && echo 301 201 -20 5 || echo 3 3 0 0; : >{once}", tmp_path, monkeypatch)
    assert picker.pick_region(lambda text: None) == Rectangle(-20, 5, 300, 200)


def stand_in(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a script in the place of slurp."""
    program = folder / "slurp"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
