"""What the screen shows, as encoders take it: by parts as by wholes, and where a part differs from what it replaces."""

from __future__ import annotations

import numpy as np
import pytest

from capture.media import Pixels, Rectangle
from capture.pixels.converter import MOST_CHANGED, Converter
from capture.pixels.libyuv import Libyuv
from capture.pixels.macroblocks import planes_of
from capture.pixels.yuv import Swscale, ToYuv, yuv_converter

WIDTH, HEIGHT = 330, 154
COLUMNS = 21

#: Left, top, width, height: at edges and corners, over all of it, beside the edges of macroblocks, and of four pixels.
PARTS = [
    *((0, 0, 2, 2), (WIDTH - 2, 0, 2, 2), (0, HEIGHT - 2, 2, 2), (WIDTH - 2, HEIGHT - 2, 2, 2)),
    *((0, 0, WIDTH, 2), (0, HEIGHT - 2, WIDTH, 2), (0, 0, 2, HEIGHT), (WIDTH - 2, 0, 2, HEIGHT)),
    *((30, 34, 2, 2), (32, 34, 2, 2), (14, 18, 34, 4), (2, 2, WIDTH - 4, HEIGHT - 4), (0, 0, WIDTH, HEIGHT)),
]


WAYS: list[type[ToYuv]] = [Libyuv, Swscale]


def converter(way: type[ToYuv], size: tuple[int, int] = (WIDTH, HEIGHT), *, in_place: bool = True) -> Converter:
    return Converter(WIDTH, HEIGHT, size, way(), in_place=in_place)


def by_the_book(picture: Pixels) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Brightness and colours by the formula of BT.601, in limited range, not rounded."""
    blue, green, red = (picture[..., channel] / 255 for channel in range(3))
    bright = 0.299 * red + 0.587 * green + 0.114 * blue
    half_size = (HEIGHT // 2, 2, WIDTH // 2, 2)
    colours = [
        ((channel - bright) / (2 - 2 * share)).reshape(half_size).mean((1, 3))
        for channel, share in ((blue, 0.114), (red, 0.299))
    ]
    return [16 + 219 * bright, *(128 + 224 * colour for colour in colours)]


@pytest.mark.parametrize(
    ("way", "most", "most_on_average"),
    [(Swscale, (0.6, 1.1, 1.1), 0.1), (Libyuv, (0.8, 1.9, 1.9), 0.6)],
    ids=["exact", "fast"],
)
def test_colours_are_by_the_formula(way: type[ToYuv], most: tuple[float, float, float], most_on_average: float) -> None:
    dice = np.random.default_rng(7)
    picture = dice.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    found = planes_of(converter(way).convert(picture, 0, 0))
    for plane, expected, far in zip(found, by_the_book(picture), most, strict=True):
        off = plane - expected
        assert np.abs(off).max() < far
        assert abs(off.mean()) < most_on_average


def test_what_need_not_be_exact_is_fast_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(yuv_converter(exact=True), Swscale)
    assert isinstance(yuv_converter(exact=False), Libyuv)
    monkeypatch.setattr("capture.pixels.libyuv._LIBRARIES", ("libyuv.so.nowhere",))
    assert isinstance(yuv_converter(exact=False), Swscale)


@pytest.mark.parametrize("way", WAYS)
def test_greys_have_no_colour(way: type[ToYuv]) -> None:
    greys = np.repeat(np.arange(HEIGHT, dtype=np.uint8)[:, None], WIDTH, axis=1)
    _, *colours = planes_of(converter(way).convert(np.repeat(greys[..., None], 4, axis=2), 0, 0))
    for colour in colours:
        assert np.array_equal(colour, np.full_like(colour, 128))


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_written_beside_a_part(way: type[ToYuv]) -> None:
    picture = np.random.default_rng(8).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    guarded = [np.full((HEIGHT // size, WIDTH // size), 7, np.uint8) for size in (1, 2, 2)]
    inside = [
        plane[20 // size : 60 // size, 30 // size : 64 // size] for plane, size in zip(guarded, (1, 2, 2), strict=True)
    ]
    way().convert(picture, Rectangle(30, 20, 34, 40), inside)
    for part in inside:
        part[...] = 7
    for plane in guarded:
        assert np.array_equal(plane, np.full_like(plane, 7))


@pytest.mark.parametrize("way", WAYS)
def test_a_picture_that_an_encoder_keeps_stays_as_it_is(way: type[ToYuv]) -> None:
    tried = converter(way, in_place=False)
    first = tried.convert(np.full((HEIGHT, WIDTH, 4), 200, np.uint8), 0, 0)
    second = tried.convert(np.zeros((10, 10, 4), np.uint8), 4, 4)
    assert planes_of(first)[0][5, 5] == planes_of(second)[0][50, 50] > planes_of(second)[0][5, 5] == 16


def parts(dice: np.random.Generator) -> list[tuple[int, int, int, int]]:
    # Half of them small, as what is typed.
    return [*PARTS, *(part(dice, 20 if number % 2 else max(WIDTH, HEIGHT)) for number in range(60))]


def part(dice: np.random.Generator, most: int) -> tuple[int, int, int, int]:
    left, top = (2 * int(dice.integers(0, size // 2)) for size in (WIDTH, HEIGHT))
    width, height = (
        2 * int(dice.integers(1, min(most, left_over) // 2 + 1)) for left_over in (WIDTH - left, HEIGHT - top)
    )
    return left, top, width, height


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (WIDTH // 2 + 1, HEIGHT // 2 + 1)], ids=["as it is", "scaled"])
def test_a_part_that_changed_is_as_good_as_the_whole(way: type[ToYuv], size: tuple[int, int]) -> None:
    by_parts, by_wholes = converter(way, size), converter(way, size)
    dice = np.random.default_rng(5)
    picture = dice.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    by_parts.convert(picture.copy(), 0, 0)
    for left, top, width, height in parts(dice):
        part = dice.integers(0, 256, (height, width, 4), np.uint8)
        picture[top : top + height, left : left + width] = part
        found = planes_of(by_parts.convert(part, left, top))
        for plane, expected in zip(found, planes_of(by_wholes.convert(picture.copy(), 0, 0)), strict=True):
            assert np.array_equal(plane, expected), f"{width}x{height}+{left}+{top}"


@pytest.mark.parametrize("place", [(1, 0, 2, 2), (0, 1, 2, 2), (0, 0, 1, 2), (0, 0, 2, 1)], ids=str)
def test_a_part_of_a_pair_of_pixels_is_refused(place: tuple[int, int, int, int]) -> None:
    left, top, width, height = place
    tried = converter(Libyuv)
    tried.convert(np.zeros((HEIGHT, WIDTH, 4), np.uint8), 0, 0)
    with pytest.raises(ValueError, match="is no part of a picture"):
        tried.convert(np.zeros((height, width, 4), np.uint8), left, top)


@pytest.mark.parametrize("way", WAYS)
def test_it_tells_where_a_part_differs_from_what_it_replaces(way: type[ToYuv]) -> None:
    tried, dice = converter(way), np.random.default_rng(6)
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
