"""Several monitors of odd sizes at odd places: the recording has the requested area, to the pixel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from conftest import PROJECT
from reopened import each_picture, pictures
from running import Recorder
from stage import BLUE, GREEN, RED, WHITE, Pane, mouse
from viewing import standing_out

from capture.media import Rectangle
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: How far the codecs and the conversion to 4:2:0 may change a colour in the middle of an area.
COLOUR_TOLERANCE: Final = 3

#: On a screen of 1280×720 whose first line belongs to no monitor.
MONITORS: Final = {"LEFT": "641/160x719/180+0+1", "RIGHT": "639/160x701/180+641+1"}


@pytest.fixture(scope="module")
def monitors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a desk with two monitors: the left one red, the right one blue, with white corners.

    What belongs to neither is green.
    """
    with VirtualDesk(1280, 720, window_manager=False) as desk, ExitStack() as opened:
        folder = tmp_path_factory.mktemp("monitors")
        environment = {**desk.environment_of(os.environ), "HOME": str(folder), "PYTHONPATH": str(PROJECT)}
        for number, (name, place) in enumerate(MONITORS.items()):
            command = ["xrandr", "--setmonitor", name, place, "none" if number else "screen"]
            subprocess.run(command, env=environment, check=True, timeout=30, capture_output=True)
        opened.enter_context(Pane(environment, "Behind", (0, 0, 1280, 720), GREEN))
        left = opened.enter_context(Pane(environment, "Left", (0, 1, 641, 719), RED))
        right = opened.enter_context(Pane(environment, "Right", (641, 1, 639, 701), BLUE))
        left.mark(0, 0, 8, 8, WHITE)
        right.mark(0, 0, 8, 8, WHITE)
        yield environment


def listed(environment: dict[str, str], way: str) -> str:
    """Return the printed list of monitors, made by our reader or by mss."""
    ours = "from capture.sources import screens; print(screens.list_screens())"
    others = "from capture.sources.mss_reader import MssReader; print(MssReader().screens())"
    code = {"by us": ours, "by mss": others}[way]
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, check=True, timeout=60, stdout=subprocess.PIPE, text=True
    ).stdout


def test_monitors_are_listed_as_mss_lists_them(monitors: dict[str, str]) -> None:
    found = listed(monitors, "by us")
    assert found.count("Screen(") == 2
    assert "Rectangle(left=641, top=1, width=639, height=701)" in found
    assert listed(monitors, "by mss") == found


def last_picture(environment: dict[str, str], folder: Path, *arguments: str) -> Any:
    path = folder / "out.mkv"
    more = ("--quality", "high", "--audio", "none", "--no-cursor", "--duration", "0.4", "--json")
    with Recorder(environment, folder, "record", path, *arguments, *more) as recorder:
        assert recorder.summary()["check"] == "ok"
    return pictures(path).last


def assert_all(picture: Any, colour: tuple[int, int, int]) -> None:
    assert np.abs(picture.astype(int) - colour).max() <= COLOUR_TOLERANCE


def white(line: Any) -> list[int]:
    """Return where a line is white; other colours may be off by a pixel at odd places, brightness may not."""
    return [int(place) for place in np.flatnonzero(line.mean(axis=1) > 160)]


def test_a_monitor_of_odd_size_at_an_odd_place_is_recorded(monitors: dict[str, str], tmp_path: Path) -> None:
    picture = last_picture(monitors, tmp_path, "--screen", "2")
    assert picture.shape == (700, 638, 3)
    assert white(picture[3]) == white(picture[:, 3]) == [*range(8)]
    assert_all(picture[12:, 12:], BLUE)


def test_a_region_across_two_monitors_is_recorded(monitors: dict[str, str], tmp_path: Path) -> None:
    picture = last_picture(monitors, tmp_path, "--region", "100x60+601+1")
    assert picture.shape == (60, 100, 3)
    assert white(picture[3]) == [*range(40, 48)]
    assert white(picture[:, 43]) == [*range(8)]
    assert_all(picture[:, :36], RED)
    assert_all(picture[:, 52:], BLUE)


def test_a_click_is_shown_where_it_was_on_a_monitor(monitors: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "clicked.mkv"
    arguments = ("--screen", "2", "--show-clicks", "--quality", "high", "--audio", "none", "--no-cursor", "--json")
    with Recorder(monitors, tmp_path, "record", path, *arguments) as recorder:
        recorder.until_recording(path)
        # First on the other monitor, where it must not show.
        mouse(monitors, "mousemove 300 300 click 1 mousemove 941 301 click 1")

        def rings() -> list[Rectangle]:
            found = (standing_out(picture[12:, 12:], BLUE) for _, picture in each_picture(path))
            return [part for part in found if part is not None]

        recorder.until(rings, "a ring")
        recorder.stop()
    for part in rings():
        assert abs(part.left + part.width / 2 - (941 - 641 - 12)) <= 1.5
        assert abs(part.top + part.height / 2 - (301 - 1 - 12)) <= 1.5


def test_all_monitors_are_recorded(monitors: dict[str, str], tmp_path: Path) -> None:
    picture = last_picture(monitors, tmp_path, "--screen", "all")
    assert picture.shape == (718, 1280, 3)
    assert white(picture[3]) == [*range(8), *range(641, 649)]
    assert_all(picture[710:, 660:], GREEN)
    assert_all(picture[710:, :620], RED)


def test_a_window_across_two_monitors_is_recorded(monitors: dict[str, str], tmp_path: Path) -> None:
    with Pane(monitors, "Across", (541, 303, 201, 101), WHITE):
        picture = last_picture(monitors, tmp_path, "--window", "across")
    assert picture.shape == (100, 200, 3)
    assert_all(picture, WHITE)
