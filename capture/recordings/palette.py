"""Chooses the 255 colours of a GIF and paints its frames with them.

FFmpeg's filters do this for each colour by itself, which takes seconds for a film: its frames hardly share any. Here
colours are counted in cells of 8 x 4 x 8 levels, and each cell gets one colour of the palette.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["Palette", "PaletteChooser"]

#: The bits of red, green and blue in the number of a cell.
_BITS: Final = (5, 6, 5)
_CELLS: Final = 1 << sum(_BITS)

#: One of the 256 colours of a GIF is transparent.
_MOST_COLOURS: Final = 255

#: How often the colours move to the middle of the pixels that got them.
_REFINEMENTS: Final = 2

#: How many cells are compared with the palette at once; fewer need less memory.
_GROUP: Final = 8_192

#: uint8 (height, width, 3): red, green, blue.
Rgb = npt.NDArray[np.uint8]


def _bayer(side: int) -> npt.NDArray[np.int16]:
    """Return the thresholds of ordered dithering, from -4 to 4, as (side, side)."""
    order = np.zeros((1, 1))
    while len(order) < side:
        order = np.block([[4 * order, 4 * order + 2], [4 * order + 3, 4 * order + 1]])
    return np.rint((order + 0.5) / side**2 * 8 - 4).astype(np.int16)


_DITHER: Final = _bayer(8)


def _cells(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint16]:
    """Return the number of the cell of each pixel, (height, width)."""
    wide = pixels.astype(np.uint16)
    cells: npt.NDArray[Any] = (wide[..., 0] >> 3 << 11) | (wide[..., 1] >> 2 << 5) | (wide[..., 2] >> 3)
    return cells


def _middle_of(cells: npt.NDArray[np.intp]) -> tuple[npt.NDArray[Any], ...]:
    """Return the red, green and blue in the middle of each cell."""
    return (cells >> 11 << 3) + 4.0, (cells >> 5 & 63) * 4 + 2.0, ((cells & 31) << 3) + 4.0


class PaletteChooser:
    """Counts the colours of frames."""

    def __init__(self) -> None:
        self._counts = np.zeros(_CELLS)
        self._sums = np.zeros((_CELLS, 3))

    def add(self, pixels: Rgb) -> None:
        """Count every second pixel of a frame."""
        half = pixels[:, ::2]
        cells = _cells(half).ravel()
        self._counts += np.bincount(cells, minlength=_CELLS)
        for channel in range(3):
            self._sums[:, channel] += np.bincount(cells, half[..., channel].ravel(), _CELLS)

    def palette(self) -> Palette:
        """Return the palette for what was counted."""
        used = np.flatnonzero(self._counts)
        counts = self._counts[used]
        colours = self._sums[used] / counts[:, None]
        chosen = _middles(colours, counts, _parts(colours, counts))
        for _ in range(_REFINEMENTS if len(used) > _MOST_COLOURS else 0):
            chosen = _middles(colours, counts, _nearest(colours, chosen))
        return Palette(chosen, used, colours)


def _parts(colours: npt.NDArray[Any], counts: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Divide the colours into as many parts as a palette has, always where they differ most; return each one's part."""
    parts = np.zeros(len(colours), np.intp)
    spreads = {0: _spread(colours, counts)}
    members = {0: np.arange(len(colours))}
    while len(members) < min(_MOST_COLOURS, len(colours)):
        part = max(spreads, key=lambda each: spreads[each][0])
        if spreads[part][0] <= 0:
            break
        _, axis, middle = spreads[part]
        inside = members[part]
        above = colours[inside, axis] > middle
        new = len(members)
        members[part], members[new] = inside[~above], inside[above]
        parts[members[new]] = new
        for each in (part, new):
            spreads[each] = _spread(colours[members[each]], counts[members[each]])
    return parts


def _spread(colours: npt.NDArray[Any], counts: npt.NDArray[Any]) -> tuple[float, int, float]:
    """Return how far these colours differ, the channel in which they do so most, and their mean there."""
    total = counts.sum()
    means = counts @ colours / total
    variances = counts @ (colours - means) ** 2
    axis = int(variances.argmax())
    return float(variances[axis]) if len(colours) > 1 else 0.0, axis, float(means[axis])


def _middles(
    colours: npt.NDArray[Any], counts: npt.NDArray[Any], parts: npt.NDArray[np.intp]
) -> npt.NDArray[np.float64]:
    """Return the mean colour of each part that has any."""
    totals = np.bincount(parts, counts)
    sums = [np.bincount(parts, counts * colours[:, channel]) for channel in range(3)]
    filled = totals > 0
    means: npt.NDArray[np.float64] = (np.stack(sums, axis=1)[filled]) / totals[filled, None]
    return means


def _nearest(colours: npt.NDArray[Any], chosen: npt.NDArray[Any]) -> npt.NDArray[np.intp]:
    """Return the number of the chosen colour that is nearest to each colour."""
    found = np.empty(len(colours), np.intp)
    # Squares of distances, but for what is the same for all chosen colours.
    chosen = chosen.astype(np.float32)
    lengths = (chosen**2).sum(axis=1)
    for first in range(0, len(colours), _GROUP):
        part = colours[first : first + _GROUP].astype(np.float32)
        found[first : first + _GROUP] = (lengths - 2 * part @ chosen.T).argmin(axis=1)
    return found


class Palette:
    """The colours of a GIF."""

    def __init__(
        self, chosen: npt.NDArray[np.float64], used: npt.NDArray[np.intp], colours: npt.NDArray[np.float64]
    ) -> None:
        """`used` are the cells that were counted, with their mean `colours`."""
        #: uint8 (256, 4): alpha, red, green, blue; the last one is transparent.
        self.argb = np.zeros((256, 4), np.uint8)
        self.argb[: len(chosen), 0] = 255
        self.argb[: len(chosen), 1:] = np.rint(chosen)
        self._chosen = np.rint(chosen)
        self._colours = np.stack(_middle_of(np.arange(_CELLS)), axis=1)
        self._colours[used] = colours
        #: The number of the colour of each cell; -1 until it is first needed.
        self._number_of_cell = np.full(_CELLS, -1, np.int16)

    def painted(self, pixels: Rgb) -> npt.NDArray[np.uint8]:
        """Return the numbers of the colours that show these pixels best, (height, width)."""
        height, width, _ = pixels.shape
        tiled = np.tile(_DITHER, (-(-height // len(_DITHER)), -(-width // len(_DITHER))))[:height, :width]
        cells = _cells(np.clip(pixels + tiled[..., None], 0, 255))
        numbers = self._number_of_cell[cells]
        if numbers.min() < 0:
            new = np.unique(cells[numbers < 0])
            self._number_of_cell[new] = _nearest(self._colours[new], self._chosen)
            numbers = self._number_of_cell[cells]
        painted: npt.NDArray[np.uint8] = numbers.astype(np.uint8)
        return painted
