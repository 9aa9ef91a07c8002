"""What the screen shows, as encoders take it: by parts as by wholes, and where a part differs from what it replaces."""

from __future__ import annotations

import numpy as np
import pytest
from av.video.reformatter import Colorspace

from capture.conversion import MOST_CHANGED, Converter
from capture.macroblocks import planes_of

WIDTH, HEIGHT = 330, 154
COLUMNS = 21

#: Left, top, width, height: at edges and corners, over all of it, on odd places and of one pixel.
PARTS = [
    *((0, 0, 1, 1), (WIDTH - 1, 0, 1, 1), (0, HEIGHT - 1, 1, 1), (WIDTH - 1, HEIGHT - 1, 1, 1)),
    *((0, 0, WIDTH, 1), (0, HEIGHT - 1, WIDTH, 1), (0, 0, 1, HEIGHT), (WIDTH - 1, 0, 1, HEIGHT)),
    *((31, 33, 1, 1), (32, 34, 2, 2), (15, 17, 33, 3), (1, 1, WIDTH - 2, HEIGHT - 2), (0, 0, WIDTH, HEIGHT)),
]


def converter(size: tuple[int, int] = (WIDTH, HEIGHT)) -> Converter:
    return Converter(WIDTH, HEIGHT, size, Colorspace.ITU709, in_place=True)


def parts(dice: np.random.Generator) -> list[tuple[int, int, int, int]]:
    lefts, tops = dice.integers(0, WIDTH, 60).tolist(), dice.integers(0, HEIGHT, 60).tolist()
    # Half of them small, as what is typed.
    random = [
        (
            left,
            top,
            int(dice.integers(1, (WIDTH if number % 2 else min(WIDTH, left + 20)) - left + 1)),
            int(dice.integers(1, (HEIGHT if number % 2 else min(HEIGHT, top + 20)) - top + 1)),
        )
        for number, (left, top) in enumerate(zip(lefts, tops, strict=True))
    ]
    return [*PARTS, *random]


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (WIDTH // 2 + 1, HEIGHT // 2 + 1)], ids=["as it is", "scaled"])
def test_a_part_that_changed_is_as_good_as_the_whole(size: tuple[int, int]) -> None:
    by_parts, by_wholes = converter(size), converter(size)
    dice = np.random.default_rng(5)
    picture = dice.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    by_parts.convert(picture.copy(), 0, 0)
    for left, top, width, height in parts(dice):
        part = dice.integers(0, 256, (height, width, 4), np.uint8)
        picture[top : top + height, left : left + width] = part
        found = planes_of(by_parts.convert(part, left, top))
        for plane, expected in zip(found, planes_of(by_wholes.convert(picture.copy(), 0, 0)), strict=True):
            assert np.array_equal(plane, expected), f"{width}x{height}+{left}+{top}"


def test_it_tells_where_a_part_differs_from_what_it_replaces() -> None:
    tried, dice = converter(), np.random.default_rng(6)
    picture = dice.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    before = [plane.copy() for plane in planes_of(tried.convert(picture.copy(), 0, 0))]
    assert tried.changed is None, "the first is all new"
    told = 0
    for number, (left, top, width, height) in enumerate(parts(dice)):
        # Every third differs in one place alone of what is given, and every fifth nowhere.
        part = picture[top : top + height, left : left + width].copy()
        if number % 3 == 0:
            part[height // 2, width // 2] ^= 255
        elif number % 5:
            part ^= 255
        picture[top : top + height, left : left + width] = part
        now = [plane.copy() for plane in planes_of(tried.convert(part, left, top))]
        differing = set()
        for plane, (one, other) in enumerate(zip(before, now, strict=True)):
            step = 8 if plane else 16
            rows, columns = np.nonzero(one != other)
            differing |= {row // step * COLUMNS + column // step for row, column in zip(rows, columns, strict=True)}
        if (width, height) == (WIDTH, HEIGHT) or len(differing) > MOST_CHANGED:
            assert tried.changed is None
        else:
            assert tried.changed == sorted(differing), f"{width}x{height}+{left}+{top}"
            told += 1
        before = now
    assert told > 40
