"""`--region select` and `--window select` record what the user chose with the mouse, and nothing of the choosing."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RunCapture
from reopened import each_picture
from running import Recorder, kinds
from stage import BLUE, GREY, RED, Colour, Pane, Stage, mouse, press

from capture.errors import NotReadyError, UsageError
from capture.settings.record_settings import RecordSettings
from capture.sources.chooser import pick

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: How far the codecs and the conversion to 4:2:0 may change a colour in the middle of an area.
COLOUR_TOLERANCE = 14

ARGUMENTS = ("--quality", "high", "--audio", "none", "--no-cursor", "--duration", "0.6", "--json")


@pytest.fixture
def panes(desk_environment: dict[str, str]) -> Iterator[None]:
    """A blue window over the whole screen, and on it a red one at 200,150 of 400×300 in a frame, half covered by grey.

    The server itself repaints whatever was covered.
    """
    with (
        Pane(desk_environment, "Behind", (0, 0, 1280, 720), BLUE),
        Pane(desk_environment, "Editor", (200, 150, 400, 300), RED, framed=True),
        Pane(desk_environment, "Above", (400, 150, 200, 300), GREY),
    ):
        yield


def drag(environment: Mapping[str, str], *places: tuple[int, int]) -> None:
    """Press at the first place, move along the others, and release at the last, in one command of xdotool."""
    ways = [f"mousemove {x} {y}" for x, y in places]
    mouse(environment, ways[0], "mousedown 1", *ways[1:], "mouseup 1")


def assert_all(picture: Any, colour: Colour) -> None:
    assert np.abs(picture.astype(int) - colour).max() <= COLOUR_TOLERANCE


def assert_free(environment: dict[str, str]) -> None:
    """Assert that keys and mouse reach the windows again."""
    with Stage(environment) as stage:
        stage.take_focus()
        press(environment, "f", "r", "e", "e")
        assert stage.typed(4) == "free"


@pytest.mark.usefixtures("panes")
def test_a_dragged_region_is_recorded(capture_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "dragged.mkv"
    with Recorder(capture_environment, tmp_path, "record", path, "--region", "select", *ARGUMENTS) as recorder:
        recorder.until_said("Drag a rectangle to record (Esc cancels)")
        # A click is no drag. The outline was inside the picture before it was outside.
        drag(capture_environment, (50, 60), (51, 60))
        drag(capture_environment, (700, 500), (900, 550), (650, 160), (330, 171))
        summary = recorder.summary()
        assert recorder.wait() == 0, recorder.stderr
    # 371 by 330 pixels, made even.
    assert (summary["video"]["width"], summary["video"]["height"]) == (370, 330)
    assert kinds(summary) == []
    for _, picture in each_picture(path):
        assert_all(picture[4:260, 4:60], RED)
        assert_all(picture[4:260, 80:260], GREY)
        assert_all(picture[4:326, 290:366], BLUE)
        assert_all(picture[300:326, 4:366], BLUE)
    assert_free(capture_environment)


@pytest.mark.usefixtures("panes")
@pytest.mark.parametrize(("x", "y"), [(250, 300), (193, 300)])
def test_a_window_is_chosen_by_a_click_even_on_its_frame(
    x: int, y: int, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "clicked.mkv"
    with Recorder(capture_environment, tmp_path, "record", path, "--window", "select", *ARGUMENTS) as recorder:
        recorder.until_said("Click the window to record (Esc cancels)")
        mouse(capture_environment, "mousemove 1000 600", f"mousemove {x} {y}", "click 1")
        summary = recorder.summary()
        assert recorder.wait() == 0, recorder.stderr
    assert (summary["video"]["width"], summary["video"]["height"]) == (400, 300)
    for _, picture in each_picture(path):
        assert_all(picture[4:296, 4:396], RED)
    assert_free(capture_environment)


@pytest.mark.parametrize("option", ["--region", "--window"])
@pytest.mark.parametrize("way", ["key Escape", "click 3", "mousemove 100 100 mousedown 1 mousemove 300 300 key Escape"])
def test_choosing_can_be_cancelled(option: str, way: str, capture_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "nothing.mkv"
    with Recorder(capture_environment, tmp_path, "record", path, option, "select", *ARGUMENTS) as recorder:
        recorder.until_said("(Esc cancels)")
        mouse(capture_environment, way)
        assert recorder.wait() == 2
        assert "nothing was selected" in recorder.stderr
        assert recorder.stdout == ""
    mouse(capture_environment, "mouseup 1")
    assert not path.exists()
    assert_free(capture_environment)


def test_a_killed_recorder_releases_mouse_and_keyboard(capture_environment: dict[str, str], tmp_path: Path) -> None:
    with Recorder(capture_environment, tmp_path, "record", "x.mkv", "--region", "select", *ARGUMENTS) as recorder:
        recorder.until_said("(Esc cancels)")
    assert_free(capture_environment)


def test_a_mouse_held_by_another_program_is_not_ready(
    in_process_desk: object, desk_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from Xlib import X
    from Xlib.display import Display

    from capture.sources.x11 import picker

    monkeypatch.setattr(picker, "GRAB_LIMIT_S", 0.05)
    menu = Display(desk_environment["DISPLAY"])
    try:
        held = menu.screen().root.grab_pointer(
            *(False, X.ButtonPressMask, X.GrabModeAsync, X.GrabModeAsync, X.NONE, X.NONE, X.CurrentTime)
        )
        assert held == X.GrabSuccess
        with pytest.raises(NotReadyError, match="another program holds the mouse"):
            picker.pick_region(lambda text: pytest.fail(text))
    finally:
        menu.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ("out.ogg", "--region", "select"),
        ("out.mp4", "--source", "pattern", "--region", "select"),
        ("out.mp4", "--region", "select", "--window", "select"),
        ("out.mp4", "--region", "Select"),
        ("out.ogg", "--window", "select"),
    ],
)
def test_contradicting_arguments_are_refused_before_any_choice(
    arguments: tuple[str, ...], run_capture: RunCapture
) -> None:
    done = run_capture("record", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize(("platform", "system"), [("win32", "Windows"), ("darwin", "macOS")])
def test_other_systems_get_a_remedy(
    platform: str, system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    with pytest.raises(NotReadyError, match=rf"on {system} yet: use --region"):
        pick(RecordSettings(tmp_path / "out.mp4"), "region", pytest.fail)


def test_choosing_needs_a_screen(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--region select needs a screen"):
        pick(RecordSettings(tmp_path / "out.mp4", screen=None), "region", pytest.fail)
