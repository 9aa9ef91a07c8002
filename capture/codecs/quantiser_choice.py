"""Decides when pictures are too costly for the usual quantiser, from what the last ones took.

Grain and noise are new in each picture, so nothing predicts them. With the quantiser that keeps text sharp they take
twice the bytes that FFmpeg's `crf` spends on them, and the encoder a fifth longer, for detail that is gone in the next
picture. So while pictures take that many bytes, a coarser quantiser does. What comes to rest is encoded again at once
with the usual one, and so is what changes its nature: which quantiser it needs shows only in what it takes with the
usual one.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from capture.media import VIDEO_TICKS_PER_S

__all__ = ["QuantiserChoice"]

#: Predicted pictures take too many bytes from this many for each macroblock of 384 samples on: 47 Mb/s at 1080p30.
#: Films without grain take 2 to 11, as does a flooded terminal; grain with a standard deviation of 8 levels takes 70.
COSTLY_BYTES: Final = 24.0

#: The fewest pictures that say something.
LEAST_PICTURES: Final = 10

#: With the coarse quantiser, pictures are of another nature once they take this share of what the first ones took.
CALMER: Final = 0.5

#: The picture rests once it has not changed for this long. A film of 24 frames a second is repeated once in five slots.
REST_S: Final = 0.2

#: How long the coarse quantiser stays before the usual one is tried again, for a group of pictures. It doubles while
#: they still take too many bytes, up to the longest.
FIRST_STAY_S: Final = 16.0
LONGEST_STAY_S: Final = 64.0


class QuantiserChoice:
    """Chooses the quantiser for each group of pictures. Use it from one thread; `pts` are in 1/90000 s."""

    def __init__(self, macroblocks: int) -> None:
        #: Whether the current group has the coarse quantiser.
        self.is_coarse = False
        self._costly_bytes = COSTLY_BYTES * macroblocks
        # The predicted pictures of the current group, their bytes, and the sizes of the last ones.
        self._count = self._bytes = 0
        self._last: deque[int] = deque(maxlen=LEAST_PICTURES)
        # The mean size of the first ones with the coarse quantiser.
        self._first_mean = 0.0
        self._changed_pts = 0
        self._stay_s = FIRST_STAY_S
        self._stays_until_pts = math.inf

    def note(self, size: int, pts: int, *, is_key: bool) -> None:
        """Note the next encoded picture, of `size` bytes, shown from `pts` on."""
        if is_key:
            self._count = self._bytes = 0
            return
        self._changed_pts = pts
        self._count, self._bytes = self._count + 1, self._bytes + size
        self._last.append(size)
        if self.is_coarse and not self._first_mean and len(self._last) == LEAST_PICTURES:
            self._first_mean = sum(self._last) / LEAST_PICTURES

    def wants_key(self, pts: int, *, may_be_coarse: bool) -> bool:
        """Whether a change of the quantiser is worth a key frame now."""
        if self.is_coarse:
            return self._count > 0 and self._is_calm(pts)
        return may_be_coarse and self._is_costly

    def choose(self, pts: int, *, may_be_coarse: bool) -> None:
        """Choose the quantiser for the group that starts with a key frame at `pts`."""
        if not self._count:
            # Two encoders may give their key frames the same number, which two in a row must not have.
            return
        if self.is_coarse:
            if self._is_calm(pts) or pts >= self._stays_until_pts:
                self._stay_s = FIRST_STAY_S if self._is_calm(pts) else min(LONGEST_STAY_S, 2 * self._stay_s)
                self.is_coarse = False
            return
        if not self._is_costly:
            if self._count >= LEAST_PICTURES:
                self._stay_s = FIRST_STAY_S
        elif may_be_coarse:
            self.is_coarse, self._first_mean = True, 0.0
            self._last.clear()
            self._stays_until_pts = pts + self._stay_s * VIDEO_TICKS_PER_S

    @property
    def _is_costly(self) -> bool:
        return self._count >= LEAST_PICTURES and self._bytes >= self._costly_bytes * self._count

    def _is_calm(self, pts: int) -> bool:
        if pts - self._changed_pts >= REST_S * VIDEO_TICKS_PER_S:
            return True
        return bool(self._first_mean) and sum(self._last) < CALMER * self._first_mean * len(self._last)
