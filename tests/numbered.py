"""Pictures that carry their number, and what a program shows of them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import av
import numpy as np

from capture.media import Pixels

WIDTH: Final = 256
HEIGHT: Final = 64
_BITS: Final = 16
_CELL: Final = WIDTH // _BITS


def numbered(number: int) -> Pixels:
    """Return a picture that shows `number` in white and black cells."""
    picture = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for bit in range(_BITS):
        picture[:, bit * _CELL : (bit + 1) * _CELL] = 255 * (number >> bit & 1)
    return picture


def number_of(luma: np.ndarray[Any, Any]) -> int:
    """Return the number in a picture's luma, shape (height, width)."""
    middles = luma[HEIGHT // 4 : -HEIGHT // 4, _CELL // 2 :: _CELL].mean(axis=0) > 128
    return int(sum(1 << bit for bit in range(_BITS) if middles[bit]))


def shown_from_s(path: Path) -> dict[int, float]:
    """Return the moment at which each number is first shown."""
    found: dict[int, float] = {}
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            assert frame.time is not None
            found.setdefault(number_of(frame.to_ndarray(format="gray")), frame.time)
    return found


def converted(path: Path, ffmpeg: str = "ffmpeg") -> Path:
    """Convert a file with FFmpeg, without any option."""
    made = path.with_stem(path.stem + "-converted")
    subprocess.run(
        [ffmpeg, "-v", "error", "-y", "-i", str(path), str(made)], check=True, stdin=subprocess.DEVNULL, timeout=60
    )
    return made


def latest_s(shown_s: dict[int, float], drawn_s: Iterable[tuple[int, float]]) -> float:
    """Return by how much the latest or earliest of the pictures is off; infinity if one is missing."""
    return max(abs(shown_s.get(number, float("inf")) - at_s) for number, at_s in drawn_s)
