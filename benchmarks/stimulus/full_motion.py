"""Changes the whole picture like a film, at 30 fps or any other rate, while a quiet voice plays.

Usage: python -m benchmarks.stimulus.full_motion [--seconds S] [--fps 30]

The picture is kept in the X server and shown by copying, so that the stimulus itself uses little CPU time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.stimulus import rate_parser
from benchmarks.stimulus.screen import FullScreen
from benchmarks.stimulus.voice import show_with_voice
from capture.media import Rectangle

#: Rows moved per frame; odd, so that no pattern in the picture repeats from one frame to the next.
_SPEED: Final = 11


def picture(width: int, height: int, seed: int = 1) -> npt.NDArray[np.uint8]:
    """Return smooth colours under a grain of 4×4 pixels, BGRX (height, width, 4); the rows wrap around."""
    down = np.arange(height)[:, None] / height
    across = np.arange(width)[None, :] / width
    waves = [np.sin(2 * np.pi * (3 * down + shift + (1 + shift) * across)) for shift in (0.0, 0.33, 0.67)]
    grain = np.random.default_rng(seed).integers(-24, 24, (-(-height // 4), -(-width // 4)))
    grain = np.kron(grain, np.ones((4, 4), int))[:height, :width]
    pixels = np.zeros((height, width, 4), np.uint8)
    for channel, wave in enumerate(waves):
        pixels[:, :, channel] = 128 + 90 * wave + grain
    return pixels


def main() -> None:
    options = rate_parser(__doc__).parse_args()
    with FullScreen() as screen:
        # Stack the picture twice, so that every start row has a whole screen below it.
        source = screen.pixmap(screen.width, 2 * screen.height)
        pixels = picture(screen.width, screen.height)
        screen.upload(source, np.vstack((pixels, pixels)))

        def draw(elapsed_s: float) -> None:
            row = round(elapsed_s * options.fps) * _SPEED % screen.height
            screen.copy(source, Rectangle(0, row, screen.width, screen.height), 0, 0)
            screen.settle()

        show_with_voice(draw, options.fps, options.seconds)


if __name__ == "__main__":
    main()
