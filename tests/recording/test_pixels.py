"""Compares recorded with drawn pixels: colours within three levels, places to the pixel, the cursor included."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from reopened import Picture, exact_last, pictures
from running import Recorder
from stage import BLACK, BLUE, CURSOR_HOT, CURSOR_SIDE, GREEN, GREY, RED, WHITE, Colour, Stage

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: How many levels the conversion to 4:2:0, the codec and the way back may change at high quality.
LEVELS: Final = 3

#: How far the edges of an area affect its inside: pixels share chroma in pairs, and codecs smooth.
EDGE: Final = 4

#: The side of an area whose colour is compared, and the size of the screen.
SIDE: Final = 80
SIZE: Final = (1280, 720)

#: The primaries, greys from black to white, and random colours.
COLOURS: Final[list[Colour]] = [
    *((red, green, blue) for red in (0, 255) for green in (0, 255) for blue in (0, 255)),
    *((level, level, level) for level in range(1, 255, 23)),
    *(tuple(colour) for colour in np.random.default_rng(5).integers(0, 256, (124, 3)).tolist()),
]

ARGUMENTS: Final = ("--quality", "high", "--audio", "none", "--no-hotkeys", "--json")


@pytest.fixture
def stage(stage: Stage) -> Stage:
    """The stage, with the cursor in the middle."""
    stage.point_at(640, 360)
    return stage


def record(environment: dict[str, str], path: Path, *arguments: str) -> Recorder:
    return Recorder(environment, path.parent, "record", path, *arguments, *ARGUMENTS)


def brightness(picture: Picture) -> Any:
    """Return the brightness of every pixel, which 4:2:0 keeps."""
    return picture.astype(int) @ (2126, 7152, 722) // 10_000


def until_bright(recorder: Recorder, path: Path, *places: tuple[int, int]) -> Picture:
    """Wait until the newest frame is bright at these places (x, y), and return it."""
    recorder.until(lambda: min(brightness(pictures(path).last)[y, x] for x, y in places) > 160, f"{places} is seen")
    return pictures(path).last


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv", "out.webm"])
def test_colours_are_recorded_as_drawn(
    name: str, stage: Stage, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / name
    columns = stage.width // SIDE
    places = [(number % columns * SIDE, number // columns * SIDE) for number in range(len(COLOURS))]
    assert places[-1] == (stage.width - SIDE, stage.height - SIDE)
    for (left, top), colour in zip(places, COLOURS, strict=True):
        stage.paint(left, top, SIDE, SIDE, colour)
    with record(capture_environment, path, "--no-cursor", "--duration", "0.5") as recorder:
        assert recorder.wait() == 0, recorder.stderr
    last = exact_last(path).astype(int)
    for (left, top), colour in zip(places, COLOURS, strict=True):
        inside = last[top + EDGE : top + SIDE - EDGE, left + EDGE : left + SIDE - EDGE]
        off = np.abs(inside - colour)
        # The colour of the area. A few pixels may be a little further off where a very different colour is next to it.
        assert np.median(off, axis=(0, 1)).max() <= LEVELS, f"{colour} at {left},{top}"
        assert off.max() <= 2 * LEVELS
        assert (off.max(axis=2) > LEVELS).mean() < 0.05


def test_single_pixels_are_recorded_where_they_were_drawn(
    stage: Stage, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "dots.mkv"
    right, bottom = stage.width - 1, stage.height - 1
    groups = [
        [(0, 0), (right, 0), (0, bottom), (right, bottom)],
        [(641, 0), (642, bottom), (0, 333), (right, 334)],
        [(333, 177), (400, 201), (502, 301), (99, 520)],
    ]
    dots: list[tuple[int, int]] = []
    with record(capture_environment, path, "--no-cursor") as recorder:
        recorder.until_recording(path)
        # At the corners, at the edges and inside, one change after another.
        for group in groups:
            dots += group
            for x, y in group:
                stage.paint(x, y, 1, 1, WHITE)
            seen = brightness(until_bright(recorder, path, *group))
            assert {(int(x), int(y)) for y, x in np.argwhere(seen > 100)} == {*dots}
        # Then remove them again.
        for x, y in dots:
            stage.paint(x, y, 1, 1, BLACK)
        stage.paint(100, 100, 1, 1, WHITE)
        seen = brightness(until_bright(recorder, path, (100, 100)))
        assert np.argwhere(seen > 100).tolist() == [[100, 100]]
        assert recorder.stop()["check"] == "ok"


@pytest.mark.parametrize(
    ("arguments", "left", "top"),
    [((), 0, 0), (("--region", "321x241+301+151"), 301, 151), (("--window", "Stage"), 0, 0)],
)
def test_the_cursor_is_in_place_to_the_pixel(
    arguments: tuple[str, ...], left: int, top: int, stage: Stage, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "cursor.mkv"
    stage.paint(0, 0, stage.width, stage.height, WHITE)
    with record(capture_environment, path, *arguments) as recorder:
        recorder.until_recording(path)
        # First over a still screen, then over an area that changes below it.
        for number, (x, y) in enumerate(((333, 177), (400, 201), (502, 302))):
            stage.point_at(x, y)
            if number == 2:
                stage.paint(x - 30, y - 30, 60, 60, GREEN)
            corner = (x - CURSOR_HOT - left, y - CURSOR_HOT - top)
            last = until_red(recorder, path, *corner)
            dark = np.argwhere(brightness(last) < 110)
            assert (*dark.min(axis=0), *dark.max(axis=0) + 1) == (
                corner[1],
                corner[0],
                corner[1] + CURSOR_SIDE,
                corner[0] + CURSOR_SIDE,
            )
        assert recorder.stop()["check"] == "ok"


def until_red(recorder: Recorder, path: Path, left: int, top: int) -> Picture:
    """Wait until the cursor has its corner there in the newest frame, and return the frame."""
    recorder.until(lambda: is_red(pictures(path).last, left, top), f"the cursor at {left},{top}")
    return pictures(path).last


def is_red(picture: Picture, left: int, top: int) -> bool:
    """Whether the cursor is in the picture with this corner. Codecs smooth more in such a small area."""
    inside = picture[top + EDGE : top + CURSOR_SIDE - EDGE, left + EDGE : left + CURSOR_SIDE - EDGE].astype(int)
    return bool(np.abs(inside - RED).max() <= 2 * LEVELS)


def test_every_pixel_of_an_odd_region_is_in_place(
    stage: Stage, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "odd.mkv"
    # Lines one pixel wide, seven pixels apart, and an area of colour.
    for x in range(0, 1280, 7):
        stage.paint(x, 0, 1, 720, GREY)
    stage.paint(400, 300, 101, 51, BLUE)
    with record(
        capture_environment, path, "--no-cursor", "--region", "203x151+333+207", "--duration", "0.5"
    ) as recorder:
        assert recorder.wait() == 0, recorder.stderr
    last = pictures(path).last
    assert last.shape == (150, 202, 3)
    lines = np.flatnonzero(brightness(last)[10:80].mean(axis=0) > 45)
    assert lines.tolist() == [x - 333 for x in range(336, 535, 7)]
    blue = last[300 - 207 + EDGE : 351 - 207 - EDGE, 400 - 333 + EDGE : 501 - 333 - EDGE].astype(int)
    assert np.abs(blue - BLUE).max() <= LEVELS
