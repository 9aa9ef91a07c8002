"""The data that flows through the pipeline: frames, samples, and the rectangles they come from."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np
    import numpy.typing as npt

__all__ = [
    "LOUDEST",
    "LOW_GAIN",
    "SAMPLE_RATE",
    "SILENCE_DBFS",
    "VIDEO_TICKS_PER_S",
    "VOICE_SAMPLE_RATE",
    "Attenuation",
    "Frame",
    "Pixels",
    "Ratio",
    "Rectangle",
    "SampleArray",
    "Samples",
    "Strips",
    "as_fraction",
    "bounded",
    "in_seconds",
    "is_voice_note",
    "peak_dbfs",
]

#: Samples per second inside the pipeline: the native rate of Opus, and a rate that every sound server provides.
SAMPLE_RATE: Final = 48_000

#: The rate of messengers' voice notes: wideband, up to 8 kHz, holds nearly everything in a voice.
VOICE_SAMPLE_RATE: Final = 16_000

#: Anything quieter counts as silence. That covers the dither of 16-bit sound (-96 dBFS) and the rounding of lossy
#: decoders.
SILENCE_DBFS: Final = -90.0

#: The largest absolute sample that a recording takes, +18 dBFS. Volume controls go up to +11 dB (PA_VOLUME_UI_MAX), a
#: factor of 3.5: two programs at full scale and full volume still stay below. Every encoder takes it: LAME aborts the
#: process at 1e5 (noise, PyAV 18.1), FFmpeg's AAC refuses 1e16.
LOUDEST: Final = 8.0

#: A source that is turned down below this gain is reported: 25 % in a mixer, -36 dB. Speech at -20 dBFS then no longer
#: exceeds the default threshold for sound, -50 dBFS.
LOW_GAIN: Final = 0.25**3

#: uint8, shape (height, width, 4), blue-green-red-unused.
Pixels: TypeAlias = "npt.NDArray[np.uint8]"

#: float32, shape (count, channels), full scale at ±1.
SampleArray: TypeAlias = "npt.NDArray[np.float32]"


@dataclass(frozen=True, slots=True)
class Rectangle:
    """A part of the desktop, in physical pixels.

    `left` and `top` are negative on monitors to the left of or above the first.
    """

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
        """Whether every pixel of `other` is inside this rectangle."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and other.right <= self.right
            and other.bottom <= self.bottom
        )

    def intersects(self, other: Rectangle) -> bool:
        """Whether the two share a pixel; an empty rectangle shares none."""
        return self.intersection(other) is not None

    def intersection(self, bounds: Rectangle) -> Rectangle | None:
        """Return the part of this rectangle inside `bounds`, or None if they share no pixel."""
        if bounds.contains(self) and self.width > 0 and self.height > 0:
            return self
        left, top = max(self.left, bounds.left), max(self.top, bounds.top)
        width, height = min(self.right, bounds.right) - left, min(self.bottom, bounds.bottom) - top
        return Rectangle(left, top, width, height) if width > 0 and height > 0 else None

    def union(self, other: Rectangle | None) -> Rectangle:
        """Return the smallest rectangle that contains both."""
        if other is None:
            return self
        left, top = min(self.left, other.left), min(self.top, other.top)
        return Rectangle(left, top, max(self.right, other.right) - left, max(self.bottom, other.bottom) - top)

    def moved(self, right: int, down: int) -> Rectangle:
        return Rectangle(self.left + right, self.top + down, self.width, self.height)

    def trimmed_to_even(self) -> Rectangle:
        """Return this rectangle without its last column or row if that count is odd: 4:2:0 colour needs pairs."""
        return Rectangle(self.left, self.top, self.width & ~1, self.height & ~1)

    def __str__(self) -> str:
        return f"{self.width}x{self.height}{self.left:+d}{self.top:+d}"


class Strips(Protocol):
    """A picture, or the part that changed, which is read in strips, so that it is never in memory as a whole."""

    width: int
    height: int

    def read(self, put: Callable[[Pixels, int], None]) -> bool:
        """Call `put` with each strip, over the full width, and its first row; all heights are even.

        Return False if the picture changed meanwhile: then the strips do not belong together, and the next frame of
        the source contains this part again. Call this on the thread of the source, before its next method.
        """
        ...


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture and the moment it was on the screen, in seconds on the session's clock.

    `pixels` may be only the part that changed, at column `left` and row `top`; position and size are then even, and the
    rest of the picture is the same as in the previous frame. If they are yet to be read, they are empty, and there are
    `strips`.
    """

    pixels: Pixels
    captured_at_s: float
    left: int = 0
    top: int = 0
    strips: Strips | None = None


@dataclass(frozen=True, slots=True)
class Attenuation:
    """How much quieter a source is recorded than it sounds, and why.

    `gain` is a factor from 0, muted, to 1. `reason` names what is muted or turned down, as in "Speakers is at 20 %"; it
    is empty at full volume.
    """

    gain: float = 1.0
    reason: str = ""

    @property
    def is_muted(self) -> bool:
        return self.gain <= 0.0

    @property
    def is_low(self) -> bool:
        """Whether it explains that nothing, or little, is heard."""
        return self.gain < LOW_GAIN


@dataclass(frozen=True, slots=True)
class Samples:
    """A block of sound and the moment its *first* sample was heard, in seconds on the session's clock.

    A source that captures several streams at once numbers them as lanes, from 0; the blocks of one lane are continuous.
    A block without samples marks a break in the lane: the next block starts where its stamp says, and the gap before it
    is not a hole.

    `replaced` counts the values that the recorder replaced, see `bounded`; a source leaves it at 0. `attenuation` is
    what the source knows of mute switches and volumes that are already in `data`.
    """

    data: SampleArray
    captured_at_s: float
    lane: int = 0
    replaced: int = 0
    attenuation: Attenuation = Attenuation()

    @property
    def ends_at_s(self) -> float:
        """The moment just after the last sample."""
        return self.captured_at_s + len(self.data) / SAMPLE_RATE


def bounded(samples: SampleArray) -> tuple[SampleArray, int]:
    """Return samples that every encoder takes, and how many values had to be replaced for that.

    A value that is not finite becomes 0, one beyond `LOUDEST` becomes `LOUDEST` with its sign. Any shape and any float
    dtype; the array itself stays as it is, and is returned when nothing is wrong with it.
    """
    # A value that is no number makes both ends none, and every comparison with it is false.
    if not samples.size or (samples.min() >= -LOUDEST and samples.max() <= LOUDEST):
        return samples, 0
    import numpy as np

    finite = np.isfinite(samples)
    kept = np.where(finite, samples, 0.0).clip(-LOUDEST, LOUDEST).astype(samples.dtype, copy=False)
    return kept, int(np.count_nonzero(~finite | (np.abs(samples) > LOUDEST)))


#: The signature of an Opus track's header, and where it has the sample rate of what was encoded (RFC 7845, 5.1).
_OPUS_HEAD: Final = b"OpusHead"
_INPUT_RATE: Final = slice(12, 16)


def is_voice_note(head: bytes | None) -> bool:
    """Whether a track with this header, its codec's `extradata`, was encoded as a voice note; False without a header.

    The sample rate of what was encoded says so.
    """
    head = bytes(head or b"")
    return head.startswith(_OPUS_HEAD) and int.from_bytes(head[_INPUT_RATE], "little") == VOICE_SAMPLE_RATE


def peak_dbfs(peak: float) -> float:
    """Return the level of an absolute sample value in dBFS, -120 at the lowest."""
    return max(-120.0, 20.0 * math.log10(max(peak, 1e-6)))


class Ratio(Protocol):
    """A fraction, or PyAV's own kind of it, which time bases are in PyAV 19."""

    @property
    def numerator(self) -> int: ...

    @property
    def denominator(self) -> int: ...


def as_fraction(ratio: Ratio | None) -> Fraction:
    """Return a time base as a fraction; 1 if it is unknown."""
    # Imported here: a recording begins before anything needs fractions, and they take 2 ms to load.
    from fractions import Fraction

    return Fraction(ratio.numerator, ratio.denominator) if ratio else Fraction(1)


def in_seconds(units: int | None, time_base: Ratio | None) -> float:
    """Convert `units` of `time_base` to seconds; 0 if either is unknown.

    The arithmetic is in floats: fractions take ten times as long.
    """
    return 0.0 if time_base is None else (units or 0) * time_base.numerator / time_base.denominator


#: Time base of video, as in MPEG: 24, 25, 30, 50 and 60 fps divide it evenly.
VIDEO_TICKS_PER_S: Final = 90_000
