"""Writes the slices of a picture that is inserted between those of an H.264 encoder.

Most of its macroblocks are skipped: they are the same as in the last picture. The others are stored uncompressed, or
moved, or come from `tile_encoder`. What was predicted from the last picture, and how, affects the macroblocks after it
and below it, so a slice with moved ones ends with its row: within it, only the one to the left counts (ITU-T H.264,
section 8.4.1.3).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from capture.codecs.bitstream import bytes_of
from capture.codecs.h264_units import START_CODE, code_of, guarded
from capture.pixels.change import MOVED, Change

if TYPE_CHECKING:
    from capture.codecs.tile_encoder import Tile

__all__ = ["InsertedPicture"]

#: What comes before each slice: the start code, and the first byte of a NAL unit that holds a slice of a reference
#: picture.
_UNIT: Final = b"\0" + START_CODE + b"\x41"

#: `slice_type`s (table 7-6), and `mb_type` of `I_PCM` in a P slice (tables 7-11 and 7-13).
_PREDICTED: Final = 0
_WITHIN: Final = 2
_SAMPLES: Final = 30

#: `dec_ref_pic_marking` that drops the oldest short-term picture.
_KEEP_AS_LAST: Final = "0"

#: A macroblock that moved as the one to its left did: none skipped before it, `P_L0_16x16`, no difference across and
#: down, and nothing left to encode.
_AS_LEFT: Final = "11111"


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

    def with_moved(self, change: Change, tiles: Sequence[Tile]) -> bytes:
        """Return the picture with `tiles`, in ascending order, and what `change` says is moved elsewhere."""
        moved = self._moved_runs(change)
        # The difference to a macroblock that did not move, in quarters of a pixel; and nothing left to encode.
        motion = "1" + _signed(4 * change.across) + _signed(4 * change.down) + "1"
        units: list[bytes] = []
        at = 0
        for tile in tiles:
            units += self._predicted(at, tile.run.address, moved, motion)
            units.append(self._encoded(tile))
            at = tile.run.address + tile.run.length
        units += self._predicted(at, self._count, moved, motion)
        return b"".join(units)

    def _moved_runs(self, change: Change) -> dict[int, list[tuple[int, int]]]:
        """Return the addresses where runs of moved macroblocks begin and end, by their row."""
        edges = np.diff(change.kinds == MOVED, axis=1, prepend=False, append=False)
        runs: dict[int, list[tuple[int, int]]] = {}
        # In each row, beginnings and ends alternate.
        for (row, first), (_, end) in np.argwhere(edges).reshape(-1, 2, 2).tolist():
            address = (row + change.row) * self._columns + change.column
            runs.setdefault(row + change.row, []).append((address + first, address + end))
        return runs

    def _predicted(self, first: int, end: int, moved: dict[int, list[tuple[int, int]]], motion: str) -> Iterator[bytes]:
        """Yield slices for the macroblocks from `first` up to `end`: one for each row in which some are moved."""
        if first == end:
            return
        at = first
        for row in range(first // self._columns, -(-end // self._columns)):
            if row not in moved:
                continue
            row_first, row_end = max(first, row * self._columns), min(end, (row + 1) * self._columns)
            runs = [(max(begin, row_first), min(stop, row_end)) for begin, stop in moved[row]]
            runs = [(begin, stop) for begin, stop in runs if begin < stop]
            if not runs:
                continue
            if at < row_first:
                yield self._skipped(at, row_first)
            yield self._moved(row_first, row_end, runs, motion)
            at = row_end
        if at < end:
            yield self._skipped(at, end)

    def _skipped(self, first: int, end: int) -> bytes:
        return _UNIT + guarded(bytes_of(code_of(first) + self._predicted_head + code_of(end - first) + "1"))

    def _moved(self, first: int, end: int, runs: Sequence[tuple[int, int]], motion: str) -> bytes:
        parts, at = [code_of(first) + self._predicted_head], first
        for begin, stop in runs:
            parts += [code_of(begin - at), motion, _AS_LEFT * (stop - begin - 1)]
            at = stop
        if at < end:
            parts.append(code_of(end - at))
        return _UNIT + guarded(bytes_of("".join(parts) + "1"))

    def _encoded(self, tile: Tile) -> bytes:
        head = code_of(tile.run.address) + self._encoded_head
        bits = int(head, 2) << tile.bit_count | tile.bits
        length = len(head) + tile.bit_count
        padding = -length % 8
        return _UNIT + guarded((bits << padding).to_bytes((length + padding) // 8, "big"))


def _signed(value: int) -> str:
    """Return `value` as a signed Exp-Golomb code (section 9.1.1)."""
    return code_of(2 * value - 1 if value > 0 else -2 * value)
