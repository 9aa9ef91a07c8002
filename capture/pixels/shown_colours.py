"""Knows the colours that a decoder shows, where moving has changed them a little.

Colours have half the size, so what moves by an odd number of pixels gets the mean of two or four of them. Each mean
blurs what the last one left: a soft shade that is dragged for some seconds would be gone without a single step that
shows. So what moves is compared with what the decoder has by then, not with what the screen showed.
"""

from __future__ import annotations

import numpy as np

from capture.media import Pixels, Rectangle
from capture.pixels.change import SAME, Change, Map, mean_at
from capture.pixels.macroblocks import SIDE, Planes

__all__ = ["ShownColours"]

_SIDE = SIDE // 2


class ShownColours:
    """The colours of the last picture as a decoder shows them, apart from what the encoder loses."""

    def __init__(self) -> None:
        # None as long as they are those of the screen.
        self._planes: list[Pixels] | None = None

    def of(self, picture: Planes) -> Planes | None:
        """Return the planes that a decoder shows in place of the last `picture`; None if it shows those."""
        return None if self._planes is None else [picture[0], *self._planes]

    def expect(self, change: Change, before: Planes) -> None:
        """Note that `change` may come after the picture with the planes `before`, which are still unchanged."""
        if self._planes is None and change.off is not None:
            self._planes = [plane.copy() for plane in before[1:]]

    def follow(self, change: Change, picture: Planes) -> None:
        """Note that the decoder is given `change`, which has led to `picture` on the screen."""
        if self._planes is None:
            return
        changed = change.kinds != SAME
        for shown, wanted in zip(self._planes, picture[1:], strict=True):
            off = None if change.off is None else _placed(change.off, change, shown)
            # It comes from the last picture, of which the others may replace it.
            moved = None if off is None else mean_at(shown, off[0], change).copy()
            _copy(wanted, shown, *_placed(changed, change, shown))
            if off is not None and moved is not None:
                place, mask = off
                into = shown[place.top : place.bottom, place.left : place.right]
                np.copyto(into, moved, where=mask, casting="unsafe")

    def forget(self) -> None:
        """Note that the encoder made the whole picture."""
        self._planes = None


def _copy(source: Pixels, target: Pixels, place: Rectangle, mask: Map) -> None:
    rows, columns = slice(place.top, place.bottom), slice(place.left, place.right)
    np.copyto(target[rows, columns], source[rows, columns], where=mask)


def _placed(marked: Map, change: Change, plane: Pixels) -> tuple[Rectangle, Map]:
    """Return where in a plane the macroblocks are that are `marked`, some of those of `change`, and which samples."""
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    first_row, last_row, first, last = (int(number) for number in (rows[0], rows[-1], columns[0], columns[-1]))
    top, left = (change.row + first_row) * _SIDE, (change.column + first) * _SIDE
    height = min(plane.shape[0] - top, (last_row + 1 - first_row) * _SIDE)
    width = min(plane.shape[1] - left, (last + 1 - first) * _SIDE)
    mask = marked[first_row : last_row + 1, first : last + 1].repeat(_SIDE, axis=0).repeat(_SIDE, axis=1)
    return Rectangle(left, top, width, height), mask[:height, :width]
