"""Finds which macroblocks of a picture stay, which move together, and which are new.

A page that scrolls and a window that is dragged keep nearly all of their pixels, only elsewhere. The displacement is
found with a few rows of pixels that have many edges: each is looked up in the last picture as a string of bytes, which
takes microseconds, and most of them agree. Every other pixel is then compared, so nothing depends on the guess.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from capture.media import Pixels, Rectangle
from capture.pixels.macroblocks import SIDE, Planes, blocks_with, cut
from capture.pixels.yuv_part import YuvPart

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["FARTHEST_MOVED", "FEW", "MOVED", "NEW", "SAME", "Change", "Map", "change_of", "mean_at"]

SAME: Final = 0
MOVED: Final = 1
NEW: Final = 2

#: Up to this many changed macroblocks are taken as new: a typed letter, a caret, a clock.
FEW: Final = 24

#: How far things move from one picture to the next, at most, in columns and in rows: pages scroll up and down.
FARTHEST_MOVED: Final = (64, 240)

#: How many places are looked up, the length of each in pixels, and how many of its neighbours have to differ: what has
#: fewer edges is found everywhere.
_SAMPLES: Final = 16
_SAMPLE_WIDTH: Final = 48
_LEAST_EDGES: Final = 8

#: How many samples must agree, and how many places each may name: text repeats itself.
_ENOUGH_VOTES: Final = 3
_MOST_PLACES: Final = 2

#: The side of a macroblock in each plane.
_SIDES: Final = (SIDE, SIDE // 2, SIDE // 2)

Map: TypeAlias = "npt.NDArray[np.bool_]"


class Change(NamedTuple):
    """What a part changes in a picture.

    `kinds` says for each macroblock that the part touches whether it is `SAME`, `MOVED` or `NEW`: uint8 (rows,
    columns), the first at `row` and `column`, in macroblocks. What is moved shows the pixels that were `across` columns
    to the right and `down` rows below of it in the last picture. `off` says whose colours are not exactly those that a
    decoder then shows: bool like `kinds`; None if all are.
    """

    kinds: npt.NDArray[np.uint8]
    row: int
    column: int
    across: int = 0
    down: int = 0
    off: Map | None = None

    def count(self, kind: int) -> int:
        """Return how many macroblocks are of this kind."""
        return int(np.count_nonzero(self.kinds == kind))

    def places(self, kind: int, at_most: int | None = None) -> Iterator[tuple[int, int]]:
        """Yield row and column of the macroblocks of this kind in the picture, in ascending order.

        With `at_most`, leave out most of many: fewer than twice as many remain.
        """
        found = np.flatnonzero(self.kinds == kind)
        found = found[:: max(1, found.size // at_most)] if at_most else found
        rows, columns = np.divmod(found, self.kinds.shape[1])
        return zip((rows + self.row).tolist(), (columns + self.column).tolist(), strict=True)


def change_of(before: Planes, part: YuvPart, tolerance: int = 0, shown: Planes | None = None) -> Change:
    """Return what `part` changes in the picture with the planes `before`, which must not have it yet.

    Colours at half the size do not move exactly by an odd number of pixels: they may differ by up to `tolerance`. If
    they did so before, `shown` are the planes that a decoder has in place of `before`.
    """
    place = part.place
    row, column = place.top // SIDE, place.left // SIDE
    shape = -(-place.bottom // SIDE) - row, -(-place.right // SIDE) - column
    differs = np.zeros(shape, np.bool_)
    for old, new, side in zip(cut(before, place), part.planes, _SIDES, strict=True):
        inside = _place_in(place, row, column, side)
        differs |= blocks_with(shape, side, inside, partial(_mark_differing, old, new))
    change = Change(np.where(differs, np.uint8(NEW), np.uint8(SAME)), row, column)
    if change.count(NEW) <= FEW:
        return change
    motion = _motion(before[0], part, change)
    if motion is None:
        return change
    may_differ = shown is not None or motion[0] % 2 or motion[1] % 2
    return _with_moved(shown or before, part, change, motion, tolerance if may_differ else 0)


def _place_in(place: Rectangle, row: int, column: int, side: int) -> Rectangle:
    """Return where a part is in a plane whose blocks have this side, from the given block on."""
    scale = SIDE // side
    left, top = place.left // scale - column * side, place.top // scale - row * side
    return Rectangle(left, top, place.width // scale, place.height // scale)


def _mark_differing(old: Pixels, new: Pixels, rows: slice, marks: Map) -> None:
    np.not_equal(old[rows], new[rows], out=marks)


def _motion(before: Pixels, part: YuvPart, change: Change) -> tuple[int, int] | None:
    """Return a displacement, in columns and rows, on which some samples agree."""
    votes: Counter[tuple[int, int]] = Counter()
    for row, column in change.places(NEW, _SAMPLES):
        sample = _sample(part, row, column)
        if sample is None:
            continue
        pixels, y, x = sample
        # To compare with a place takes a hundredth of the time of a search.
        found = [motion for motion in votes if _pixels_at(before, y, x, motion) == pixels]
        votes.update(found or _displacements(before, pixels, y, x))
        agreed = next((motion for motion, count in votes.items() if count >= _ENOUGH_VOTES), None)
        if agreed is not None:
            return agreed
    return None


def _sample(part: YuvPart, row: int, column: int) -> tuple[bytes, int, int] | None:
    """Return the pixels with the most edges of a macroblock, and their row and column; None if none has enough."""
    luma, place = part.planes[0], part.place
    top = max(0, row * SIDE - place.top)
    left = max(0, min(column * SIDE - place.left - (_SAMPLE_WIDTH - SIDE) // 2, place.width - _SAMPLE_WIDTH))
    block = luma[top : top + SIDE, left : left + _SAMPLE_WIDTH]
    edges = np.count_nonzero(block[:, 1:] != block[:, :-1], axis=1)
    best = int(np.argmax(edges))
    return (block[best].tobytes(), place.top + top + best, place.left + left) if edges[best] >= _LEAST_EDGES else None


def _pixels_at(before: Pixels, y: int, x: int, motion: tuple[int, int]) -> bytes:
    x, y = x + motion[0], y + motion[1]
    return before[y, x : x + _SAMPLE_WIDTH].tobytes() if 0 <= y < len(before) and x >= 0 else b""


def _displacements(before: Pixels, sample: bytes, y: int, x: int) -> Iterator[tuple[int, int]]:
    """Yield how far from row `y` and column `x` the pixels of `sample` were before."""
    farthest_across, farthest_down = FARTHEST_MOVED
    top, left = max(0, y - farthest_down), max(0, x - farthest_across)
    window = before[top : y + farthest_down + 1, left : x + len(sample) + farthest_across]
    width = window.shape[1]
    pixels, at = window.tobytes(), -1
    for _ in range(_MOST_PLACES):
        at = pixels.find(sample, at + 1)
        if at < 0:
            return
        row, column = divmod(at, width)
        if column + len(sample) <= width:
            yield left + column - x, top + row - y


def mean_at(colours: Pixels, place: Rectangle, change: Change) -> npt.NDArray[np.int16] | Pixels:
    """Return what a decoder makes of a plane of colours for what `change` moves to `place` in it."""
    down, between_rows = divmod(change.down, 2)
    across, between_columns = divmod(change.across, 2)
    rows = slice(place.top + down, place.bottom + down)
    columns = slice(place.left + across, place.right + across)
    return _mean(_sources(colours, rows, columns, between_rows, between_columns))


def _sources(old: Pixels, rows: slice, columns: slice, between_rows: int, between_columns: int) -> list[Pixels]:
    """Return the samples in `rows` and `columns`, and those below and to the right that lie as near."""
    return [
        old[rows.start + down : rows.stop + down, columns.start + across : columns.stop + across]
        for down in range(1 + between_rows)
        for across in range(1 + between_columns)
    ]


def _mean(sources: list[Pixels]) -> npt.NDArray[np.int16] | Pixels:
    """Return the mean as a decoder rounds it (ITU-T H.264, section 8.4.2.2.2)."""
    if len(sources) == 1:
        return sources[0]
    total = np.add(sources[0], sources[1], dtype=np.int16)
    for source in sources[2:]:
        total += source
    total += len(sources) // 2
    total >>= len(sources) // 2
    return total


def _with_moved(before: Planes, part: YuvPart, change: Change, motion: tuple[int, int], tolerance: int) -> Change:
    """Return `change` with what has the pixels from this displacement, and no others, as `MOVED`."""
    place = part.place
    height, width = before[0].shape
    is_new = change.kinds == NEW
    # What the part covers only in part keeps pixels that are not in it.
    is_new[: -(-place.top // SIDE) - change.row] = False
    is_new[:, : -(-place.left // SIDE) - change.column] = False
    if place.bottom < height:
        is_new[place.bottom // SIDE - change.row :] = False
    if place.right < width:
        is_new[:, place.right // SIDE - change.column :] = False
    rows, columns = (np.flatnonzero(is_new.any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return change
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    left, top = (change.column + int(columns[0])) * SIDE, (change.row + int(rows[0])) * SIDE
    # The last macroblocks of a row or column may extend past the edge.
    right, bottom = (change.column + int(columns[-1]) + 1) * SIDE, (change.row + int(rows[-1]) + 1) * SIDE
    inner = Rectangle(left, top, min(right, width) - left, min(bottom, height) - top)
    found = cut(part.planes, inner.moved(-place.left, -place.top))
    is_moved = is_new[box]

    def differs(number: int, tolerance: int = 0) -> Map:
        new, side = found[number], _SIDES[number]
        comparison = _Moved(before[number], new, inner, motion, SIDE // side, tolerance)
        return blocks_with(is_moved.shape, side, Rectangle(0, 0, new.shape[1], new.shape[0]), comparison.mark)

    is_moved &= ~differs(0)
    is_exact = is_moved & ~differs(1) & ~differs(2)
    off = None
    if tolerance and not np.array_equal(is_exact, is_moved):
        is_moved &= ~(differs(1, tolerance) | differs(2, tolerance))
        off = np.zeros_like(is_new)
        off[box] = is_moved & ~is_exact
    else:
        is_moved = is_exact
    change.kinds[box][is_moved] = MOVED
    return change._replace(across=motion[0], down=motion[1], off=off if off is not None and off.any() else None)


class _Moved:
    """Compares a plane of a part with what a decoder makes of the last picture's plane for a displacement.

    In a plane at half the size, whose `scale` is 2, an odd displacement lies between two samples; the decoder takes
    their mean.
    """

    def __init__(
        self, old: Pixels, new: Pixels, place: Rectangle, motion: tuple[int, int], scale: int, tolerance: int
    ) -> None:
        self._old, self._new = old, new
        self._tolerance = tolerance
        self._columns, self._between_columns = divmod(motion[0], scale)
        self._rows, self._between_rows = divmod(motion[1], scale)
        self._left, self._top = place.left // scale, place.top // scale

    def mark(self, rows: slice, marks: Map) -> None:
        """Mark what differs in these rows."""
        old, new = self._old, self._new[rows]
        # In the last picture, where the first sample comes from, and the part of `new` for which there are some.
        y, x = self._top + rows.start + self._rows, self._left + self._columns
        top, left = max(0, -y), max(0, -x)
        bottom = min(new.shape[0], old.shape[0] - self._between_rows - y)
        right = min(new.shape[1], old.shape[1] - self._between_columns - x)
        if (top, left, bottom, right) != (0, 0, *new.shape):
            marks[...] = True
        if top >= bottom or left >= right:
            return
        inside, marks = new[top:bottom, left:right], marks[top:bottom, left:right]
        place = slice(y + top, y + bottom), slice(x + left, x + right)
        moved = _mean(_sources(old, *place, self._between_rows, self._between_columns))
        if not self._tolerance:
            np.not_equal(inside, moved, out=marks)
            return
        differences = np.abs(np.subtract(moved, inside, dtype=np.int16))
        np.greater(differences, self._tolerance, out=marks)
