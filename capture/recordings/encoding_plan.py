"""How a recording is encoded once more."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from capture.recordings.gain import Change

__all__ = ["MOST_SOUND", "PLAIN", "Plan", "Style", "even"]

#: The most bits per second that an audio track gets where bits are short.
MOST_SOUND: Final = 128_000


@dataclass(frozen=True, slots=True)
class Plan:
    """How to encode one attempt, in bits per second; a rate of 0 leaves that kind of track out.

    An infinite rate asks for constant quality instead of a bit rate. `sound_rate` is that of one track, `size` the
    width and height of the picture.
    """

    picture_rate: float
    sound_rate: float
    size: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Style:
    """What is the same in all attempts."""

    #: The audio tracks, each as the numbers of those that are mixed in it, from 0; None takes each by itself.
    tracks: tuple[tuple[int, ...], ...] | None = None
    #: What to do to each of these audio tracks; missing ones stay as they are.
    changes: tuple[Change | None, ...] = ()
    #: Whether the picture, and each of these audio tracks, already is what is wanted, and is copied.
    copies_picture: bool = False
    copied_sounds: tuple[bool, ...] = ()
    #: As messengers encode voice notes.
    voice: bool = False
    #: Keep only the tags that are anybody's business.
    for_others: bool = False
    #: Of the picture; None keeps the times of its frames.
    constant_fps: Fraction | None = None
    #: How far apart key frames are; None leaves that to the encoder.
    key_frames_s: float | None = None
    #: Convert the colours to BT.709, if they are not; otherwise they keep their matrix.
    bt709: bool = False
    #: The constant quality of x264: lower is better, and each 6 doubles the bytes.
    crf: int = 20


PLAIN: Final = Style()


def even(length: float) -> int:
    """Return the nearest even number, at least 2: yuv420p pictures have even sizes."""
    return max(2, 2 * round(length / 2))
