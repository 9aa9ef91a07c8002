"""What a recorder cuts out of a picture that another thread keeps up to date."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from capture.media import Pixels, Rectangle

if sys.platform != "linux":
    pytest.skip("PipeWire needs Linux", allow_module_level=True)

from capture.sources.portal.buffer import Content
from capture.sources.portal.shared_picture import SharedPicture

BOUNDS = Rectangle(0, 0, 8, 4)
CORNER = Rectangle(0, 0, 2, 2)


def grey(level: int) -> Pixels:
    return np.full((4, 8, 4), level, np.uint8)


@pytest.mark.parametrize("part", [BOUNDS, CORNER])
def test_no_picture_is_cut_out_at_the_time_of_the_one_before(part: Rectangle) -> None:
    picture = SharedPicture()
    picture.update(Content(grey(1), None, None, None), is_rgb=False)
    picture.take()
    picture.update(Content(grey(2), None, None, None), is_rgb=False)
    assert picture.cut(part, BOUNDS) is None
    assert picture.take().changed == BOUNDS
    pixels = picture.cut(part, BOUNDS)
    assert pixels is not None
    assert (pixels == 2).all()
