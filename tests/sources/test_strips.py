"""A large part of the screen is read in strips, which belong together or are read again."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from stage import BLUE, GREEN, RED, WHITE, Stage
from viewing import in_pairs, opened

from capture.errors import DisplayLostError
from capture.media import Frame, Pixels, Rectangle
from capture.sources import screen_source
from capture.sources.screen_source import ScreenSource
from capture.sources.x11.strips import ScreenStrips

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

SCREEN = Rectangle(0, 0, 1280, 720)

#: So small that the whole screen takes 18 strips of 40 rows; and so large in motion that it takes two.
STRIP_BYTES = 1280 * 40 * 4
IN_MOTION_BYTES = 1280 * 400 * 4

pytestmark = pytest.mark.stage(pointer=(1279, 719))


@pytest.fixture(autouse=True)
def small_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen_source, "STRIP_BYTES", STRIP_BYTES)
    monkeypatch.setattr(screen_source, "STRIP_IN_MOTION_BYTES", IN_MOTION_BYTES)


class StripViewer:
    """A viewer of the screen that reads strips as the converter does."""

    def __init__(self, *, cursor: bool = False) -> None:
        self.source = ScreenSource(SCREEN, cursor=cursor, in_strips=True)
        self.source.open()
        self.source.begin(time.monotonic())
        self.picture: Pixels = np.zeros((SCREEN.height, SCREEN.width, 4), np.uint8)
        #: The heights of the strips that were read last.
        self.rows: list[int] = []
        #: What is drawn after the first strip of the next frame.
        self.meanwhile: Callable[[], None] = lambda: None

    def close(self) -> None:
        self.source.close()

    def take(self) -> Frame:
        """Grab until the strips belong together."""
        while True:
            frame = self.source.grab()
            if self.put(frame):
                return frame

    def put(self, frame: Frame) -> bool:
        """Put a frame into the picture; return whether it belongs together."""
        self.rows = []

        def put(pixels: Pixels, row: int) -> None:
            height, width = pixels.shape[:2]
            top = frame.top + row
            self.picture[top : top + height, frame.left : frame.left + width] = pixels
            self.rows.append(height)
            if row == 0:
                self.meanwhile()

        if frame.strips is not None:
            assert frame.pixels.size == 0
            return frame.strips.read(put)
        put(frame.pixels, 0)
        return True

    def see(self) -> Frame:
        while not self.source.wait_for_change(time.monotonic() + 0.03):
            pass
        return self.take()

    def assert_sees_all(self, *, cursor: bool = False) -> None:
        source = opened(SCREEN, cursor=cursor)
        there = source.grab().pixels
        source.close()
        assert np.array_equal(self.picture[..., :3], there[..., :3])


@pytest.fixture
def viewer(stage: Stage) -> Iterator[StripViewer]:
    made = StripViewer()
    yield made
    made.close()


def test_the_first_picture_comes_in_strips_and_small_parts_do_not(viewer: StripViewer, stage: Stage) -> None:
    frame = viewer.take()
    assert viewer.rows == [40] * 18
    assert frame.strips is not None
    assert (frame.left, frame.top, frame.strips.width, frame.strips.height) == (0, 0, 1280, 720)
    stage.paint(10, 20, 5, 5, RED)
    frame = viewer.see()
    assert frame.strips is None
    assert frame.pixels.shape == (6, 6, 4)
    viewer.assert_sees_all()


def test_strips_are_larger_in_motion_and_small_again_at_rest(
    viewer: StripViewer, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.take()
    large = Rectangle(101, 51, 999, 601)
    rows = []
    for colour in (RED, GREEN):
        stage.paint(large.left, large.top, large.width, large.height, colour)
        viewer.see()
        rows.append(viewer.rows)
        viewer.assert_sees_all()
    place = in_pairs(large)
    assert sum(rows[0]) == sum(rows[1]) == place.height
    assert [len(each) for each in rows] == [602 // 50 + 1, 2]
    monkeypatch.setattr(screen_source, "IN_MOTION_S", 0.0)
    stage.paint(large.left, large.top, large.width, large.height, BLUE)
    viewer.see()
    assert viewer.rows == rows[0]
    segments = viewer.source._opened.reader._memory
    assert segments is not None
    assert [each.memory.size_bytes for each in segments._segments] == [1 << 18], "the larger one was given back"


def test_the_cursor_is_whole_across_strips(stage: Stage) -> None:
    viewer = StripViewer(cursor=True)
    # Where the first strip ends.
    stage.point_at(300, 40)
    viewer.take()
    assert len(viewer.rows) == 18
    viewer.assert_sees_all(cursor=True)
    viewer.close()


@pytest.mark.parametrize(
    "drawn", [Rectangle(0, 0, 2, 2), Rectangle(640, 700, 2, 2), Rectangle(0, 0, 1280, 720)], ids=str
)
def test_strips_between_which_something_was_drawn_do_not_belong_together(
    drawn: Rectangle, viewer: StripViewer, stage: Stage
) -> None:
    viewer.take()
    stage.paint(0, 0, 1280, 720, GREEN)
    viewer.source.wait_for_change(time.monotonic() + 1.0)
    torn = viewer.source.grab()
    viewer.meanwhile = lambda: stage.paint(drawn.left, drawn.top, drawn.width, drawn.height, WHITE)
    assert not viewer.put(torn)
    viewer.meanwhile = lambda: None
    again = viewer.source.grab()
    assert again.captured_at_s >= torn.captured_at_s
    assert viewer.put(again), "and what was drawn meanwhile is in the next one"
    assert viewer.rows
    viewer.assert_sees_all()


def test_a_screen_that_never_rests_is_read_in_one_go(
    viewer: StripViewer, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.meanwhile = lambda: stage.paint(640, 700, 2, 2, WHITE)
    frame = viewer.source.grab()
    assert frame.strips is not None
    assert not viewer.put(frame)
    frame = viewer.source.grab()
    assert (frame.strips, frame.pixels.shape) == (None, (720, 1280, 4))
    viewer.put(frame)
    stage.paint(0, 0, 1280, 720, RED)
    assert viewer.see().strips is None
    monkeypatch.setattr(viewer.source, "_in_one_go_until_s", 0.0)
    viewer.meanwhile = lambda: None
    stage.paint(0, 0, 1280, 720, BLUE)
    assert viewer.see().strips is not None
    viewer.assert_sees_all()


def test_what_is_drawn_just_before_the_first_strip_is_read_in_one_go(
    viewer: StripViewer, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer.take()
    watch = viewer.source._opened
    sync = watch.sync

    def draw_and_sync() -> None:
        stage.paint(5, 5, 2, 2, WHITE)
        sync()

    stage.paint(0, 0, 1280, 720, RED)
    viewer.source.wait_for_change(time.monotonic() + 1.0)
    monkeypatch.setattr(watch, "sync", draw_and_sync)
    assert viewer.source.grab().strips is None


def test_a_screen_that_changes_its_size_between_strips_is_asked_again() -> None:
    answers: list[bool] = []

    def grab(strip: Rectangle) -> Pixels:
        if strip.top:
            raise DisplayLostError("the screen can no longer be read")
        return np.zeros((strip.height, strip.width, 4), np.uint8)

    rows: list[int] = []
    strips = ScreenStrips(Rectangle(0, 0, 64, 48), 64 * 20 * 4, grab, lambda: True, answers.append)
    assert not strips.read(lambda pixels, row: rows.append(len(pixels)))
    assert (rows, answers) == ([20], [False])


def test_strips_have_even_heights_and_at_least_two_rows() -> None:
    def rows(strip_bytes: int) -> list[int]:
        found: list[int] = []
        area = Rectangle(0, 0, 64, 10)
        strips = ScreenStrips(
            area,
            strip_bytes,
            lambda strip: np.zeros((strip.height, strip.width, 4), np.uint8),
            lambda: True,
            lambda belong_together: None,
        )
        assert strips.read(lambda pixels, row: found.append(len(pixels)))
        return found

    assert rows(1) == [2] * 5
    assert rows(64 * 4 * 5) == [4, 4, 2]
    assert rows(1 << 20) == [10]


def test_the_memory_of_the_kept_first_picture_is_given_back(viewer: StripViewer, stage: Stage) -> None:
    stage.paint(0, 0, 640, 720, RED)
    epoch_s = time.monotonic()
    assert viewer.source.settle()
    viewer.source.begin(epoch_s)
    frame = viewer.source.grab()
    assert viewer.put(frame)
    assert viewer.rows == [720]
    memory = viewer.source._opened.reader._memory
    assert memory is not None
    assert [segment.memory.size_bytes for segment in memory._segments] == [], "it was larger than a strip"
    viewer.assert_sees_all()
    stage.paint(10, 20, 5, 5, BLUE)
    assert viewer.see().pixels.shape == (6, 6, 4)
    viewer.assert_sees_all()
