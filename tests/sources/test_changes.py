"""What differs between two pictures is found, to the pixel where it is small."""

from __future__ import annotations

import random

import numpy as np
import pytest

from capture.media import Pixels, Rectangle
from capture.sources.changes import changed_part


def padded(picture: Pixels, padding: int) -> Pixels:
    """Return the picture in rows that are longer than it, with noise between them."""
    height, width = picture.shape[:2]
    whole = np.random.default_rng(padding).integers(0, 255, (height, width + padding, 4), np.uint8)
    whole[:, :width] = picture
    return whole[:, :width]


@pytest.mark.parametrize(("width", "height"), [(64, 48), (33, 17), (1, 1), (7, 100)])
@pytest.mark.parametrize("padding", [0, 3])
def test_the_box_holds_all_that_differs(width: int, height: int, padding: int) -> None:
    chance = random.Random(width * height + padding)
    before = np.random.default_rng(1).integers(0, 255, (height, width, 4), np.uint8)
    assert changed_part(before, padded(before, padding)) is None
    for _ in range(40):
        left, top = chance.randrange(width), chance.randrange(height)
        right, bottom = chance.randint(left + 1, width), chance.randint(top + 1, height)
        now = before.copy()
        now[top:bottom, left:right, chance.randrange(4)] ^= 1
        exact = Rectangle(left, top, right - left, bottom - top)
        found = changed_part(before, padded(now, padding))
        assert found is not None
        assert found.contains(exact)
        assert Rectangle(0, 0, width, height).contains(found)
        if exact.height + 2 * 16 < height / 2:
            assert found == exact
