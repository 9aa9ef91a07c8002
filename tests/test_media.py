"""Tests of rectangles and levels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.media import LOUDEST, SILENCE_DBFS, Rectangle, bounded, peak_dbfs

small = st.builds(Rectangle, st.integers(-6, 6), st.integers(-6, 6), st.integers(1, 8), st.integers(1, 8))
empty = st.builds(Rectangle, st.integers(-6, 6), st.integers(-6, 6), st.sampled_from([0, 8]), st.just(0))


def pixels(rectangle: Rectangle) -> set[tuple[int, int]]:
    """Enumerate every pixel of `rectangle` as (x, y)."""
    columns = range(rectangle.left, rectangle.left + rectangle.width)
    rows = range(rectangle.top, rectangle.top + rectangle.height)
    return {(x, y) for x in columns for y in rows}


def test_right_and_bottom_are_exclusive() -> None:
    rectangle = Rectangle(-10, 5, 4, 2)
    assert (rectangle.right, rectangle.bottom) == (-6, 7)


@given(small, small)
def test_contains_and_intersects_agree_with_sets_of_pixels(one: Rectangle, other: Rectangle) -> None:
    assert one.contains(other) is (pixels(other) <= pixels(one))
    assert one.intersects(other) is bool(pixels(one) & pixels(other))


@given(small | empty, empty)
def test_an_empty_rectangle_intersects_nothing(one: Rectangle, other: Rectangle) -> None:
    assert not one.intersects(other)
    assert not other.intersects(one)
    assert other.intersection(one) is None


@given(small)
def test_made_even_drops_at_most_one_column_and_row(rectangle: Rectangle) -> None:
    even = rectangle.trimmed_to_even()
    assert (even.left, even.top) == (rectangle.left, rectangle.top)
    assert (even.width % 2, even.height % 2) == (0, 0)
    assert rectangle.width - even.width == rectangle.width % 2
    assert rectangle.height - even.height == rectangle.height % 2


@pytest.mark.parametrize(
    ("rectangle", "text"),
    [
        (Rectangle(0, 0, 640, 480), "640x480+0+0"),
        (Rectangle(100, 50, 2, 3), "2x3+100+50"),
        (Rectangle(-1280, -7, 640, 480), "640x480-1280-7"),
    ],
)
def test_a_rectangle_prints_the_way_users_type_it(rectangle: Rectangle, text: str) -> None:
    assert str(rectangle) == text


@pytest.mark.parametrize(
    ("peak", "dbfs"),
    [(1.0, 0.0), (0.1, -20.0), (0.5, -6.0206), (2.0, 6.0206), (1e-6, -120.0), (1e-9, -120.0), (0.0, -120.0)],
)
def test_peak_dbfs_of_known_peaks(peak: float, dbfs: float) -> None:
    assert peak_dbfs(peak) == pytest.approx(dbfs, abs=1e-4)


@given(st.floats(0, 4), st.floats(0, 4))
def test_a_higher_peak_has_a_higher_level(one: float, other: float) -> None:
    assert (one <= other) <= (peak_dbfs(one) <= peak_dbfs(other))
    assert math.isfinite(peak_dbfs(one))
    assert type(peak_dbfs(one)) is float


def test_one_16_bit_step_is_silence_and_eight_are_not() -> None:
    assert peak_dbfs(1 / 32_768) < SILENCE_DBFS < peak_dbfs(8 / 32_768)


@pytest.mark.parametrize(
    ("value", "kept", "replaced"),
    [
        (math.nan, 0.0, 1),
        (math.inf, 0.0, 1),
        (-math.inf, 0.0, 1),
        (1e30, LOUDEST, 1),
        (-1e30, -LOUDEST, 1),
        (LOUDEST, LOUDEST, 0),
        (-LOUDEST, -LOUDEST, 0),
        (1.5, 1.5, 0),
        (1e-40, 1e-40, 0),
    ],
)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("at", [0, 479, 959])
def test_a_sample_that_no_encoder_takes_is_replaced(
    value: float, kept: float, replaced: int, dtype: str, at: int
) -> None:
    samples = np.full((480, 2), 0.25, dtype)
    samples.flat[at] = value
    before = samples.copy()
    found, count = bounded(samples)
    expected = np.full((480, 2), 0.25, dtype)
    expected.flat[at] = kept
    assert (count, found.dtype, found.shape) == (replaced, samples.dtype, samples.shape)
    assert np.array_equal(found, expected)
    assert np.array_equal(samples, before, equal_nan=True)
    assert (found is samples) is (replaced == 0)


def test_a_signalling_nan_and_an_empty_block_are_no_trouble() -> None:
    bits = np.zeros((4, 2), np.uint32)
    bits[2, 1] = 0x7F800001
    assert bounded(bits.view(np.float32))[1] == 1
    empty = np.zeros((0, 2), np.float32)
    assert bounded(empty) == (empty, 0)
