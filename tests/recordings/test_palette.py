"""A GIF's colours: a few are kept as they are, many are close, and the transparent one stays free."""

from __future__ import annotations

import numpy as np
import pytest

from capture.recordings.palette import PaletteChooser, Rgb


def shown(pixels: Rgb) -> Rgb:
    """Return the pixels in the colours of a palette chosen for them."""
    chooser = PaletteChooser()
    chooser.add(pixels)
    palette = chooser.palette()
    painted = palette.painted(pixels)
    assert painted.max() < 255
    assert palette.argb[255].tolist() == [0, 0, 0, 0]
    assert (palette.argb[np.unique(painted), 0] == 255).all()
    made: Rgb = palette.argb[painted][..., 1:]
    return made


@pytest.mark.parametrize("count", [1, 2, 255])
def test_few_flat_colours_stay_exactly_as_they_are(count: int) -> None:
    random = np.random.default_rng(count)
    colours = random.permutation(np.stack(np.meshgrid(*[np.arange(5, 256, 25)] * 3), -1).reshape(-1, 3))[:count]
    pixels = np.repeat(np.repeat(colours.astype(np.uint8)[None], 16, axis=0), 16, axis=1)
    assert (shown(pixels) == pixels).all()


def test_black_text_on_white_stays_black_and_white() -> None:
    pixels = np.full((64, 64, 3), 255, np.uint8)
    pixels[::3, ::5] = 0
    assert (shown(pixels) == pixels).all()


def test_a_film_of_many_colours_stays_close() -> None:
    across, down = np.meshgrid(np.linspace(0, 255, 320), np.linspace(0, 255, 180))
    pixels = np.stack((across, down, (across + down) / 2), axis=-1).astype(np.uint8)
    made = shown(pixels).astype(int)
    assert np.sqrt(((made - pixels) ** 2).mean()) < 8
    # Dithering keeps the mean of any part.
    parts = [part.reshape(9, 20, 16, 20, 3).mean(axis=(1, 3)) for part in (made, pixels.astype(int))]
    assert np.abs(parts[0] - parts[1]).max() < 8
