"""Makes pictures in which little is new, without the encoder: it takes milliseconds even where nothing changes.

A typed letter, a caret and a clock are a few macroblocks, which are stored as they are. In a page that scrolls and a
window that is dragged, nearly all macroblocks only move; the others are encoded as parts of a picture.

The encoder does not know about these pictures, so its own next one shows the difference to its last one. That takes up
to as many bytes as a key frame, so these pictures have to come in long runs to be worth it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import av

from capture.codecs.h264_inserted import slice_count
from capture.codecs.h264_slices import SliceWriter
from capture.codecs.tile_encoder import Run, TileEncoder, runs_in
from capture.codecs.video_context import VideoContext
from capture.errors import EncoderError
from capture.media import VIDEO_TICKS_PER_S
from capture.pixels.change import FEW, MOVED, NEW, Change, change_of
from capture.pixels.macroblocks import SAMPLES_BYTES, Planes, planes_of, samples_of
from capture.pixels.shown_colours import ShownColours
from capture.pixels.yuv_part import YuvPart

__all__ = ["NEW_BYTES_PER_S", "NEW_BYTES_SAVED", "PartialPictures"]

#: How many bytes new macroblocks may take that come without moved ones: in the long run as much as the sound, and up to
#: four seconds' worth at once. The encoder might find them in its last picture, as in a film. A typed letter with its
#: caret takes 0.8 to 1.5 kB, and 0.2 ms instead of 4.
NEW_BYTES_PER_S: Final = 16_000
NEW_BYTES_SAVED: Final = 64_000

#: What an encoded macroblock of text takes, with its slice's header.
_ENCODED_BYTES: Final = 90

#: The most macroblocks that are encoded as parts of a picture, as a share of all; the encoder takes about as long for
#: all as for this many. Next to new ones, twice as many have to be moved.
_MOST_NEW: Final = 1 / 8
_MOVED_FOR_EACH_NEW: Final = 2

#: The most slices of a picture. FFmpeg's decoders for graphics cards on Windows (DXVA, D3D11), which players use there,
#: leave out all from the 33rd on; its own warns of each from the 32nd on.
MOST_SLICES: Final = 31

#: The most macroblocks that are stored because too many slices would be needed to encode them: 25 kB.
_MOST_STORED: Final = 64

#: By how much the colours of what moves by an odd number of pixels may differ, in steps of 8 bits: as much as the
#: quantiser takes. However often something moves, it differs by no more.
_TOLERANCE: Final = {"low": 10, "medium": 8, "high": 2}

#: After a run that was too short for its end, which took as much as this share of a key frame beyond what is new, there
#: is none for so long. That doubles with each, up to the longest.
LEAST_RUN: Final = 10
_LARGE_SHARE: Final = 0.5
FIRST_WAIT_S: Final = 2.0
LONGEST_WAIT_S: Final = 32.0

#: How many parts in which nothing is found to have moved are compared in a row; then most are not looked at.
_MOST_FAILED: Final = 4
_LOOKS_AT_EACH: Final = 8


class PartialPictures:
    """Makes pictures for the stream that `slices` writes into, with its `parameters` and its `quality`.

    `open_sheet` is that of `TileEncoder`. Use it from one thread.
    """

    def __init__(
        self,
        slices: SliceWriter,
        parameters: bytes,
        quality: str,
        open_sheet: Callable[[int, int, int], VideoContext],
    ) -> None:
        self._slices = slices
        self._tolerance = _TOLERANCE[quality]
        self._tiles = TileEncoder(parameters, slices.columns, open_sheet)
        self._colours = ShownColours()
        self._budget = _ByteBudget(NEW_BYTES_PER_S, NEW_BYTES_SAVED)
        # How many pictures with tiles came since the encoder's last one, and when there may be some again.
        self._run = 0
        self._wait_s = FIRST_WAIT_S
        self._not_before_pts = 0.0
        # The share of macroblocks that are new in the next picture, as far as it is known.
        self._new_share = 0.0
        # How many parts with many new macroblocks came in a row.
        self._failed = 0

    def change_of(self, before: av.VideoFrame, part: YuvPart, pts: int) -> Change | None:
        """Return what `part` changes in the picture `before`; None if it is not worth finding out."""
        is_large = part.frame is not None
        if is_large and (pts < self._not_before_pts or self._is_hopeless()):
            return None
        planes = planes_of(before)
        change = change_of(planes, part, self._tolerance, self._colours.of(planes))
        self._colours.expect(change, planes)
        if is_large:
            self._failed = self._failed + 1 if change.count(NEW) > self._most_new else 0
        return change

    def _is_hopeless(self) -> bool:
        if self._failed < _MOST_FAILED:
            return False
        self._failed += 1
        return self._failed % _LOOKS_AT_EACH != 0

    @property
    def _most_new(self) -> float:
        return _MOST_NEW * self._slices.macroblocks

    def picture(self, change: Change, frame: av.VideoFrame, pts: int) -> bytes | None:
        """Return the picture `frame`, which `change` has led to; None if the encoder has to make it."""
        new, moved, planes = change.count(NEW), change.count(MOVED), planes_of(frame)
        self._new_share = new / self._slices.macroblocks
        if not moved and new <= FEW and self._budget.spend(new * SAMPLES_BYTES, pts):
            columns = self._slices.columns
            self._colours.follow(change, planes)
            addresses = [row * columns + column for row, column in change.places(NEW)]
            return self._slices.picture([(address, samples_of(planes, address)) for address in addresses])
        if pts < self._not_before_pts or new > self._most_new or abs(change.down) > self._slices.farthest_down:
            return None
        # In a run, a few new ones take less than its end.
        is_few = self._run > 0 and new <= FEW
        is_free = is_few or moved >= _MOVED_FOR_EACH_NEW * new
        if not is_free and not self._budget.spend(new * _ENCODED_BYTES, pts):
            return None
        return self._with_tiles(change, planes)

    def _with_tiles(self, change: Change, planes: Planes) -> bytes | None:
        """Return the picture with what is moved moved, and what is new encoded or stored."""
        runs = runs_in(change.kinds == NEW, change.row, change.column, self._slices.columns)
        encoded = self._fitting(runs)
        of_runs = {address for run in encoded for address in range(run.address, run.address + run.length)}
        places = [row * self._slices.columns + column for row, column in change.places(NEW)]
        stored = {address: samples_of(planes, address) for address in places if address not in of_runs}
        if len(stored) > _MOST_STORED:
            return None
        try:
            tiles = self._tiles.encode(planes, encoded)
        except EncoderError:
            # The encoder of the whole picture can do it, too.
            self._not_before_pts = math.inf
            return None
        self._run += 1
        self._colours.follow(change, planes)
        return self._slices.changed_picture(change, tiles, stored)

    def _fitting(self, runs: list[Run]) -> list[Run]:
        """Return the longest runs, in order: as many as fit into the slices of a picture."""
        longest = sorted(runs, key=lambda run: -run.length)
        for count in range(min(len(runs), MOST_SLICES), 0, -1):
            fitting = sorted(longest[:count])
            if slice_count(fitting, self._slices.macroblocks) <= MOST_SLICES:
                return fitting
        return []

    def note_encoded(self, size: int, key_bytes: int, pts: int, *, is_key: bool) -> None:
        """Note that the encoder made a picture of `size` bytes; the last key frame took `key_bytes`."""
        if self._run >= LEAST_RUN:
            self._wait_s = FIRST_WAIT_S
        elif self._run and not is_key and size >= (_LARGE_SHARE + self._new_share) * key_bytes:
            self._not_before_pts = max(self._not_before_pts, pts + self._wait_s * VIDEO_TICKS_PER_S)
            self._wait_s = min(LONGEST_WAIT_S, 2 * self._wait_s)
        self._run, self._new_share = 0, 0.0
        self._colours.forget()

    def close(self) -> None:
        """Release the encoders. May be called twice."""
        self._tiles.close()


class _ByteBudget:
    """A byte budget: earns `bytes_per_s` of media time and saves up to `most_saved`."""

    def __init__(self, bytes_per_s: int, most_saved: int) -> None:
        self._bytes_per_s = bytes_per_s
        self._most_saved = most_saved
        self._left: float = most_saved
        self._spent_pts = 0

    def spend(self, count: int, pts: int) -> bool:
        """Spend `count` bytes at `pts` if the budget allows; return whether it did."""
        earned = (pts - self._spent_pts) / VIDEO_TICKS_PER_S * self._bytes_per_s
        self._left, self._spent_pts = min(self._most_saved, self._left + earned), pts
        if count > self._left:
            return False
        self._left -= count
        return True
