"""Monitors that change during a recording: it keeps its first size, and the content stays in the right place."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from conftest import PROJECT
from reopened import Picture, pictures
from running import Recorder, kinds
from stage import BLACK, BLUE, GREEN, RED, WHITE, Colour, Pane, Stage, mouse

from capture.media import Rectangle
from capture.sources.screen_source import ScreenSource
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: How far codecs and 4:2:0 subsampling may change a colour in the middle of an area.
COLOUR_TOLERANCE: Final = 3

ARGUMENTS: Final = ("--quality", "high", "--audio", "none", "--json")

#: The server starts with the first one.
SIZES: Final = ((800, 600), (400, 300), (799, 301))


class Screens:
    """The monitors of a separate desk, reconfigured with xrandr."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        for width, height in SIZES[1:]:
            timings = [width, width + 1, width + 2, width + 3, height, height + 1, height + 2, height + 3]
            self._xrandr("--newmode", f"{width}x{height}", "25", *map(str, timings))
            self._xrandr("--addmode", "screen", f"{width}x{height}")
        # Out of the way, but on the screen in every size.
        mouse(environment, "mousemove 200 20")

    def resize(self, width: int, height: int) -> None:
        self._xrandr("--output", "screen", "--mode", f"{width}x{height}")

    def set_monitor(self, name: str, place: str, *, output: str = "none") -> None:
        size, corner = place.split("+", 1)
        width, height = size.split("x")
        self._xrandr("--setmonitor", name, f"{width}/100x{height}/100+{corner}", output)

    def remove_monitor(self, name: str) -> None:
        self._xrandr("--delmonitor", name)

    def _xrandr(self, *arguments: str) -> None:
        subprocess.run(["xrandr", *arguments], env=self.environment, check=True, timeout=30, capture_output=True)


@pytest.fixture
def screens(tmp_path: Path) -> Iterator[Screens]:
    # The server allows no screen larger than its first.
    with VirtualDesk(*SIZES[0], window_manager=False) as desk:
        yield Screens({**desk.environment_of(os.environ), "HOME": str(tmp_path), "PYTHONPATH": str(PROJECT)})


def differences(picture: Picture, colours: dict[tuple[int, int], Colour]) -> dict[tuple[int, int], Any]:
    found = {(x, y): picture[y, x].tolist() for x, y in colours}
    return {
        place: (found[place], colour)
        for place, colour in colours.items()
        if np.abs(np.subtract(found[place], colour)).max() > COLOUR_TOLERANCE
    }


def until_seen(recorder: Recorder, path: Path, colours: dict[tuple[int, int], Colour]) -> Picture:
    """Wait until the newest frame has these colours at these places, and return it."""
    recorder.until(lambda: not differences(pictures(path).last, colours), f"{colours}")
    return pictures(path).last


def corners(left: int, top: int, width: int, height: int, colour: Colour) -> dict[tuple[int, int], Colour]:
    """Return the four corners of a rectangle, three pixels inside, mapped to `colour`."""
    return {(x, y): colour for x in (left + 3, left + width - 4) for y in (top + 3, top + height - 4)}


def test_a_screen_that_shrinks_just_before_a_recording_begins_is_recorded(
    screens: Screens, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "XAUTHORITY"):
        monkeypatch.setenv(name, screens.environment[name])
    with closing(ScreenSource(Rectangle(0, 0, 800, 600), cursor=False)) as source:
        source.open()
        screens.resize(400, 300)
        assert not source.settle()
        source.begin(time.monotonic())
        assert source.wait_for_change(time.monotonic())
        frame = source.grab()
    assert (frame.left, frame.top, frame.pixels.shape) == (0, 0, (600, 800, 4))


def test_a_smaller_screen_is_centred_until_it_grows_back(screens: Screens, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    environment = screens.environment
    with (
        Pane(environment, "Behind", (0, 0, 800, 600), BLUE) as pane,
        Recorder(environment, tmp_path, "record", path, *ARGUMENTS) as recorder,
    ):
        recorder.until_recording(path)
        screens.resize(400, 300)
        recorder.until_said("the screen is now 400x300+0+0, centred in 800x600")
        around = corners(0, 0, 800, 600, BLACK) | {(195, 300): BLACK, (604, 300): BLACK, (400, 145): BLACK}
        until_seen(recorder, path, corners(200, 150, 400, 300, BLUE) | around)
        # A change at the edge, and the cursor.
        pane.mark(380, 280, 20, 20, RED)
        mouse(environment, "mousemove 12 12")
        seen = until_seen(recorder, path, corners(580, 430, 20, 20, RED) | {(212, 162): BLACK})
        assert not differences(seen, around | {(202, 152): BLUE, (228, 178): BLUE})
        screens.resize(800, 600)
        recorder.until_said("the screen is now 800x600+0+0\n")
        until_seen(recorder, path, corners(0, 0, 800, 600, BLUE) | corners(380, 280, 20, 20, RED))
        pane.mark(780, 580, 20, 20, WHITE)
        until_seen(recorder, path, corners(780, 580, 20, 20, WHITE))
        summary = recorder.stop()
    assert (summary["video"]["width"], summary["video"]["height"], summary["check"]) == (800, 600, "ok")
    assert kinds(summary) == ["display_changed"] * 2


def test_a_larger_screen_is_scaled_down(screens: Screens, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    environment = screens.environment
    screens.resize(400, 300)
    with Recorder(environment, tmp_path, "record", path, *ARGUMENTS) as recorder:
        recorder.until_recording(path)
        screens.resize(800, 600)
        recorder.until_said("the screen is now 800x600+0+0, scaled down to fit 400x300")
        with Pane(environment, "Behind", (0, 0, 800, 600), BLUE) as pane:
            pane.mark(760, 560, 40, 40, RED)
            mouse(environment, "mousemove 312 312")
            until_seen(recorder, path, corners(0, 0, 380, 300, BLUE) | corners(380, 280, 20, 20, RED))
            # Wider than the recording, in proportion.
            screens.resize(799, 301)
            recorder.until_said("the screen is now 798x300+0+0, scaled down")
            seen = until_seen(recorder, path, corners(0, 0, 400, 75, BLACK) | corners(0, 75, 400, 150, BLUE))
        summary = recorder.stop()
    assert not differences(seen, corners(0, 225, 400, 75, BLACK))
    assert (summary["video"]["width"], summary["video"]["height"], summary["check"]) == (400, 300, "ok")


def test_the_part_of_a_region_outside_the_screen_is_black(screens: Screens, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    environment = screens.environment
    region = ("--region", "201x100+300+250", "--no-cursor")
    with (
        Pane(environment, "Behind", (0, 0, 800, 600), BLUE),
        Recorder(environment, tmp_path, "record", path, *region, *ARGUMENTS) as recorder,
    ):
        recorder.until_recording(path)
        screens.resize(400, 300)
        recorder.until_said("only 100x50+300+250 of 200x100+300+250 is on it, the rest is black")
        seen = until_seen(recorder, path, corners(0, 0, 100, 50, BLUE) | corners(100, 50, 100, 50, BLACK))
        assert not differences(seen, {(104, 20): BLACK, (196, 4): BLACK, (4, 54): BLACK, (4, 96): BLACK})
        with Pane(environment, "Corner", (390, 290, 10, 10), RED):
            until_seen(recorder, path, corners(90, 40, 10, 10, RED))
        screens.resize(800, 600)
        recorder.until_said("the screen is now 200x100+300+250")
        until_seen(recorder, path, corners(0, 0, 200, 100, BLUE))
        summary = recorder.stop()
    assert summary["check"] == "ok"


def test_a_region_outside_the_screen_is_black_until_the_screen_grows_back(screens: Screens, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    environment = screens.environment
    region = ("--region", "200x100+600+450")
    with (
        Pane(environment, "Behind", (0, 0, 800, 600), BLUE),
        Recorder(environment, tmp_path, "record", path, *region, *ARGUMENTS) as recorder,
    ):
        recorder.until_recording(path)
        screens.resize(400, 300)
        recorder.until_said("without 200x100+600+450: the picture is black until it is back")
        until_seen(recorder, path, corners(0, 0, 200, 100, BLACK))
        mouse(environment, "mousemove 10 10")
        screens.resize(800, 600)
        until_seen(recorder, path, corners(0, 0, 200, 100, BLUE))
        assert recorder.stop()["check"] == "ok"


def test_a_monitor_is_followed_by_its_name(screens: Screens, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    environment = screens.environment
    screens.set_monitor("LEFT", "400x600+0+0", output="screen")
    screens.set_monitor("RIGHT", "400x600+400+0")
    with (
        Pane(environment, "Left", (0, 0, 400, 600), RED),
        Pane(environment, "Right", (400, 0, 400, 600), BLUE) as right,
        Recorder(environment, tmp_path, "record", path, "--screen", "2", *ARGUMENTS) as recorder,
    ):
        recorder.until_recording(path)
        # Half as high and moved down: it fits, so it is not scaled.
        screens.remove_monitor("RIGHT")
        screens.set_monitor("RIGHT", "400x300+400+300")
        recorder.until_said("the screen is now 400x300+400+300, centred in 400x600")
        right.mark(0, 300, 10, 10, WHITE)
        until_seen(recorder, path, corners(0, 150, 10, 10, WHITE) | corners(0, 0, 400, 150, BLACK))
        # Like unplugging it: no other monitor is recorded instead.
        screens.remove_monitor("RIGHT")
        recorder.until_said("the recorded area is on no screen")
        until_seen(recorder, path, corners(0, 0, 400, 600, BLACK) | {(200, 300): BLACK})
        screens.set_monitor("RIGHT", "400x600+400+0")
        until_seen(recorder, path, corners(0, 310, 10, 10, BLUE) | corners(0, 0, 400, 600, BLUE))
        summary = recorder.stop()
    assert (summary["video"]["width"], summary["video"]["height"], summary["check"]) == (400, 600, "ok")
    assert kinds(summary) == ["display_changed"] * 3


def test_all_monitors_are_followed_during_a_pause_too(screens: Screens, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    environment = screens.environment

    def order(verb: str) -> None:
        subprocess.run(
            [sys.executable, "-m", "capture", verb], env=environment, check=True, timeout=30, capture_output=True
        )

    with (
        Pane(environment, "Behind", (0, 0, 800, 600), BLUE),
        Recorder(environment, tmp_path, "record", path, "--screen", "all", *ARGUMENTS) as recorder,
    ):
        recorder.until_recording(path)
        order("pause")
        screens.resize(400, 300)
        order("resume")
        until_seen(recorder, path, corners(200, 150, 400, 300, BLUE) | corners(0, 0, 800, 600, BLACK))
        summary = recorder.stop()
    assert (summary["check"], kinds(summary)) == ("ok", ["pause", "resume", "display_changed"])


def test_a_window_is_followed_when_the_screen_changes(screens: Screens, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    environment = screens.environment
    screens.resize(400, 300)
    with (
        Stage(environment) as stage,
        Pane(environment, "Editor", (300, 200, 200, 101), RED) as pane,
        Recorder(environment, tmp_path, "record", path, "--window", "Editor", *ARGUMENTS) as recorder,
    ):
        stage.paint(0, 0, 400, 300, GREEN)
        recorder.until_recording(path)
        until_seen(recorder, path, corners(0, 0, 200, 100, RED))
        screens.resize(800, 600)
        recorder.until_said("the screen is now 800x600+0+0")
        pane.mark(180, 80, 20, 20, BLUE)
        until_seen(recorder, path, corners(0, 0, 180, 80, RED) | corners(180, 80, 20, 20, BLUE))
        pane.move(600, 450)
        pane.resize(800, 600)
        pane.move(0, 0)
        until_seen(recorder, path, corners(34, 0, 40, 80, RED) | {(3, 3): BLACK, (196, 96): BLACK})
        assert recorder.stop()["check"] == "ok"
