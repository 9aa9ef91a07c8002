"""The countdown and the outline are on the screen, but in no recording."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from reopened import each_picture
from running import Recorder, eventually
from stage import BLUE, Pane, colour_at, mouse

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.media import Rectangle
from capture.sources.x11.countdown import PAPER, Countdown
from capture.sources.x11.outline import LastingOutline
from capture.sources.x11.window_list import choose_window, list_windows

#: How far the codecs and the conversion to 4:2:0 may change a colour in the middle of an area.
COLOUR_TOLERANCE: Final = 14


@pytest.fixture(autouse=True)
def background(desk_environment: dict[str, str]) -> Iterator[None]:
    """Make the whole screen blue; the server repaints it wherever it was covered."""
    with Pane(desk_environment, "Behind", (0, 0, 1280, 720), BLUE):
        yield


def assert_blue(path: Path) -> None:
    for _, picture in each_picture(path):
        assert np.abs(picture.astype(int) - BLUE).max() <= COLOUR_TOLERANCE


def test_the_countdown_is_shown_and_not_recorded(capture_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "delayed.mkv"
    arguments = ("--delay", "2", "--duration", "0.6", "--audio", "none", "--no-cursor", "--json")
    with Recorder(capture_environment, tmp_path, "record", path, *arguments) as recorder:
        recorder.until(lambda: colour_at(capture_environment, 640, 360) != BLUE, "the countdown")
        summary = recorder.summary()
        assert recorder.wait() == 0, recorder.stderr
    assert summary["check"] == "ok"
    assert_blue(path)


def test_a_cancelled_countdown_disappears(capture_environment: dict[str, str], tmp_path: Path) -> None:
    arguments = ("record", "never.mkv", "--delay", "1000", "--region", "300x300+10+10", "--audio", "none")
    with Recorder(capture_environment, tmp_path, *arguments) as recorder:
        recorder.until(lambda: colour_at(capture_environment, 160, 160) != BLUE, "the countdown")
        # The region is outlined, so that the user can still change what is in it.
        assert colour_at(capture_environment, 9, 9) == (0xFF, 0x7A, 0x00)
        recorder.process.terminate()
        assert recorder.wait() == 0, recorder.stderr
    for place in ((160, 160), (9, 9)):
        assert colour_at(capture_environment, *place) == BLUE


@pytest.mark.usefixtures("in_process_desk")
def test_the_countdown_shows_the_seconds(desk_environment: dict[str, str]) -> None:
    paper = (PAPER >> 16, PAPER >> 8 & 0xFF, PAPER & 0xFF)
    now_s = 100.0
    countdown = Countdown(lambda: Rectangle(400, 200, 201, 201), 1.1, lambda: now_s)
    try:
        # A 2 has a stroke at the lower left, a 1 has not.
        left, low = 500 - 59 + 24 + 7, 300 - 87 + 24 + 84
        eventually(lambda: colour_at(desk_environment, left, low) == (255, 255, 255), "the 2")
        now_s = 101.0
        eventually(lambda: colour_at(desk_environment, left, low) == paper, "the 1")
    finally:
        countdown.end()
    assert colour_at(desk_environment, left, low) == BLUE
    countdown.end()


def test_without_a_display_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    Countdown(lambda: Rectangle(0, 0, 100, 100), 1.0).end()


def test_a_region_is_outlined_while_it_is_recorded(capture_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "outlined.mkv"
    region, around = "200x100+301+151", [(299, 200), (502, 200), (400, 149), (400, 252), (299, 149), (502, 252)]
    arguments = ("--region", region, "--quality", "high", "--audio", "none", "--no-cursor", "--json")
    with Recorder(capture_environment, tmp_path, "record", path, *arguments) as recorder:
        recorder.until_recording(path)
        assert [colour_at(capture_environment, x, y) for x, y in around] == [(0xFF, 0x7A, 0x00)] * len(around)
        corners = [(301, 151), (500, 151), (301, 250), (500, 250)]
        assert [colour_at(capture_environment, x, y) for x, y in corners] == [BLUE] * 4
        summary = recorder.stop()
    assert (summary["video"]["width"], summary["video"]["height"]) == (200, 100)
    assert_blue(path)
    assert [colour_at(capture_environment, x, y) for x, y in around] == [BLUE] * len(around)


def test_a_click_on_the_outline_reaches_the_window_below(
    in_process_desk: object, desk_environment: dict[str, str]
) -> None:
    from Xlib.display import Display

    outline = LastingOutline(Rectangle(301, 151, 200, 100))
    display = Display()
    try:
        mouse(desk_environment, "mousemove 400 150")
        below = display.screen().root.query_pointer().child
        assert hex(below.id) == choose_window(list_windows(), "Behind").id
    finally:
        display.close()
        outline.close()
    outline.close()


def test_no_outline_is_shown_in_standby(capture_environment: dict[str, str], tmp_path: Path) -> None:
    arguments = ("standby", "waiting.mkv", "--region", "200x100+301+151", "--audio", "none", "--no-hotkeys", "--json")
    with Recorder(capture_environment, tmp_path, *arguments) as recorder:
        status = [sys.executable, "-m", "capture", "status", "--json"]
        recorder.until(
            lambda: (
                b"standby" in subprocess.run(status, env=capture_environment, capture_output=True, check=True).stdout
            ),
            "it waits",
        )
        assert colour_at(capture_environment, 299, 200) == BLUE
