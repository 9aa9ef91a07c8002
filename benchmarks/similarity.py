"""Measures how similar two pictures look (SSIM)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from capture.media import Pixels

__all__ = ["luma", "similarity"]

Plane = npt.NDArray[np.float64]

#: Width and height of the windows in which similarity is measured, and their distance, in pixels.
_WINDOW: Final = 8
_STEP: Final = 4

#: These avoid a division by zero in flat windows: (0.01 × 255)² and (0.03 × 255)², as in the original paper (Wang et
#: al., 2004).
_C1, _C2 = 6.5025, 58.5225


def luma(pixels: Pixels) -> Plane:
    """Return the luma of BGRX pixels by BT.709, from 0 to 255."""
    blue, green, red = (pixels[..., channel].astype(np.float64) for channel in range(3))
    return 0.0722 * blue + 0.7152 * green + 0.2126 * red


def similarity(one: Plane, other: Plane) -> float:
    """Return the structural similarity (SSIM) of two planes of the same shape; 1 if they are equal."""
    mean_one, mean_other = _means(one), _means(other)
    spread_one = _means(one * one) - mean_one**2
    spread_other = _means(other * other) - mean_other**2
    together = _means(one * other) - mean_one * mean_other
    brightness = (2 * mean_one * mean_other + _C1) / (mean_one**2 + mean_other**2 + _C1)
    structure = (2 * together + _C2) / (spread_one + spread_other + _C2)
    return float((brightness * structure).mean())


def _means(plane: Plane) -> Plane:
    """Return the mean of each window."""
    sums = np.pad(plane, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    size = _WINDOW
    windows: Plane = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    return windows[::_STEP, ::_STEP] / size**2
