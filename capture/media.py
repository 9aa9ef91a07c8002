"""What flows through the pipeline: frames, samples, and the rectangles they come from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "SAMPLE_RATE",
    "SILENCE_DBFS",
    "VIDEO_TICKS_PER_S",
    "Frame",
    "Pixels",
    "Rectangle",
    "SampleArray",
    "Samples",
    "in_seconds",
    "peak_dbfs",
]

#: Samples per second inside the pipeline: what Opus codes natively and what sound servers mix at or convert to.
SAMPLE_RATE: Final = 48_000

#: Quieter than this is silence: below the dither of 16-bit sound (-96 dBFS), above the rounding of lossy decoders.
SILENCE_DBFS: Final = -90.0

#: uint8, shape (height, width, 4), blue-green-red-unused.
Pixels: TypeAlias = npt.NDArray[np.uint8]

#: float32, shape (count, channels), full scale at ±1.
SampleArray: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of the desktop in physical pixels; `left` and `top` are negative on screens left of or above the first."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    def contains(self, other: Rectangle) -> bool:
        """Whether every pixel of `other` lies in this rectangle."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )

    def intersects(self, other: Rectangle) -> bool:
        """Whether the two share a pixel; what has no area shares none."""
        return self.clipped(other) is not None

    def clipped(self, bounds: Rectangle) -> Rectangle | None:
        """What of this rectangle lies in `bounds`; None where the two share nothing."""
        if bounds.contains(self) and self.width > 0 and self.height > 0:
            return self
        left, top = max(self.left, bounds.left), max(self.top, bounds.top)
        width, height = min(self.right, bounds.right) - left, min(self.bottom, bounds.bottom) - top
        return Rectangle(left, top, width, height) if width > 0 and height > 0 else None

    def joined(self, other: Rectangle | None) -> Rectangle:
        """The smallest rectangle around both."""
        if other is None:
            return self
        left, top = min(self.left, other.left), min(self.top, other.top)
        return Rectangle(left, top, max(self.right, other.right) - left, max(self.bottom, other.bottom) - top)

    def made_even(self) -> Rectangle:
        """This rectangle less its last column or row where that count is odd: 4:2:0 colour needs pairs."""
        return Rectangle(self.left, self.top, self.width & ~1, self.height & ~1)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}{self.left:+d}{self.top:+d}"


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture and the moment it was on the screen, in seconds on the session's clock.

    `pixels` may be the changed part alone, at column `left` and row `top`, all even: around it the picture is as it was
    in the frame before.
    """

    pixels: Pixels
    captured_at_s: float
    left: int = 0
    top: int = 0


@dataclass(frozen=True, slots=True)
class Samples:
    """A run of sound and the moment its *first* sample was heard, in seconds on the session's clock.

    A source that hears several things at once numbers them, from 0, as lanes; the blocks of one lane follow each other.
    A block without samples says that the lane breaks here: what follows in it begins where its stamp says, and what is
    left out before it is not missing.
    """

    data: SampleArray
    captured_at_s: float
    lane: int = 0

    @property
    def ends_at_s(self) -> float:
        """When the sound after the last sample was heard."""
        return self.captured_at_s + len(self.data) / SAMPLE_RATE


def peak_dbfs(peak: float) -> float:
    """The level of an absolute sample value in decibels below full scale; silence is -120."""
    return max(-120.0, 20.0 * math.log10(max(peak, 1e-6)))


def in_seconds(units: int | None, time_base: Fraction | None) -> float:
    """`units` of `time_base`, 0 where either is not known. Not as fractions, which take ten times as long."""
    return 0.0 if time_base is None else (units or 0) * time_base.numerator / time_base.denominator


#: The time base of video: divides evenly into 24, 25, 30, 50 and 60 fps, and is what MPEG has always used.
VIDEO_TICKS_PER_S: Final = 90_000
