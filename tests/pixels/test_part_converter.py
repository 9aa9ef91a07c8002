"""Converting parts gives the same picture as converting the whole, and reports which macroblocks changed."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import av
import numpy as np
import pytest

from capture.media import Pixels, Rectangle
from capture.pixels.frame_pool import FramePool
from capture.pixels.libyuv import Libyuv
from capture.pixels.macroblocks import planes_of
from capture.pixels.part_converter import PartConverter, PixelPart
from capture.pixels.picture import MOST_CHANGED, YuvPicture
from capture.pixels.yuv import Swscale, ToYuv, yuv_converter
from capture.pixels.yuv_part import YuvPart

WIDTH, HEIGHT = 330, 154
COLUMNS = 21

#: Left, top, width, height: at edges and corners, the whole picture, around macroblock edges, and single 2 × 2 blocks.
PARTS = [
    *((0, 0, 2, 2), (WIDTH - 2, 0, 2, 2), (0, HEIGHT - 2, 2, 2), (WIDTH - 2, HEIGHT - 2, 2, 2)),
    *((0, 0, WIDTH, 2), (0, HEIGHT - 2, WIDTH, 2), (0, 0, 2, HEIGHT), (WIDTH - 2, 0, 2, HEIGHT)),
    *((30, 34, 2, 2), (32, 34, 2, 2), (14, 18, 34, 4), (2, 2, WIDTH - 4, HEIGHT - 4), (0, 0, WIDTH, HEIGHT)),
]


CONVERTERS: list[type[ToYuv]] = [Libyuv, Swscale]


class Converter:
    """Both steps of a conversion, as an encoder has them."""

    def __init__(self, to_yuv: type[ToYuv], size: tuple[int, int] = (WIDTH, HEIGHT), *, in_place: bool = True) -> None:
        pool = FramePool(*size, keeps=in_place and size == (WIDTH, HEIGHT))
        self.picture = YuvPicture(*size, pool, in_place=in_place)
        self.parts = PartConverter(WIDTH, HEIGHT, size, to_yuv(), pool, self.picture)

    def convert(self, pixels: Pixels, left: int, top: int) -> av.VideoFrame:
        return self.picture.put(self.parts.convert(pixels, left, top, in_place=True))


def reference_planes(picture: Pixels) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    """Return luma and chroma by the formula of BT.601, limited range, not rounded."""
    blue, green, red = (picture[..., channel] / 255 for channel in range(3))
    bright = 0.299 * red + 0.587 * green + 0.114 * blue
    half_size = (HEIGHT // 2, 2, WIDTH // 2, 2)
    colours = [
        ((channel - bright) / (2 - 2 * share)).reshape(half_size).mean((1, 3))
        for channel, share in ((blue, 0.114), (red, 0.299))
    ]
    return [16 + 219 * bright, *(128 + 224 * colour for colour in colours)]


@pytest.mark.parametrize(
    ("to_yuv", "most", "most_on_average"),
    [(Swscale, (0.6, 1.1, 1.1), 0.1), (Libyuv, (0.8, 1.9, 1.9), 0.6)],
    ids=["exact", "fast"],
)
def test_colours_follow_the_formula(
    to_yuv: type[ToYuv], most: tuple[float, float, float], most_on_average: float
) -> None:
    dice = np.random.default_rng(7)
    picture = dice.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    found = planes_of(Converter(to_yuv).convert(picture, 0, 0))
    for plane, expected, limit in zip(found, reference_planes(picture), most, strict=True):
        error = plane - expected
        assert np.abs(error).max() < limit
        assert abs(error.mean()) < most_on_average


def test_the_fast_converter_is_chosen_if_available_and_exactness_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(yuv_converter(exact=True), Swscale)
    assert isinstance(yuv_converter(exact=False), Libyuv)
    monkeypatch.setattr("capture.pixels.libyuv._LIBRARIES", ("libyuv.so.nowhere",))
    assert isinstance(yuv_converter(exact=False), Swscale)


@pytest.mark.parametrize("to_yuv", CONVERTERS)
def test_greys_stay_neutral(to_yuv: type[ToYuv]) -> None:
    greys = np.repeat(np.arange(HEIGHT, dtype=np.uint8)[:, None], WIDTH, axis=1)
    _, *colours = planes_of(Converter(to_yuv).convert(np.repeat(greys[..., None], 4, axis=2), 0, 0))
    for colour in colours:
        assert np.array_equal(colour, np.full_like(colour, 128))


@pytest.mark.parametrize("to_yuv", CONVERTERS)
def test_nothing_is_written_outside_a_part(to_yuv: type[ToYuv]) -> None:
    picture = np.random.default_rng(8).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    guarded = [np.full((HEIGHT // size, WIDTH // size), 7, np.uint8) for size in (1, 2, 2)]
    inside = [
        plane[20 // size : 60 // size, 30 // size : 64 // size] for plane, size in zip(guarded, (1, 2, 2), strict=True)
    ]
    to_yuv().convert(picture, Rectangle(30, 20, 34, 40), inside)
    for part in inside:
        part[...] = 7
    for plane in guarded:
        assert np.array_equal(plane, np.full_like(plane, 7))


@pytest.mark.parametrize("to_yuv", CONVERTERS)
@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "kept"])
def test_parts_that_wait_give_the_same_as_parts_that_do_not(
    to_yuv: type[ToYuv], in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Parts of this picture are large from here on.
    monkeypatch.setattr("capture.pixels.part_converter.LARGEST_COMPARED", 4_000)
    monkeypatch.setattr("capture.pixels.picture.LARGEST_COMPARED", 4_000)
    dice = np.random.default_rng(9)
    tried, by_wholes = Converter(to_yuv, in_place=in_place), Converter(to_yuv)
    picture = dice.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    for number in range(30):
        waiting, expected = [], []
        for turn in range(number % 5 + 1):
            # Whole pictures too, and parts of them so large that they lie in one.
            place = (0, 0, WIDTH, HEIGHT) if turn == number % 3 else part(dice, max(WIDTH, HEIGHT))
            left, top, width, height = place
            pixels = dice.integers(0, 256, (height, width, 4), np.uint8)
            picture[top : top + height, left : left + width] = pixels
            source = picture if number == turn == 0 else pixels
            at = (0, 0) if source is picture else (left, top)
            waiting.append(tried.parts.convert(source.copy(), *at, in_place=turn == 0))
            expected.append([plane.copy() for plane in planes_of(by_wholes.convert(picture.copy(), 0, 0))])
        for found, planes in zip(map(tried.picture.put, waiting), expected, strict=True):
            for plane, other in zip(planes_of(found), planes, strict=True):
                assert np.array_equal(plane, other)


def test_pictures_are_used_again_and_only_once_they_are_given_back() -> None:
    pool = FramePool(WIDTH, HEIGHT, keeps=True)
    first, second, third = (pool.take() for _ in range(3))
    assert len({id(frame) for frame in (first, second, third)}) == 3
    for frame in (first, second, third):
        pool.give_back(frame)
    assert {id(pool.take()), id(pool.take())} == {id(second), id(third)}
    pool.give_back(third)
    pool.clear()
    assert pool.take() is not third


def test_an_encoder_that_needs_its_pictures_keeps_them() -> None:
    pool = FramePool(WIDTH, HEIGHT, keeps=False)
    frame = pool.take()
    pool.give_back(frame)
    assert pool.take() is not frame


@pytest.mark.parametrize("to_yuv", CONVERTERS)
def test_a_picture_kept_by_an_encoder_does_not_change(to_yuv: type[ToYuv]) -> None:
    tried = Converter(to_yuv, in_place=False)
    first = tried.convert(np.full((HEIGHT, WIDTH, 4), 200, np.uint8), 0, 0)
    second = tried.convert(np.zeros((10, 10, 4), np.uint8), 4, 4)
    assert planes_of(first)[0][5, 5] == planes_of(second)[0][50, 50] > planes_of(second)[0][5, 5] == 16


def parts(dice: np.random.Generator) -> list[tuple[int, int, int, int]]:
    # Half of them are small, as typing makes them.
    return [*PARTS, *(part(dice, 20 if number % 2 else max(WIDTH, HEIGHT)) for number in range(60))]


def part(dice: np.random.Generator, most: int) -> tuple[int, int, int, int]:
    left, top = (2 * int(dice.integers(0, size // 2)) for size in (WIDTH, HEIGHT))
    width, height = (
        2 * int(dice.integers(1, min(most, left_over) // 2 + 1)) for left_over in (WIDTH - left, HEIGHT - top)
    )
    return left, top, width, height


@pytest.mark.parametrize("to_yuv", CONVERTERS)
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (WIDTH // 2 + 1, HEIGHT // 2 + 1)], ids=["unscaled", "scaled"])
def test_converting_parts_gives_the_same_as_converting_the_whole(to_yuv: type[ToYuv], size: tuple[int, int]) -> None:
    by_parts, by_wholes = Converter(to_yuv, size), Converter(to_yuv, size)
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
def test_a_part_with_odd_edges_is_refused(place: tuple[int, int, int, int]) -> None:
    left, top, width, height = place
    tried = Converter(Libyuv)
    tried.convert(np.zeros((HEIGHT, WIDTH, 4), np.uint8), 0, 0)
    with pytest.raises(ValueError, match="needs an even position and size"):
        tried.convert(np.zeros((height, width, 4), np.uint8), left, top)


@pytest.mark.parametrize("to_yuv", CONVERTERS)
def test_changed_lists_the_macroblocks_that_differ(to_yuv: type[ToYuv]) -> None:
    tried, dice = Converter(to_yuv), np.random.default_rng(6)
    picture = dice.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    before = [plane.copy() for plane in planes_of(tried.convert(picture.copy(), 0, 0))]
    assert tried.picture.changed is None, "the first picture is all new"
    reported = 0
    for number, (left, top, width, height) in enumerate(parts(dice)):
        # Every third part differs in one pixel only, and every fifth nowhere.
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
            assert tried.picture.changed is None
        else:
            assert tried.picture.changed == sorted(differing), f"{width}x{height}+{left}+{top}"
            reported += 1
        before = now
    assert reported > 40


class InStrips:
    """A part of a picture that is read in strips of two and four rows, and then may turn out to be torn."""

    def __init__(self, pixels: Pixels, *, belong_together: bool = True) -> None:
        self.height, self.width = pixels.shape[:2]
        self._pixels = pixels
        self._belong_together = belong_together

    def read(self, put: Callable[[Pixels, int], None]) -> bool:
        row = 0
        while row < self.height:
            strip = self._pixels[row : row + 2 + row % 4].copy()
            put(strip, row)
            row += len(strip)
            strip[...] = 0
        return self._belong_together


@pytest.mark.parametrize("to_yuv", CONVERTERS)
@pytest.mark.parametrize("in_place", [True, False], ids=["in place", "waiting"])
@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (WIDTH // 2 + 1, HEIGHT // 2 + 1)], ids=["unscaled", "scaled"])
def test_strips_give_the_same_as_a_part_in_one_go(to_yuv: type[ToYuv], in_place: bool, size: tuple[int, int]) -> None:
    dice = np.random.default_rng(10)
    tried, by_wholes = Converter(to_yuv, size), Converter(to_yuv, size)
    picture = dice.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    for number, (left, top, width, height) in enumerate([(0, 0, WIDTH, HEIGHT), *parts(dice)]):
        pixels = dice.integers(0, 256, (height, width, 4), np.uint8)
        picture[top : top + height, left : left + width] = pixels
        if number % 3 == 0:
            torn = InStrips(pixels ^ np.uint8(255), belong_together=False)
            assert tried.parts.convert_strips(torn, left, top, in_place=in_place) is None
        part = tried.parts.convert_strips(InStrips(pixels), left, top, in_place=in_place)
        assert part is not None
        found = planes_of(tried.picture.put(part))
        for plane, expected in zip(found, planes_of(by_wholes.convert(picture.copy(), 0, 0)), strict=True):
            assert np.array_equal(plane, expected), f"{width}x{height}+{left}+{top}"


def test_the_thread_that_waits_for_a_part_converts_it() -> None:
    picture = np.random.default_rng(11).integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
    tried, exact = Converter(Libyuv), Converter(Swscale)
    alive = weakref.ref(picture)
    part = tried.parts.grabbed(picture, 0, 0, is_awaited=True)
    assert isinstance(part, PixelPart)
    expected = planes_of(Converter(Libyuv).convert(picture, 0, 0))
    # An exact converter keeps the picture, which the next part goes into.
    assert isinstance(exact.parts.grabbed(picture.copy(), 0, 0, is_awaited=True), YuvPart)
    assert isinstance(tried.parts.grabbed(picture, 0, 0, is_awaited=False), YuvPart)
    del picture
    found = planes_of(tried.picture.put(part.converted()))
    assert alive() is None, "its source has the memory back, although the part is still there"
    for plane, other in zip(found, expected, strict=True):
        assert np.array_equal(plane, other)
