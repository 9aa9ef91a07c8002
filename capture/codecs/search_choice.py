"""Decides how widely x264 searches for motion, from what its last pictures took.

A wide search pays where a page scrolls or a window is dragged: it finds nearly all of the picture, which then takes a
seventh of the bytes. In a film it finds nothing that a narrow search would not, and costs nearly half of the time.
Which of the two is on the screen shows only in the sizes of the pictures. So while they are large, the next group of
pictures is a trial with the other search: if it does no better, the first one returns, and the next trial waits longer.
"""

from __future__ import annotations

import math
from typing import Final

from capture.media import VIDEO_TICKS_PER_S

__all__ = ["SearchChoice"]

#: The fewest pictures of a group that say something about a search.
LEAST_PICTURES: Final = 10

#: Predicted pictures are large if they take this share of a key frame. A page that scrolls takes 2 to 10 % with the
#: wide search, a film 30 to 90 %.
LARGE_SHARE: Final = 0.2

#: How much larger the pictures of the narrow search may be.
MOST_GROWTH: Final = 1.1

#: If they are this much larger than in the last group, the wide search is worth a key frame at once.
FAR_LARGER: Final = 2.0

#: The time between two trials. It doubles with each that fails, up to the longest.
FIRST_WAIT_S: Final = 8.0
LONGEST_WAIT_S: Final = 64.0

#: How long the narrow search stays after the encoder was last behind.
HURRIED_S: Final = 10.0


class SearchChoice:
    """Chooses the search for each group of pictures. Use it from one thread; `pts` are in 1/90000 s."""

    def __init__(self) -> None:
        #: Whether the current group is searched narrowly.
        self.is_narrow = False
        self._key_bytes = 0
        # The predicted pictures of the current group so far, and their bytes.
        self._count = self._bytes = 0
        # The mean size of a predicted picture in the last group, and whether that had the other search.
        self._before_bytes = math.inf
        self._is_trial = False
        self._wait_s = FIRST_WAIT_S
        self._try_from_pts = 0.0
        self._hurried_until_pts = -math.inf

    def note(self, size: int, *, is_key: bool) -> None:
        """Note the `size` of the next encoded picture, in bytes."""
        if is_key:
            self._key_bytes, self._count, self._bytes = size, 0, 0
        else:
            self._count, self._bytes = self._count + 1, self._bytes + size

    def hurry(self, pts: int) -> None:
        """Note that the encoder is behind: the narrow search has to do, from the next key frame on."""
        self._hurried_until_pts = pts + HURRIED_S * VIDEO_TICKS_PER_S

    def wants_key(self, pts: int) -> bool:
        """Whether a change of the search is worth a key frame now."""
        if self._count < LEAST_PICTURES:
            return False
        if pts < self._hurried_until_pts:
            return not self.is_narrow
        return self._is_far_larger

    def choose(self, pts: int) -> None:
        """Choose the search for the group that starts with a key frame at `pts`."""
        if not self._count:
            # Two encoders may give their key frames the same number, which two in a row must not have.
            return
        if pts < self._hurried_until_pts:
            self.is_narrow, self._is_trial = True, False
        elif self._wants_other(pts):
            self.is_narrow = not self.is_narrow
        self._before_bytes = self._mean

    def _wants_other(self, pts: int) -> bool:
        was_trial, self._is_trial = self._is_trial, False
        if self._count < LEAST_PICTURES or self._mean < LARGE_SHARE * self._key_bytes:
            self._wait_s = FIRST_WAIT_S
            return self.is_narrow
        if was_trial:
            failed = self._mean > self._before_bytes * (MOST_GROWTH if self.is_narrow else 1 / MOST_GROWTH)
            self._wait_s = min(LONGEST_WAIT_S, 2 * self._wait_s) if failed else FIRST_WAIT_S
            self._try_from_pts = pts + self._wait_s * VIDEO_TICKS_PER_S
            return failed
        self._is_trial = pts >= self._try_from_pts or self._is_far_larger
        return self._is_trial

    @property
    def _is_far_larger(self) -> bool:
        """Whether something else is on the screen now, in which the wide search may find more."""
        return self.is_narrow and self._mean > FAR_LARGER * self._before_bytes

    @property
    def _mean(self) -> float:
        return self._bytes / self._count
