"""Screens of Windows and macOS on a double of mss: negative places, other sizes, a locked screen."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mss.exception import ScreenShotError
from stage import BLUE, RED, Stage

from capture.clock import MonotonicClock
from capture.errors import NotReadyError, UsageError
from capture.media import Pixels, Rectangle
from capture.settings.record_settings import RecordSettings
from capture.sources import polling_screen, screens
from capture.sources.chooser import choose_frames
from capture.sources.polling_screen import PollingScreenSource
from capture.sources.protocols import FrameSource
from capture.sources.screens import list_screens

LEFT = Rectangle(-1280, -200, 1280, 1024)
MIDDLE = Rectangle(0, 0, 1920, 1080)
RIGHT = Rectangle(1920, 300, 801, 601)


class Desktop:
    """The desktop of a double of mss: every pixel encodes its place and the current `turn`."""

    def __init__(self, *monitors: Rectangle, primary: int | None = 1, density: int = 1) -> None:
        self.monitors = monitors
        self.primary = primary
        self.density = density
        self.turn = 0
        self.error: Exception | None = None
        #: How often it was connected to, and how many connections are open.
        self.connections = self.open = 0

    def pixels(self, area: Rectangle) -> Pixels:
        columns, rows = np.arange(area.left, area.right), np.arange(area.top, area.bottom)
        picture = np.zeros((area.height, area.width, 4), np.uint8)
        picture[..., 0], picture[..., 1] = columns % 251, (rows % 241)[:, None]
        picture[..., 2] = self.turn
        return picture


class DoubleOfMss:
    """Behaves as mss does here: its monitors are those of its construction, and it takes no arguments."""

    def __init__(self, desktop: Desktop) -> None:
        if desktop.error is not None:
            raise desktop.error
        self._desktop = desktop
        self._closed = False
        desktop.connections += 1
        desktop.open += 1
        whole = screens.desktop_of([screens.Screen("", "", area, False) for area in desktop.monitors or [MIDDLE]])
        self.monitors: list[dict[str, Any]] = [self._described(whole)]
        for number, area in enumerate(desktop.monitors):
            flag = {} if desktop.primary is None else {"is_primary": number == desktop.primary}
            self.monitors.append(self._described(area) | flag)

    @staticmethod
    def _described(area: Rectangle) -> dict[str, Any]:
        return {"left": area.left, "top": area.top, "width": area.width, "height": area.height}

    def __enter__(self) -> DoubleOfMss:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def grab(self, where: dict[str, int]) -> Pixels:
        assert not self._closed
        if self._desktop.error is not None:
            raise self._desktop.error
        pixels = self._desktop.pixels(Rectangle(**where))
        return pixels.repeat(self._desktop.density, axis=0).repeat(self._desktop.density, axis=1)

    def close(self) -> None:
        self._desktop.open -= not self._closed
        self._closed = True


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[[Desktop], None]:
    """Make this machine one of Windows or macOS with the given desktop."""

    def to(desktop: Desktop, platform: str = "win32") -> None:
        monkeypatch.setattr(sys, "platform", platform)
        monkeypatch.setattr("mss.MSS", lambda: DoubleOfMss(desktop))

    monkeypatch.setattr(polling_screen, "LOOK_EVERY_S", 0.0)
    return to


def chosen(tmp_path: Path, report: Callable[[str, str], None] = lambda kind, detail: None, **more: Any) -> FrameSource:
    settings = RecordSettings(tmp_path / "out.mp4", **{"cursor": False, **more})
    source, _ = choose_frames(settings, MonotonicClock(), report)
    assert source is not None
    source.open()
    source.begin(time.monotonic())
    return source


def differs(source: FrameSource) -> bool:
    return source.wait_for_change(time.monotonic())


@pytest.mark.parametrize("platform", ["win32", "darwin"])
@pytest.mark.parametrize(
    ("wanted", "area"),
    [
        ({}, MIDDLE),
        ({"screen": "1"}, LEFT),
        ({"screen": "3"}, Rectangle(1920, 300, 800, 600)),
        ({"screen": "all"}, Rectangle(-1280, -200, 4000, 1280)),
        ({"region": Rectangle(-101, -33, 202, 66)}, Rectangle(-101, -33, 202, 66)),
        ({"region": Rectangle(1900, 299, 41, 21)}, Rectangle(1900, 299, 40, 20)),
    ],
)
def test_pixels_come_from_the_requested_place(
    platform: str, wanted: dict[str, Any], area: Rectangle, connect: Any, tmp_path: Path
) -> None:
    desktop = Desktop(LEFT, MIDDLE, RIGHT)
    connect(desktop, platform)
    source = chosen(tmp_path, **wanted)
    assert (source.width, source.height) == (area.width, area.height)
    assert np.array_equal(source.grab().pixels, desktop.pixels(area))
    source.close()
    assert desktop.open == 0


def test_the_first_monitor_is_primary_if_none_is_marked(connect: Any) -> None:
    connect(Desktop(LEFT, MIDDLE, primary=None), "darwin")
    assert [(item.id, item.name, item.primary) for item in list_screens()] == [
        ("1", "screen 1", True),
        ("2", "screen 2", False),
    ]


def test_a_region_must_be_on_the_desktop(connect: Any, tmp_path: Path) -> None:
    connect(Desktop(LEFT, MIDDLE))
    with pytest.raises(UsageError, match=r"-1300-10 reaches outside the screen: the screen is 3200x1280-1280-200"):
        chosen(tmp_path, region=Rectangle(-1300, -10, 100, 100))


def test_a_scaled_screen_is_recorded_at_its_logical_size(connect: Any, tmp_path: Path) -> None:
    desktop = Desktop(MIDDLE, primary=0, density=2)
    connect(desktop, "darwin")
    source = chosen(tmp_path, region=Rectangle(100, 50, 64, 32))
    assert np.abs(source.grab().pixels.astype(int) - desktop.pixels(Rectangle(100, 50, 64, 32))).max() <= 1
    source.close()


def test_only_a_different_picture_is_a_change(connect: Any, tmp_path: Path) -> None:
    desktop = Desktop(MIDDLE, primary=0)
    connect(desktop)
    source = chosen(tmp_path)
    for turn in range(3):
        desktop.turn = turn
        assert differs(source)
        before_s = time.monotonic()
        assert source.grab().pixels[5, 5, 2] == turn
        assert not differs(source)
        desktop.turn += 100
        assert differs(source)
        # Between the last look at the old picture and the first at the new one.
        assert before_s <= source.grab().captured_at_s <= time.monotonic()
    # Whatever was seen before, a recording begins with a picture.
    source.begin(time.monotonic())
    assert differs(source)
    source.close()


def test_a_waiting_thread_can_be_woken(connect: Any, tmp_path: Path) -> None:
    connect(Desktop(MIDDLE, primary=0))
    source = chosen(tmp_path)
    source.grab()
    source.wake()
    assert not source.wait_for_change(time.monotonic() + 3600.0)
    source.close()


def test_a_new_size_is_fitted_into_the_first(connect: Any, tmp_path: Path) -> None:
    desktop, reported = Desktop(MIDDLE, primary=0), []
    connect(desktop)
    source = chosen(tmp_path, lambda kind, detail: reported.append((kind, detail)))
    source.grab()
    for area, said, place in (
        (Rectangle(0, 0, 1280, 721), "now 1280x720+0+0, centred", (slice(180, 900), slice(320, 1600))),
        (Rectangle(-960, 0, 3840, 2160), "now 3840x2160-960+0, scaled down to fit", (slice(0, 1080), slice(0, 1920))),
        (MIDDLE, "the screen is now 1920x1080+0+0", (slice(0, 1080), slice(0, 1920))),
    ):
        desktop.monitors = (area,)
        desktop.turn += 50
        assert differs(source)
        picture = source.grab().pixels
        assert (picture.shape, {kind for kind, _ in reported}) == ((1080, 1920, 4), {"display_changed"})
        assert said in reported[-1][1]
        assert abs(picture[place][..., 2].astype(int) - desktop.turn).max() <= 1
        picture[place] = 0
        assert not picture.any()
    assert len(reported) == 3
    source.close()


def test_the_part_of_a_region_on_no_screen_is_black(connect: Any, tmp_path: Path) -> None:
    desktop, reported = Desktop(LEFT, MIDDLE), []
    connect(desktop)
    source = chosen(tmp_path, lambda kind, detail: reported.append(detail), region=Rectangle(-100, 100, 200, 100))
    desktop.turn = 7
    desktop.monitors, desktop.primary = (MIDDLE,), 0
    picture = source.grab().pixels
    assert not picture[:, :100].any()
    assert np.array_equal(picture[:, 100:], desktop.pixels(Rectangle(0, 100, 100, 100)))
    assert reported == [
        "the screen is now 1920x1080+0+0: only 100x100+0+100 of 200x100-100+100 is on it, the rest is black"
    ]
    source.close()


def test_a_lost_monitor_is_black_and_not_replaced_by_another(connect: Any, tmp_path: Path) -> None:
    desktop, reported = Desktop(LEFT, MIDDLE, RIGHT), []
    connect(desktop)
    source = chosen(tmp_path, lambda kind, detail: reported.append(detail), screen="3")
    desktop.turn = 1
    desktop.monitors = (LEFT, MIDDLE)
    assert not source.grab().pixels.any()
    desktop.monitors = (LEFT, MIDDLE, RIGHT)
    assert source.grab().pixels[..., 2].all()
    assert [detail.split(":")[0] for detail in reported] == [
        "the recorded area is on no screen",
        "the screen is now 800x600+1920+300",
    ]
    source.close()


@pytest.mark.parametrize("monitors", [(MIDDLE,), ()])
def test_an_unreadable_screen_repeats_its_last_picture(
    monitors: tuple[Rectangle, ...], connect: Any, tmp_path: Path
) -> None:
    desktop, reported = Desktop(MIDDLE, primary=0), []
    connect(desktop)
    source = chosen(tmp_path, lambda kind, detail: reported.append((kind, detail)))
    before = source.grab().pixels.copy()
    # As on Windows while the screen is locked, or while all monitors are off.
    desktop.monitors, desktop.turn = monitors, 9
    desktop.error = ScreenShotError("Windows graphics function failed: BitBlt: Access is denied.") if monitors else None
    for _ in range(3):
        assert not differs(source)
        assert np.array_equal(source.grab().pixels, before)
    desktop.monitors, desktop.error = (MIDDLE,), None
    assert differs(source)
    assert source.grab().pixels[0, 0, 2] == 9
    assert [kind for kind, _ in reported] == ["screen_unreadable", "screen_readable"]
    assert "repeating its last picture" in reported[0][1]
    source.close()
    assert desktop.open == 0


def test_a_recording_that_begins_on_a_locked_screen_is_black_at_first(connect: Any, tmp_path: Path) -> None:
    desktop = Desktop(MIDDLE, primary=0)
    connect(desktop)
    source = chosen(tmp_path)
    desktop.turn, desktop.error = 3, ScreenShotError("denied")
    source.begin(time.monotonic())
    assert differs(source)
    assert not source.grab().pixels.any()
    desktop.error = None
    assert differs(source)
    assert source.grab().pixels[0, 0, 2] == 3
    source.close()


def test_without_a_display_it_is_not_ready(connect: Any, tmp_path: Path) -> None:
    desktop = Desktop(MIDDLE)
    connect(desktop)
    desktop.error = ScreenShotError("no display")
    with pytest.raises(NotReadyError, match="there is no display to record"):
        chosen(tmp_path)


@pytest.mark.parametrize(("platform", "system"), [("win32", "Windows"), ("darwin", "macOS")])
def test_the_missing_cursor_is_reported(platform: str, system: str, connect: Any, tmp_path: Path) -> None:
    reported: list[tuple[str, str]] = []
    connect(Desktop(MIDDLE, primary=0), platform)
    chosen(tmp_path, lambda kind, detail: reported.append((kind, detail)), cursor=True).close()
    assert reported == [("no_cursor", f"the mouse cursor cannot be recorded on {system} yet")]


@pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")
@pytest.mark.usefixtures("in_process_desk")
def test_a_real_screen_is_captured_to_the_pixel(desk_environment: dict[str, str]) -> None:
    area = Rectangle(101, 51, 300, 200)
    source = PollingScreenSource(area, where=lambda screens: area, report=lambda kind, detail: pytest.fail(detail))
    with Stage(desk_environment) as stage:
        source.open()
        source.begin(time.monotonic())
        source.grab()
        stage.paint(90, 40, 11, 300, RED)
        assert not differs(source)
        stage.paint(400, 250, 20, 20, BLUE)
        assert differs(source)
        picture = source.grab().pixels
        source.close()
    assert picture[-1, -1, :3].tolist() == [*BLUE[::-1]]
    picture[-1, -1] = 0
    assert not picture[..., :3].any()
