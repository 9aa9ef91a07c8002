"""Moves frames by a few milliseconds, so that every program finds a fitting frame rate.

MP4 and MOV do not state a frame rate. FFmpeg, and every program that reads with it, guesses one from the times of the
first frames: their greatest common divisor, or whichever of a few hundred common rates fits them best. A caret that
blinks from the start is taken for 2 fps, a still screen for 1.8; a conversion then drops most frames of what follows.

So the first frames go to the nearest time on a grid. While the distances so far fit a lower rate, too, a frame goes to
the grid time on its other side. This needs no extra frames: it works with every encoder and in clips, and delays
nothing. The grid is finer than the frame rate where it can be, for the sake of synchrony, and so that a conversion to a
constant rate has room for two frames in one slot.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from capture.media import as_fraction

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

__all__ = ["FRAMES_ON_GRID", "FrameTimes", "closest_s", "half_slot_s", "rate_of", "spaced"]

#: FFmpeg looks at the first 100 frames in the index of an MP4 (`mov_build_index`). Without an index, it looks at 21
#: frames or 5 s (`avformat_find_stream_info`).
FRAMES_ON_GRID: Final = 100

#: Rates that FFmpeg knows (`get_std_framerate`): the grid is the first that is a multiple of the frame rate, else the
#: first that is not below it. It replaces those above 210 with the average (`av_guess_frame_rate`). 200 it does not
#: know, but finds as the common divisor of 16 distances and more.
_MULTIPLES: Final = (60, 50, 48)
_OTHERS: Final = (60, 80, 120, 200)

#: The distances from which on no lower rate may fit. If all are the same, FFmpeg takes that (`mov_read_trak`). It
#: compares the times of all frames but the first with the rates it knows; their common divisor is that of the distances
#: from the fourth on (`ff_rfps_add_frame`).
_FROM_DISTANCES: Final = (1, 2, 4)

#: Frames that come too fast for the grid may be this late; then it is given up.
_MOST_PLACES_LATE: Final = 2

#: How long a frame waits for the one before, at most.
_MOST_HALF_SLOTS_LATE: Final = 4

#: How many frames at the end of a file have half a slot each before it, if they come in time.
_LAST_FRAMES: Final = 2

#: At lower rates, a still picture is repeated more than once in a slot.
_LEAST_FPS: Final = 5


class FrameTimes:
    """Gives the frames of one track their final times, in order, each at least half a slot long."""

    def __init__(self, fps: Fraction, *, guessed: bool) -> None:
        """`guessed` means that the file does not state its frame rate, so the first frames have to show it."""
        self._fps = fps
        self._half_slot_s = half_slot_s(fps)
        self._grid = 0
        self._guessed = guessed
        # How many frames are on the grid so far, the place of the last one, and the greatest common divisor of the
        # distances from each of `_FROM_DISTANCES` on; 0 where there is none yet.
        self._count = 0
        self._place = 0
        self._divisors = (0,) * len(_FROM_DISTANCES)
        self._last_s = -math.inf

    def place(self, packet: av.Packet[Any], before_s: float = math.inf) -> None:
        """Move `packet` to its final time; if it has a duration, it still ends when it did, or lasts half a slot.

        The grid takes from no frame, and from no frame after it, the half slot that it has before `before_s`, where the
        file ends. Where more frames come in the last half slot, they begin, and the file ends, a little later.
        """
        if packet.pts is None or packet.pts != packet.dts or not packet.time_base:
            return
        # Floats, because fractions take ten times as long.
        unit_s, duration = float(packet.time_base), packet.duration or 0
        moved = self.moved(packet.pts, duration, unit_s, before_s)
        if duration and moved:
            packet.duration = self.lasting(duration - moved, unit_s)
        packet.pts = packet.dts = packet.pts + moved

    def is_too_near(self, distance: int, unit_s: float) -> bool:
        """Whether frames at this distance are less than half a slot apart, in units of the times."""
        return distance * unit_s < self._half_slot_s

    def fills_slot_until(self, end_s: float) -> bool:
        """Whether the last frame is shown until `end_s` in Matroska, which shows every frame for a slot."""
        return (end_s - self._last_s) * float(self._fps) <= 1.0

    def lasting(self, duration: int, unit_s: float) -> int:
        """Return `duration`, or half a slot if it is shorter, in units of the times."""
        return max(duration, math.ceil(self._half_slot_s / unit_s))

    def moved(self, pts: int, duration: int, unit_s: float, before_s: float = math.inf) -> int:
        """Return by how much to move the next frame, in units of its times; see `place`."""
        if self._guessed and not self._grid:
            self._grid = _grid(self._fps, duration * unit_s)
            self._guessed = self._grid > 0
        exact_s = at_s = pts * unit_s
        if self._guessed and self._count < FRAMES_ON_GRID:
            at_s = min(self._on_grid(at_s), self._latest_s(exact_s, before_s))
        spaced_s = spaced(at_s, self._last_s, self._half_slot_s)
        self._last_s = max(spaced_s, self._last_s + unit_s)
        return round(self._last_s / unit_s) - pts

    def _latest_s(self, at_s: float, before_s: float) -> float:
        """Return how late a frame may be, so that the last two still have their half slots."""
        if before_s == math.inf:
            return math.inf
        half_slots = min(_LAST_FRAMES, int((before_s - at_s) / self._half_slot_s))
        return max(at_s, before_s - half_slots * self._half_slot_s)

    def _on_grid(self, at_s: float) -> float:
        """Choose a place for one of the first frames; return its time."""
        exact = at_s * self._grid
        nearest = round(exact)
        beside = nearest + 1 if exact > nearest else nearest - 1
        first_free = self._place + 1 if self._count else nearest
        if first_free > nearest + _MOST_PLACES_LATE:
            self._guessed = False
            return at_s
        free = [place for place in (nearest, beside) if place >= first_free] or [first_free]
        place = min(free, key=self._misleading)
        self._divisors = self._divisors_with(place)
        self._place, self._count = place, self._count + 1
        return place / self._grid

    def _misleading(self, place: int) -> int:
        """Return in how many of the ways in which FFmpeg looks at the distances they fit too low a rate."""
        return sum(divisor * self._fps > self._grid for divisor in self._divisors_with(place))

    def _divisors_with(self, place: int) -> tuple[int, ...]:
        """Return the divisors with the next frame at `place`."""
        distance = place - self._place
        pairs = zip(_FROM_DISTANCES, self._divisors, strict=True)
        return tuple(math.gcd(divisor, distance) if self._count >= first else divisor for first, divisor in pairs)


def spaced(at: float, last: float, half_slot: float) -> float:
    """Return when a frame begins that comes at `at` and follows one at `last`: half a slot later, if it can wait.

    Frames of a recording come once in a slot, and wait for half a slot at most; after short pauses and commands they
    wait for longer. The group before the start of a clip may have hundreds in a second, which must not delay the rest.
    """
    return max(at, min(last, at + (_MOST_HALF_SLOTS_LATE - 1) * half_slot) + half_slot)


def rate_of(stream: VideoStream) -> Fraction | None:
    """Return the frame rate of a stream of an encoder, a copy of one, or a file; None if it is unknown."""
    # A copy has it with its codec.
    rate = stream.average_rate or stream.codec_context.framerate
    return as_fraction(rate) if rate else None


def closest_s(fps: Fraction) -> float:
    """Return the least distance of frames that keep their times in every file: a place on the grid, or half a slot."""
    return max(1 / _grid(fps, 0.0), half_slot_s(fps))


def half_slot_s(fps: Fraction) -> float:
    """Return how long every frame lasts at least."""
    return 0.5 / max(float(fps), _LEAST_FPS)


def _grid(fps: Fraction, first_duration_s: float) -> int:
    """Return the rate of the grid, or 0 if the track has a constant rate that is on none of them, but shows itself."""
    for rate in _MULTIPLES:
        if rate % fps == 0:
            return rate
    if first_duration_s and abs(first_duration_s * fps - 1) < 1e-3:
        return 0
    return next((rate for rate in _OTHERS if rate >= fps), _OTHERS[-1])
