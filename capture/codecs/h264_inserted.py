"""Writes the slices of a picture that is inserted between those of an H.264 encoder.

Most of its macroblocks are skipped: they are the same as in the last picture. The others are stored uncompressed, or
moved, or come from `tile_encoder`. Where a macroblock came from is predicted from those to its left and above (ITU-T
H.264, section 8.4.1.3), so most of those that moved together are skipped, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from capture.codecs.bitstream import bytes_of
from capture.codecs.h264_units import START_CODE, code_of, guarded
from capture.pixels.change import MOVED, Change, Map

if TYPE_CHECKING:
    from capture.codecs.tile_encoder import Run, Tile

__all__ = ["InsertedPicture", "slice_count"]

#: What comes before each slice: the start code, and the first byte of a NAL unit that holds a slice of a reference
#: picture.
_UNIT: Final = b"\0" + START_CODE + b"\x41"

#: `slice_type`s (table 7-6), and `mb_type` of `I_PCM` in a P slice (tables 7-11 and 7-13).
_PREDICTED: Final = 0
_WITHIN: Final = 2
_SAMPLES: Final = 30

#: `dec_ref_pic_marking` that drops the oldest short-term picture.
_KEEP_AS_LAST: Final = "0"


class InsertedPicture:
    """A picture with the number whose bits are `number`, and whose reference `source` chooses."""

    def __init__(self, columns: int, rows: int, number: str, source: str, *, tells_deblocking: bool) -> None:
        self._columns, self._count = columns, columns * rows
        # What follows the address in the headers of slices. The default number of references and the default quantiser.
        options = "0" + source + _KEEP_AS_LAST + code_of(0) + (code_of(1) if tells_deblocking else "")
        self._predicted_head = code_of(_PREDICTED) + code_of(0) + number + options
        self._encoded_head = code_of(_WITHIN) + code_of(0) + number + _KEEP_AS_LAST

    def with_samples(self, replaced: Sequence[tuple[int, bytes]]) -> bytes:
        """Return the picture with macroblocks replaced by samples; each has an address, ascending, and 384 bytes."""
        parts, following, bits = [], 0, code_of(0) + self._predicted_head
        for address, samples in replaced:
            parts += [bytes_of(bits + code_of(address - following) + code_of(_SAMPLES)), samples]
            bits, following = "", address + 1
        if following < self._count:
            bits += code_of(self._count - following)
        parts.append(bytes_of(bits + "1"))
        return _UNIT + guarded(b"".join(parts))

    def with_moved(self, change: Change, tiles: Sequence[Tile], stored: Mapping[int, bytes]) -> bytes:
        """Return the picture with `tiles`, in ascending order, and what `change` says is moved elsewhere.

        The macroblocks that are `stored`, none of them in a tile, have samples as in `with_samples`, by address.
        """
        moved = np.zeros((self._count // self._columns, self._columns), np.bool_)
        rows, columns = change.kinds.shape
        moved[change.row : change.row + rows, change.column : change.column + columns] = change.kinds == MOVED
        predicted = _Predicted(moved, change, stored)
        units: list[bytes] = []
        at = 0
        for tile in tiles:
            if at < tile.run.address:
                units.append(_UNIT + predicted.slice(at, tile.run.address, self._predicted_head))
            units.append(self._encoded(tile))
            at = tile.run.address + tile.run.length
        if at < self._count:
            units.append(_UNIT + predicted.slice(at, self._count, self._predicted_head))
        return b"".join(units)

    def _encoded(self, tile: Tile) -> bytes:
        head = code_of(tile.run.address) + self._encoded_head
        bits = int(head, 2) << tile.bit_count | tile.bits
        length = len(head) + tile.bit_count
        padding = -length % 8
        return _UNIT + guarded((bits << padding).to_bytes((length + padding) // 8, "big"))


class _Predicted:
    """The slices of a picture in which macroblocks are `moved`, bool (rows, columns), by the motion of `change`.

    Some others are `stored`, by address.
    """

    def __init__(self, moved: Map, change: Change, stored: Mapping[int, bytes]) -> None:
        self._columns = moved.shape[1]
        self._moved, self._samples = moved.ravel(), stored
        self._stored = np.zeros_like(self._moved)
        self._stored[list(stored)] = True
        # By the difference of the motion to what is predicted; in quarters of a pixel, with nothing left to encode.
        self._bits = {
            times: "1" + _signed(4 * times * change.across) + _signed(4 * times * change.down) + "1"
            for times in (-1, 0, 1)
        }

    def slice(self, first: int, end: int, head: str) -> bytes:
        """Return the slice of the macroblocks from `first` up to `end`; `head` follows its address in the header."""
        parts: list[bytes] = []
        bits, at = [code_of(first) + head], first
        for address, difference in self._coded(first, end):
            bits.append(code_of(address - at))
            if address in self._samples:
                bits.append(code_of(_SAMPLES))
                parts += [bytes_of("".join(bits)), self._samples[address]]
                bits = []
            else:
                bits.append(self._bits[difference])
            at = address + 1
        if at < end:
            bits.append(code_of(end - at))
        return guarded(b"".join((*parts, bytes_of("".join(bits) + "1"))))

    def _coded(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the addresses of those that are not skipped, and how their motion differs from what is predicted.

        The difference is in multiples of the motion: 1, 0 or -1. See sections 8.4.1.1 and 8.4.1.3: what is stored is
        available, but refers to no picture.
        """
        is_moved, is_stored = self._moved[first:end], self._stored[first:end]
        if not (is_moved.any() or is_stored.any()):
            return
        columns, addresses = self._columns, np.arange(first, end)
        column = addresses % columns
        # To the left, above, above on the right or else on the left. Other slices are not available.
        has_left, has_above = (column > 0) & (addresses > first), addresses - columns >= first
        has_right = (column < columns - 1) & (addresses - columns + 1 >= first)
        has_corner = (column > 0) & (addresses - columns - 1 >= first) & ~has_right

        def before(marked: Map, distance: int) -> Map:
            return marked.take(addresses - distance, mode="wrap")

        def of(marked: Map) -> tuple[Map, Map, Map]:
            third = has_right & before(marked, columns - 1) | has_corner & before(marked, columns + 1)
            return has_left & before(marked, 1), has_above & before(marked, columns), third

        left, above, third = of(self._moved)
        left_refers, above_refers, third_refers = of(~self._stored)
        references = left_refers.astype(np.int8) + above_refers + third_refers
        predicted = left.astype(np.int8) + above + third >= np.where(references == 1, 1, 2)
        rests = ~(has_left & has_above) | (left_refers & ~left) | (above_refers & ~above)
        coded = np.flatnonzero((is_moved != (predicted & ~rests)) | is_stored)
        differences = is_moved[coded].astype(np.int8) - predicted[coded]
        yield from zip((coded + first).tolist(), differences.tolist(), strict=True)


def slice_count(runs: Sequence[Run], count: int) -> int:
    """Return how many slices a picture of `count` macroblocks has in which these `runs` are tiles, in order."""
    ends = [0, *(run.address + run.length for run in runs)]
    begins = [*(run.address for run in runs), count]
    return len(runs) + sum(end < begin for end, begin in zip(ends, begins, strict=True))


def _signed(value: int) -> str:
    """Return `value` as a signed Exp-Golomb code (section 9.1.1)."""
    return code_of(2 * value - 1 if value > 0 else -2 * value)
