"""Words as masks, set by FFmpeg: the demo's lettering without a library for fonts."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from capture.errors import NotReadyError
from demo.canvas import Mask

__all__ = ["Lettering", "set_in_type"]

FONTS: Final = Path("/usr/share/fonts")
REMEDY: Final = "apt-get install ffmpeg fonts-dejavu-core"

#: Of the size of the letters: the space above the line they stand on, and below it.
ABOVE: Final = 1.0
BELOW: Final = 0.35

#: Wider than any line of the demo, in the size of its letters.
WIDEST: Final = 32


@dataclass(frozen=True, slots=True)
class Lettering:
    """A line of text and its size in pixels."""

    text: str
    size: int
    bold: bool = False

    @property
    def above(self) -> int:
        """How far the top of the mask is above the line that the letters stand on, in pixels."""
        return round(self.size * ABOVE)


def set_in_type(letterings: Sequence[Lettering]) -> list[Mask]:
    """A mask for each, cut to the width of its letters; `NotReadyError` where FFmpeg or the font is missing."""
    tops = np.cumsum([0, *(_height(lettering) for lettering in letterings)]).tolist()
    width = max(lettering.size for lettering in letterings) * WIDEST
    with tempfile.TemporaryDirectory(prefix="capture-demo-") as folder:
        steps = ["format=gray"]
        for number, (lettering, top) in enumerate(zip(letterings, tops, strict=False)):
            text = Path(folder) / str(number)
            text.write_text(lettering.text, "utf-8")
            steps.append(
                f"drawtext=fontfile={_font(lettering)}:textfile={text}:expansion=none:fontsize={lettering.size}"
                f":fontcolor=white:x=0:y={top + lettering.above}-max_glyph_a"
            )
        sheet = _sheet(f"color=black:s={width}x{tops[-1]}:r=1,{','.join(steps)}")
    covered = np.frombuffer(sheet, np.uint8).reshape(tops[-1], width).astype(np.float32)
    covered = (covered - covered.min()) / max(float(np.ptp(covered)), 1.0)
    rows = [covered[top:bottom] for top, bottom in pairwise(tops)]
    return [row[:, : int(np.flatnonzero(row.any(axis=0)).max(initial=0)) + 1] for row in rows]


def _height(lettering: Lettering) -> int:
    return lettering.above + round(lettering.size * BELOW)


def _font(lettering: Lettering) -> Path:
    name = "DejaVuSans-Bold.ttf" if lettering.bold else "DejaVuSans.ttf"
    path = next(FONTS.rglob(name), None)
    if path is None:
        raise NotReadyError(f"the font {name} is not installed", REMEDY)
    return path


def _sheet(filters: str) -> bytes:
    argv = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", filters, "-frames:v", "1"]
    try:
        done = subprocess.run(
            [*argv, "-pix_fmt", "gray", "-f", "rawvideo", "-"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
        )
    except FileNotFoundError:
        raise NotReadyError("ffmpeg is not installed", REMEDY) from None
    except subprocess.CalledProcessError as error:
        raise NotReadyError(f"ffmpeg sets no type ({error.stderr.decode().strip()})", REMEDY) from error
    return done.stdout
