"""Reads a large part of the screen in strips, which belong together if nothing was drawn meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from capture.errors import DisplayLostError
from capture.media import Frame, Pixels, Rectangle, Strips

__all__ = ["STRIP_BYTES", "STRIP_IN_MOTION_BYTES", "KeptStrips", "ScreenStrips", "frame_of", "size_bytes"]

#: The size of a strip. Each costs the wait for an answer of the server, a tenth of a millisecond of processor time: a
#: hundredth of what a picture takes at 1080p, which is too much where large parts change all the time. So strips are
#: larger there: one for 1080p, four for 4K. Both are whole steps of shared memory, which is kept for the next ones.
STRIP_BYTES: Final = 1 << 21
STRIP_IN_MOTION_BYTES: Final = 1 << 23

_BYTES_PER_PIXEL: Final = 4


def size_bytes(area: Rectangle) -> int:
    """Return how much memory the pixels of `area` take."""
    return area.width * area.height * _BYTES_PER_PIXEL


def frame_of(strips: Strips, captured_at_s: float, left: int = 0, top: int = 0) -> Frame:
    """Return a frame whose pixels are yet to be read."""
    # Imported here: screens are opened before numpy is loaded.
    import numpy as np

    return Frame(np.empty((0, 0, 4), np.uint8), captured_at_s, left, top, strips)


class KeptStrips:
    """A picture of the size of `area` that the server has written already: one strip, made by `pixels`.

    `release` gives its memory back.
    """

    def __init__(self, area: Rectangle, pixels: Callable[[], Pixels], release: Callable[[], None]) -> None:
        self.width, self.height = area.width, area.height
        self._pixels = pixels
        self._release = release

    def read(self, put: Callable[[Pixels, int], None]) -> bool:
        """Call `put` with the picture, once; return True."""
        put(self._pixels(), 0)
        self._release()
        return True


class ScreenStrips:
    """The strips of `area`, which has even sides, of at most `strip_bytes`, and two rows at least.

    `grab` reads one, `nothing_was_drawn` says whether the screen is as it was before the first, and `note` gets the
    answer after the last.
    """

    def __init__(
        self,
        area: Rectangle,
        strip_bytes: int,
        grab: Callable[[Rectangle], Pixels],
        nothing_was_drawn: Callable[[], bool],
        note: Callable[[bool], None],
    ) -> None:
        self.width, self.height = area.width, area.height
        self._area = area
        self._rows = max(2, strip_bytes // (area.width * _BYTES_PER_PIXEL) & ~1)
        self._grab = grab
        self._nothing_was_drawn = nothing_was_drawn
        self._note = note

    def read(self, put: Callable[[Pixels, int], None]) -> bool:
        """Call `put` with each strip and its first row; return whether they belong together."""
        try:
            for row in range(0, self.height, self._rows):
                height = min(self._rows, self.height - row)
                strip = Rectangle(self._area.left, self._area.top + row, self.width, height)
                put(self._grab(strip), row)
            belong_together = self._nothing_was_drawn()
        except DisplayLostError:
            # The screen is being resized, or it is gone, which the next grab finds out.
            belong_together = False
        self._note(belong_together)
        return belong_together
