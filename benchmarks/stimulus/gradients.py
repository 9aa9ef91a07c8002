"""Moves gradients over the whole picture, with a square that jumps, while a quiet voice plays.

Usage: python -m benchmarks.stimulus.gradients [--seconds S] [--fps 30] [--grain LEVEL]

No part of a picture is found anywhere in the one before it. `--grain` adds noise that is new in each picture, as in a
film. The pictures are drawn beforehand and kept in the X server; they are shown forwards and backwards in turn.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.stimulus import rate_parser
from benchmarks.stimulus.screen import FullScreen
from benchmarks.stimulus.voice import show_with_voice
from capture.media import Rectangle

#: More take too much memory in the X server: each is 8 MB at 1080p.
_PICTURES: Final = 40

_SQUARE: Final = 200


def picture(width: int, height: int, number: int, grain: float = 0.0) -> npt.NDArray[np.uint8]:
    """Return picture `number`, BGRX (height, width, 4)."""
    chance = np.random.default_rng(number)
    down, across = np.arange(height)[:, None], np.arange(width)[None, :]
    phase = number / 30
    waves = (
        np.sin(down / 140 - 1.7 * phase) + 0 * across,
        np.sin((across + down) / 220 + 1.3 * phase),
        np.sin(across / 180 + 2.1 * phase) + 0 * down,
    )
    noise = chance.normal(0, grain, (height, width)) if grain else 0
    pixels = np.zeros((height, width, 4), np.uint8)
    for channel, wave in enumerate(waves):
        pixels[:, :, channel] = np.clip(127 + 110 * wave + noise, 0, 255)
    left, top = int(chance.integers(0, width - _SQUARE)), int(chance.integers(0, height - _SQUARE))
    pixels[top : top + _SQUARE, left : left + _SQUARE] = 255
    return pixels


def main() -> None:
    parser = rate_parser(__doc__)
    parser.add_argument("--grain", type=float, default=0.0, help="standard deviation of the noise (default: 0)")
    options = parser.parse_args()
    with FullScreen() as screen:
        pictures = [screen.pixmap(screen.width, screen.height) for _ in range(_PICTURES)]
        for number, pixmap in enumerate(pictures):
            screen.upload(pixmap, picture(screen.width, screen.height, number, options.grain))

        def draw(elapsed_s: float) -> None:
            place = round(elapsed_s * options.fps) % (2 * _PICTURES - 2)
            pixmap = pictures[min(place, 2 * _PICTURES - 2 - place)]
            screen.copy(pixmap, Rectangle(0, 0, screen.width, screen.height), 0, 0)
            screen.settle()

        show_with_voice(draw, options.fps, options.seconds)


if __name__ == "__main__":
    main()
