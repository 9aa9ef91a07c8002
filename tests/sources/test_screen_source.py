"""The screen source reads only what changed, and its parts add up to the whole screen, cursor included."""

from __future__ import annotations

import struct
import sys
import time

import numpy as np
import pytest
from stage import BLUE, CURSOR_HOT, CURSOR_SIDE, GREEN, GREY, RED, WHITE, Stage
from viewing import Viewer, in_pairs, opened, place

from capture.media import Rectangle
from capture.sources import screen_source
from capture.sources.screen_source import ScreenSource

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

SCREEN = Rectangle(0, 0, 1280, 720)
#: At odd offsets, away from the edges of the screen.
REGION = Rectangle(301, 151, 320, 240)

COLOURS = (RED, GREEN, BLUE, WHITE, GREY)


pytestmark = pytest.mark.stage(pointer=(1279, 719))


@pytest.mark.parametrize(
    "part",
    [
        Rectangle(0, 0, 1, 1),
        Rectangle(1279, 0, 1, 1),
        Rectangle(0, 719, 1, 1),
        Rectangle(1279, 719, 1, 1),
        Rectangle(641, 333, 1, 1),
        Rectangle(0, 719, 1280, 1),
        Rectangle(1279, 0, 1, 720),
        Rectangle(33, 17, 101, 51),
        SCREEN,
    ],
    ids=str,
)
@pytest.mark.usefixtures("stage")
def test_only_the_drawn_part_is_read(part: Rectangle, stage: Stage) -> None:
    with Viewer(SCREEN) as viewer:
        stage.paint(part.left, part.top, part.width, part.height, RED)
        assert place(viewer.see()) == in_pairs(part)
        viewer.assert_sees_all()


@pytest.mark.parametrize(
    ("drawn", "seen"),
    [
        (Rectangle(301, 151, 1, 1), Rectangle(0, 0, 1, 1)),
        (Rectangle(620, 390, 1, 1), Rectangle(319, 239, 1, 1)),
        (Rectangle(290, 140, 20, 20), Rectangle(0, 0, 9, 9)),
        (Rectangle(600, 380, 99, 99), Rectangle(299, 229, 21, 11)),
        (Rectangle(0, 0, 1280, 720), Rectangle(0, 0, 320, 240)),
    ],
)
def test_only_the_part_inside_the_region_is_read(drawn: Rectangle, seen: Rectangle, stage: Stage) -> None:
    with Viewer(REGION) as viewer:
        stage.paint(drawn.left, drawn.top, drawn.width, drawn.height, BLUE)
        assert place(viewer.see()) == in_pairs(seen)
        viewer.assert_sees_all()


def test_two_changes_between_frames_are_both_seen(stage: Stage) -> None:
    with Viewer(SCREEN) as viewer:
        stage.paint(10, 20, 5, 5, RED)
        stage.paint(401, 303, 7, 9, GREEN)
        assert place(viewer.see()) == in_pairs(Rectangle(10, 20, 398, 292))
        viewer.assert_sees_all()


def test_a_recording_begins_with_the_whole_picture(stage: Stage) -> None:
    source = opened(SCREEN, cursor=True)
    for _ in range(2):
        source.begin(time.monotonic())
        assert source.wait_for_change(time.monotonic())
        assert place(source.grab()) == SCREEN
        stage.paint(10, 20, 5, 5, RED)
        assert source.wait_for_change(time.monotonic() + 30.0)
        assert place(source.grab()) == Rectangle(10, 20, 6, 6)
    source.close()


@pytest.mark.parametrize("cursor", [True, False])
def test_a_recording_that_begins_at_once_begins_with_the_kept_picture(cursor: bool, stage: Stage) -> None:
    stage.point_at(100, 200)
    before = opened(SCREEN, cursor=cursor)
    expected = before.grab().pixels
    before.close()
    source = ScreenSource(SCREEN, cursor=cursor)
    source.open()
    epoch_s = time.monotonic()
    assert source.settle()
    settled_s = time.monotonic()
    # Meanwhile the thread does what it does whenever nothing is grabbed.
    source.idle()
    stage.paint(10, 20, 5, 5, RED)
    source.begin(epoch_s)
    assert source.wait_for_change(time.monotonic())
    first = source.grab()
    assert epoch_s <= first.captured_at_s <= settled_s
    assert place(first) == SCREEN
    assert (first.pixels[..., :3] == expected[..., :3]).all()
    # What was drawn since then is not lost.
    assert source.wait_for_change(time.monotonic() + 30.0)
    assert place(source.grab()) == Rectangle(10, 20, 6, 6)
    source.close()


def test_a_later_recording_begins_with_a_picture_of_its_own(stage: Stage) -> None:
    source = ScreenSource(SCREEN, cursor=False)
    source.open()
    assert source.settle()
    stage.paint(10, 20, 5, 5, RED)
    source.begin(time.monotonic())
    first = source.grab()
    assert place(first) == SCREEN
    assert tuple(first.pixels[22, 12, 2::-1]) == RED
    source.close()


def test_the_whole_screen_is_grabbed_from_time_to_time(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screen_source, "WHOLE_EVERY_S", 0.0)
    with Viewer(SCREEN) as viewer:
        stage.paint(10, 20, 5, 5, RED)
        assert place(viewer.see()) == SCREEN


def cursor_at(x: int, y: int) -> Rectangle:
    return Rectangle(x - CURSOR_HOT, y - CURSOR_HOT, CURSOR_SIDE, CURSOR_SIDE)


def test_a_moved_cursor_is_erased_from_its_old_place(stage: Stage) -> None:
    stage.point_at(100, 200)
    with Viewer(SCREEN, cursor=True) as viewer:
        stage.point_at(131, 251)
        assert place(viewer.see()).contains(cursor_at(100, 200).union(cursor_at(131, 251)))
        viewer.assert_sees_all()
        assert viewer.picture[251, 131, 2] == RED[0]
        assert viewer.picture[200, 100, 2] == 0


@pytest.mark.parametrize(
    "drawn", [Rectangle(90, 190, 50, 50), Rectangle(103, 203, 3, 1), Rectangle(0, 0, 101, 201), SCREEN], ids=str
)
def test_the_cursor_stays_above_a_change_below_it(drawn: Rectangle, stage: Stage) -> None:
    stage.point_at(100, 200)
    with Viewer(SCREEN, cursor=True) as viewer:
        stage.paint(drawn.left, drawn.top, drawn.width, drawn.height, BLUE)
        viewer.see()
        viewer.assert_sees_all()
        assert viewer.picture[205, 105, 2] == RED[0]


@pytest.mark.parametrize(("area", "cursor"), [(SCREEN, True), (REGION, True), (REGION, False)], ids=str)
def test_the_parts_always_add_up_to_the_whole_picture(area: Rectangle, cursor: bool, stage: Stage) -> None:
    dice = np.random.default_rng(3)
    with Viewer(area, cursor=cursor) as viewer:
        for turn in range(25):
            if cursor and turn % 3 == 0:
                x, y = dice.integers((area.left, area.top), (area.right, area.bottom)).tolist()
                stage.point_at(x, y)
            for _ in range(dice.integers(1, 4)):
                left, top = dice.integers((area.left, area.top), (area.right, area.bottom)).tolist()
                width, height = dice.integers(1, 120, 2).tolist()
                stage.paint(left, top, width, height, COLOURS[dice.integers(len(COLOURS))])
            viewer.see()
            viewer.assert_sees_all()


def test_empty_damage_is_no_change(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    with Viewer(SCREEN) as viewer:
        watch = viewer.source._watch
        assert watch is not None
        assert watch._damaging is not None
        report = bytearray(32)
        struct.pack_into("=B15xhhHH", report, 0, watch._damaging.first_event, 100, 100, 0, 0)
        with monkeypatch.context() as patch:
            # As servers do once they were asked to subtract a pixel that was seen.
            patch.setattr(watch._connection, "events", lambda: iter([bytes(report)]))
            watch.hear()
        assert not viewer.source.wait_for_change(time.monotonic())
        stage.paint(100, 100, 1, 1, RED)
        assert place(viewer.see()) == Rectangle(100, 100, 2, 2)
