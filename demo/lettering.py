"""Renders text as masks with FFmpeg, so that the demo needs no font library."""

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
from capture.system.packages import how_to_install
from demo.canvas import Mask

__all__ = ["Lettering", "set_in_type"]

FONTS: Final = Path("/usr/share/fonts")
NEEDED: Final = ("ffmpeg", "DejaVu")

#: The height above the baseline and the depth below it, as multiples of the font size.
ABOVE: Final = 1.0
BELOW: Final = 0.35

#: More than the width of any line in the demo, as a multiple of the font size.
WIDEST: Final = 32


@dataclass(frozen=True, slots=True)
class Lettering:
    """A line of text and its font size in pixels."""

    text: str
    size: int
    bold: bool = False

    @property
    def above(self) -> int:
        """The height of the mask above the baseline, in pixels."""
        return round(self.size * ABOVE)


def set_in_type(letterings: Sequence[Lettering]) -> list[Mask]:
    """Return a mask for each lettering, cropped to the width of its letters.

    Raises `NotReadyError` when FFmpeg or the font is missing, or when FFmpeg fails.
    """
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
        raise NotReadyError(f"the font {name} is not installed", how_to_install(*NEEDED))
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
        raise NotReadyError("ffmpeg is not installed", how_to_install(*NEEDED)) from None
    except subprocess.CalledProcessError as error:
        raise NotReadyError(
            f"ffmpeg cannot draw text ({error.stderr.decode().strip()})", how_to_install(*NEEDED)
        ) from error
    return done.stdout
