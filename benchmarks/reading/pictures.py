"""Draws pictures that carry their number and known colours, and finds both in what a program shows.

It imports numpy alone, for the libraries' own interpreters.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["HEIGHT", "PATCHES", "WIDTH", "number_in", "picture", "worst_level"]

#: HD, where programs that ignore what a file says assume the matrix of BT.709.
WIDTH: Final = 1280
HEIGHT: Final = 720

_BITS: Final = 16
_CELL: Final = WIDTH // _BITS

#: The colours below the number, RGB.
PATCHES: Final = (
    *((255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 60, 60)),
    *((60, 180, 75), (50, 90, 200), (240, 200, 40), (120, 60, 160)),
)

Image = npt.NDArray[np.uint8]


def picture(number: int) -> Image:
    """Return a picture (height, width, 4), BGRA: white and black cells above, patches below."""
    made = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for bit in range(_BITS):
        made[: HEIGHT // 2, bit * _CELL : (bit + 1) * _CELL] = 255 * (number >> bit & 1)
    wide = WIDTH // len(PATCHES)
    for place, (red, green, blue) in enumerate(PATCHES):
        made[HEIGHT // 2 :, place * wide : (place + 1) * wide, :3] = (blue, green, red)
    return made


def number_in(image: npt.NDArray[Any]) -> int:
    """Return the number in a picture (height, width, 3), whatever its size."""
    height, width = image.shape[:2]
    row = image[height // 8 : height * 3 // 8].mean(axis=(0, 2))
    cells = row[(np.arange(_BITS) * width + width // 2) // _BITS] > 128
    return int(sum(1 << bit for bit in range(_BITS) if cells[bit]))


def worst_level(image: npt.NDArray[Any]) -> int:
    """Return by how many of 255 levels the worst patch of a picture (height, width, 3), RGB, is off."""
    height, width = image.shape[:2]
    found = [
        np.median(image[height * 5 // 8 : height * 7 // 8, x - 10 : x + 10].reshape(-1, 3), axis=0)
        for x in ((2 * place + 1) * width // (2 * len(PATCHES)) for place in range(len(PATCHES)))
    ]
    return int(np.abs(np.array(found) - np.array(PATCHES)).max())
