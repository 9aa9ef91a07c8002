"""Each macroblock is found to be what it is: the same, moved, or new."""

from __future__ import annotations

import numpy as np
import pytest

from capture.media import Pixels, Rectangle
from capture.pixels.change import FARTHEST_MOVED, MOVED, NEW, SAME, Change, change_of
from capture.pixels.macroblocks import Planes, cut
from capture.pixels.yuv_part import YuvPart

#: Not multiples of a macroblock.
WIDTH, HEIGHT = 410, 266
SIDES = (16, 8, 8)

_Picture = list[Pixels]


def noise(seed: int, *, coloured: bool = True) -> _Picture:
    """Return a picture in which nothing is found twice."""
    dice = np.random.default_rng(seed)
    luma = dice.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    shape = (HEIGHT // 2, WIDTH // 2)
    chroma = [dice.integers(0, 256, shape, np.uint8) if coloured else np.full(shape, 128, np.uint8) for _ in range(2)]
    return [luma, *chroma]


def copied(picture: Planes) -> _Picture:
    return [plane.copy() for plane in picture]


def part_of(picture: Planes, place: Rectangle) -> YuvPart:
    return YuvPart([np.ascontiguousarray(plane) for plane in cut(picture, place)], place, None)


def whole_kinds(change: Change) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    kinds = np.full((-(-HEIGHT // 16), -(-WIDTH // 16)), SAME, np.uint8)
    rows, columns = change.kinds.shape
    kinds[change.row : change.row + rows, change.column : change.column + columns] = change.kinds
    return kinds


def blocks(plane: Pixels, side: int, row: int, column: int) -> Pixels:
    return plane[row * side : (row + 1) * side, column * side : (column + 1) * side]


def moved_block(plane: Pixels, side: int, row: int, column: int, change: Change) -> Pixels | None:
    """Return what a decoder makes of a moved macroblock by an even displacement; None if that is outside."""
    scale = 16 // side
    top, left = row * side + change.down // scale, column * side + change.across // scale
    height, width = blocks(plane, side, row, column).shape
    found = plane[max(0, top) : top + height, max(0, left) : left + width]
    return found if found.shape == (height, width) and top >= 0 and left >= 0 else None


def places(dice: np.random.Generator, count: int) -> list[Rectangle]:
    """Return the whole picture, its edges, and random parts of it."""
    found = [Rectangle(0, 0, WIDTH, HEIGHT), Rectangle(WIDTH - 2, 0, 2, HEIGHT), Rectangle(0, HEIGHT - 2, WIDTH, 2)]
    for _ in range(count):
        left, top = 2 * int(dice.integers(0, WIDTH // 2)), 2 * int(dice.integers(0, HEIGHT // 2))
        width, height = (2 * int(dice.integers(1, (most - at) // 2 + 1)) for at, most in ((left, WIDTH), (top, HEIGHT)))
        found.append(Rectangle(left, top, width, height))
    return found


def test_what_differs_is_new_and_nothing_else() -> None:
    dice = np.random.default_rng(6)
    before = noise(1)
    for number, place in enumerate(places(dice, 60)):
        now = copied(before)
        # Every third part differs in one pixel of one plane only, every fifth nowhere, and the rest everywhere.
        planes = cut(now, place)
        if number % 3 == 0:
            plane = planes[number % 9 // 3]
            plane[plane.shape[0] // 2, plane.shape[1] // 2] ^= 255
        elif number % 5:
            for plane in planes:
                plane ^= 255
        change = change_of(before, part_of(now, place))
        kinds = whole_kinds(change)
        assert change.count(MOVED) == 0
        for row, column in np.ndindex(kinds.shape):
            pairs = zip(before, now, SIDES, strict=True)
            same = all(np.array_equal(blocks(a, s, row, column), blocks(b, s, row, column)) for a, b, s in pairs)
            assert kinds[row, column] == (SAME if same else NEW), f"{place}, {row}, {column}"
        before = now


def scene_part(scene: Planes, left: int, top: int) -> _Picture:
    """Return the picture that shows a scene from an even place on."""
    place = Rectangle(left, top, WIDTH, HEIGHT)
    return copied(cut(scene, place))


@pytest.mark.parametrize("down", [2, -2, 16, -34, 100, -120])
@pytest.mark.parametrize("across", [0, 8, -22, FARTHEST_MOVED[0]])
def test_what_moved_is_found_wherever_it_comes_from(across: int, down: int) -> None:
    dice = np.random.default_rng(2)
    scene = [dice.integers(0, 256, ((HEIGHT + 240) // scale, (WIDTH + 128) // scale), np.uint8) for scale in (1, 2, 2)]
    before, moved_scene = scene_part(scene, 64, 120), scene_part(scene, 64 + across, 120 + down)
    # Around what moved, all is new, and around the part, the same.
    place, window = Rectangle(20, 10, 380, 250), Rectangle(40, 30, 340, 220)
    shown = copied(before)
    for plane, new in zip(cut(shown, place), cut(noise(3), place), strict=True):
        plane[...] = new
    for plane, new in zip(cut(shown, window), cut(moved_scene, window), strict=True):
        plane[...] = new
    change = change_of(before, part_of(shown, place))
    assert (change.across, change.down) == (across, down)
    kinds, moved = whole_kinds(change), 0
    for row, column in np.ndindex(kinds.shape):
        sources = [moved_block(old, side, row, column, change) for old, side in zip(before, SIDES, strict=True)]
        is_equal = all(
            source is not None and np.array_equal(source, blocks(new, side, row, column))
            for source, new, side in zip(sources, shown, SIDES, strict=True)
        )
        if kinds[row, column] == MOVED:
            assert is_equal, f"{row}, {column}"
            moved += 1
        elif is_equal and kinds[row, column] == NEW:
            inside = Rectangle(column * 16, row * 16, 16, 16)
            assert inside.left < place.left or inside.top < place.top or inside.right > place.right, f"{row}, {column}"
    # The farther, the more comes from outside of the picture.
    assert moved > 50


@pytest.mark.parametrize("odd", [(1, 0), (0, -3), (5, 7)], ids=str)
def test_colours_that_move_by_half_a_sample_may_differ_a_little(odd: tuple[int, int]) -> None:
    across, down = odd
    # Colours that change slowly: the mean of two is nearly what the screen shows.
    rows, columns = np.indices((HEIGHT + 20, WIDTH + 20))
    scene = (rows // 2 + columns // 3).astype(np.uint8)
    luma = np.random.default_rng(4).integers(0, 256, scene.shape, np.uint8)

    def seen(left: int, top: int) -> _Picture:
        colours = scene[top : top + HEIGHT, left : left + WIDTH].astype(np.uint16)
        halved = (colours[::2, ::2] + colours[1::2, ::2] + colours[::2, 1::2] + colours[1::2, 1::2] + 2) // 4
        chroma = halved.astype(np.uint8)
        return [luma[top : top + HEIGHT, left : left + WIDTH].copy(), chroma, 255 - chroma]

    part = part_of(seen(10 + across, 10 + down), Rectangle(0, 0, WIDTH, HEIGHT))
    change = change_of(seen(10, 10), part, tolerance=2)
    assert (change.across, change.down) == odd
    assert change.count(MOVED) > 300
    assert change_of(seen(10, 10), part).count(MOVED) < 100


def test_grey_moves_exactly_by_odd_numbers_too() -> None:
    before = noise(5, coloured=False)
    now = [np.roll(before[0], (-7, -5), axis=(0, 1)), *copied(before[1:])]
    change = change_of(before, part_of(now, Rectangle(0, 0, WIDTH, HEIGHT)))
    assert (change.across, change.down) == (5, 7)
    assert change.count(MOVED) > 300


def test_what_moved_too_far_is_new() -> None:
    before = noise(7)
    now = [
        np.roll(plane, -(FARTHEST_MOVED[0] + 2) // (16 // side), axis=1)
        for plane, side in zip(before, SIDES, strict=True)
    ]
    change = change_of(before, part_of(now, Rectangle(0, 0, WIDTH, HEIGHT)))
    assert change.count(NEW) == change.kinds.size


def test_a_plain_picture_and_a_narrow_part_do_not_move() -> None:
    before = [np.full((HEIGHT // scale, WIDTH // scale), 90, np.uint8) for scale in (1, 2, 2)]
    now = [plane + 1 for plane in before]
    assert change_of(before, part_of(now, Rectangle(0, 0, WIDTH, HEIGHT))).count(MOVED) == 0
    assert change_of(before, part_of(now, Rectangle(0, 0, 32, HEIGHT))).count(MOVED) == 0
