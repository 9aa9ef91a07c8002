"""Decides how widely x264 searches for motion, from what its last pictures took.

A wide search pays where a page scrolls or a window is dragged: it finds nearly all of the picture, which then takes a
seventh of the bytes. In a film it finds nothing that a narrow search would not, and costs nearly half of the time.
Which of the two is on the screen shows only in the sizes of the pictures. So while they are large, the next group of
pictures is a trial with the other search: if it does no better, the first one returns, and the next trial waits longer.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from capture.media import VIDEO_TICKS_PER_S

__all__ = ["SearchChoice"]

#: The fewest pictures of a group that say something about a search. Two searches are compared by that many pictures,
#: the last of one and the first of the other: how much moves in a film changes within seconds.
LEAST_PICTURES: Final = 10

#: Predicted pictures are large if they take this share of a key frame. A page that scrolls takes 2 to 10 % with the
#: wide search, a film 8 to 90 %.
LARGE_SHARE: Final = 0.07

#: How much larger the pictures of the narrow search may be. In a film, those of two moments differ as much.
MOST_GROWTH: Final = 1.2

#: If they are this much larger than the last ones of the last group, and take this share of a key frame, the wide
#: search is worth one, after this many: until then, a page takes several times the bytes. A film rarely changes that
#: fast.
FAR_LARGER: Final = 2.0
FAR_LARGER_SHARE: Final = 0.4
FAR_LARGER_PICTURES: Final = 5

#: From this share of a key frame on, the wide search finds nothing: a trial of the other one need not wait for the next
#: key frame, which would not be much larger. Smaller pictures than these take no time to search: on a plain screen, a
#: key frame has a hundred bytes, too.
NEW_SHARE: Final = 0.5
LEAST_NEW_BYTES: Final = 4_000

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
        # The predicted pictures of the current group so far, their bytes, and those of the first and of the last ones.
        self._count = self._bytes = self._first_bytes = 0
        self._last: deque[int] = deque(maxlen=LEAST_PICTURES)
        # The mean size of the last ones of the last group, and whether that had the other search.
        self._before_bytes = math.inf
        self._is_trial = False
        self._wait_s = FIRST_WAIT_S
        self._try_from_pts = 0.0
        self._hurried_until_pts = -math.inf

    def note(self, size: int, *, is_key: bool) -> None:
        """Note the `size` of the next encoded picture, in bytes."""
        if is_key:
            self._key_bytes = size
            self._count = self._bytes = self._first_bytes = 0
            self._last.clear()
            return
        self._count, self._bytes = self._count + 1, self._bytes + size
        self._last.append(size)
        if self._count <= LEAST_PICTURES:
            self._first_bytes += size

    def hurry(self, pts: int) -> None:
        """Note that the encoder is behind: the narrow search has to do, from the next key frame on."""
        self._hurried_until_pts = pts + HURRIED_S * VIDEO_TICKS_PER_S

    def wants_key(self, pts: int) -> bool:
        """Whether a change of the search is worth a key frame now."""
        if pts < self._hurried_until_pts:
            # One picture is needed in between: see `choose`.
            return self._count > 0 and not self.is_narrow
        return self._is_far_larger or self._is_decided(pts)

    def _is_decided(self, pts: int) -> bool:
        """Whether the group has shown enough: a trial that failed, or a wide search where all is new."""
        if self._count < LEAST_PICTURES:
            return False
        if self._is_trial:
            return self._has_failed
        return (
            not self.is_narrow
            and pts >= self._try_from_pts
            and self._mean >= max(NEW_SHARE * self._key_bytes, LEAST_NEW_BYTES)
        )

    def choose(self, pts: int) -> None:
        """Choose the search for the group that starts with a key frame at `pts`."""
        if not self._count:
            # Two encoders may give their key frames the same number, which two in a row must not have.
            return
        if pts < self._hurried_until_pts:
            self.is_narrow, self._is_trial = True, False
        elif self._wants_other(pts):
            self.is_narrow = not self.is_narrow
        self._before_bytes = sum(self._last) / len(self._last)

    def _wants_other(self, pts: int) -> bool:
        was_trial, self._is_trial = self._is_trial, False
        if self._is_far_larger:
            # Either the narrow search finds less, or something else is on the screen: the wide search shows which.
            self._is_trial = True
            self._postpone_trial(pts, failed=was_trial)
            return True
        if self._count < LEAST_PICTURES or self._mean < LARGE_SHARE * self._key_bytes:
            self._wait_s = FIRST_WAIT_S
            if self.is_narrow:
                # It did no worse: the film may go on.
                self._try_from_pts = pts
            return self.is_narrow
        if was_trial:
            failed = self._has_failed
            if self.is_narrow and not failed:
                self._wait_s = FIRST_WAIT_S
            self._postpone_trial(pts, failed=failed)
            return failed
        self._is_trial = pts >= self._try_from_pts
        return self._is_trial

    def _postpone_trial(self, pts: int, *, failed: bool) -> None:
        if failed:
            self._wait_s = min(LONGEST_WAIT_S, 2 * self._wait_s)
        self._try_from_pts = pts + self._wait_s * VIDEO_TICKS_PER_S

    @property
    def _has_failed(self) -> bool:
        """Whether the trial does no better, by the first pictures of its group."""
        growth = MOST_GROWTH if self.is_narrow else 1 / MOST_GROWTH
        return self._first_bytes / LEAST_PICTURES > self._before_bytes * growth

    @property
    def _is_far_larger(self) -> bool:
        """Whether something else is on the screen now, in which the wide search may find more."""
        is_known = self.is_narrow and self._count >= FAR_LARGER_PICTURES
        return is_known and self._mean > max(FAR_LARGER * self._before_bytes, FAR_LARGER_SHARE * self._key_bytes)

    @property
    def _mean(self) -> float:
        return self._bytes / self._count
