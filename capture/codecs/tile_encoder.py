"""Encodes a few macroblocks of a picture, each run of them as a slice that fits into any picture of the stream.

A slice refers to nothing outside itself if it is not predicted from other pictures. So x264 can encode macroblocks from
all over the picture as one small picture, a sheet, with one slice for each run of them. What its slices contain is the
same wherever they are put; only their headers, which say where that is, have to be written anew. x264 takes 2 µs for a
macroblock this way, and 40 µs for a sheet, where a whole picture at 1080p in which nothing changes takes 3 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import av
import numpy as np
from av.video.frame import PictureType

from capture.codecs.h264_sequence import frame_number_bits
from capture.codecs.h264_units import (
    KEY_SLICE,
    PICTURE,
    SEQUENCE,
    CodeReader,
    code_of,
    skip_frame_number,
    unguarded,
    units_in,
)
from capture.codecs.video_context import VIDEO_TIME_BASE, VideoContext
from capture.errors import EncoderError
from capture.pixels.macroblocks import SIDE, Planes, planes_of

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["Run", "Tile", "TileEncoder", "runs_in"]

#: The width of a sheet, and its heights, in macroblocks. Many runs take several sheets.
_COLUMNS: Final = 16
_HEIGHTS: Final = (8, 1)

#: How many macroblocks a run has. x264 makes all slices of a sheet equally long.
_LENGTHS: Final = (16, 4, 1)

#: A run of four that would have this many macroblocks more than needed takes fewer bytes than single ones.
_MOST_SPARE: Final = 1


#: The fields of a sheet's slice headers that we skip are within this many bytes.
_HEAD_BYTES: Final = 12


class Run(NamedTuple):
    """Some macroblocks next to each other: the address of the first, and how many."""

    address: int
    length: int


class Tile(NamedTuple):
    """An encoded run: its slice from the change of the quantiser on, as a number of `bit_count` bits."""

    run: Run
    bits: int
    bit_count: int


def runs_in(marked: npt.NDArray[np.bool_], row: int, column: int, columns: int) -> list[Run]:
    """Cover the `marked` macroblocks, bool (rows, columns), the first at `row` and `column`, with runs, in order.

    A picture has `columns` macroblocks in a row. A few runs contain one that is not marked.
    """
    edges = np.diff(marked, axis=1, prepend=False, append=False)
    found: list[Run] = []
    # In each row, beginnings and ends alternate.
    for (y, first), (_, end) in np.argwhere(edges).reshape(-1, 2, 2).tolist():
        address = (row + y) * columns + column
        at = max(first, found[-1].address + found[-1].length - address if found else 0)
        while at < end:
            count = next(
                length
                for length in _LENGTHS
                if length <= end - at or (length <= end - at + _MOST_SPARE and column + at + length <= columns)
            )
            found.append(Run(address + at, count))
            at += count
    return found


class TileEncoder:
    """Encodes runs of macroblocks for the stream with the parameter sets `parameters`.

    `open_sheet` opens an encoder for pictures of the given width and height whose slices have the given number of
    macroblocks, and whose picture parameters are those of the stream. Use it from one thread.
    """

    def __init__(self, parameters: bytes, columns: int, open_sheet: Callable[[int, int, int], VideoContext]) -> None:
        self._parameters = _picture_parameters(parameters)
        self._columns = columns
        self._open_sheet = open_sheet
        self._sheets: dict[tuple[int, int], _Sheet] = {}

    def encode(self, planes: Planes, runs: Sequence[Run]) -> list[Tile]:
        """Encode the `runs` of the picture with these planes; return them in order.

        Raises `EncoderError` when the encoder fails, or does not fit the stream.
        """
        tiles: list[Tile] = []
        for length in _LENGTHS:
            of_length = [run for run in runs if run.length == length]
            for sheet, batch in self._sheets_for(length, of_length):
                tiles += sheet.encode(planes, batch, self._columns)
        return sorted(tiles)

    def _sheets_for(self, count: int, runs: Sequence[Run]) -> Iterator[tuple[_Sheet, Sequence[Run]]]:
        """Yield sheets and what to encode on each: few rows of their own rather than a large sheet with unused ones."""
        in_row, at = _COLUMNS // count, 0
        while at < len(runs):
            rows_left = -(-(len(runs) - at) // in_row)
            height = next((height for height in _HEIGHTS if 2 * rows_left > height), _HEIGHTS[-1])
            batch = runs[at : at + height * in_row]
            yield self._sheet(height, count), batch
            at += len(batch)

    def _sheet(self, height: int, count: int) -> _Sheet:
        if (height, count) not in self._sheets:
            try:
                context = self._open_sheet(_COLUMNS * SIDE, height * SIDE, count)
            except (av.FFmpegError, ValueError) as error:
                raise EncoderError("its encoder for parts of a picture cannot be opened") from error
            sheet = self._sheets[height, count] = _Sheet(context, height, count)
            if sheet.picture_parameters != self._parameters:
                raise EncoderError("its encoder for parts of a picture has other parameters")
        return self._sheets[height, count]

    def close(self) -> None:
        """Release the encoders. May be called twice."""
        for sheet in self._sheets.values():
            sheet.close()
        self._sheets.clear()


class _Sheet:
    """A small picture whose slices are runs of `count` macroblocks, `height` rows of them."""

    def __init__(self, context: VideoContext, height: int, count: int) -> None:
        self._context = context
        self._count = count
        parameters = bytes(context.stream.codec_context.extradata or b"")
        self.picture_parameters = _picture_parameters(parameters)
        self._number_bits = _number_bits(parameters)
        self._frame = av.VideoFrame(_COLUMNS * SIDE, height * SIDE, "yuv420p")
        self._planes = planes_of(self._frame)
        for plane in self._planes:
            plane[...] = 0
        self._pts = 0

    def encode(self, planes: Planes, runs: Sequence[Run], columns: int) -> Iterator[Tile]:
        """Encode runs of this sheet's length, no more than fit, of a picture with `columns` macroblocks in a row."""
        in_row = _COLUMNS // self._count
        for number, run in enumerate(runs):
            _copy(planes, divmod(run.address, columns), self._planes, divmod(number, in_row), self._count)
        self._pts += 1
        frame = self._frame
        frame.pts, frame.time_base, frame.pict_type = self._pts, VIDEO_TIME_BASE, PictureType.I
        try:
            packet = b"".join(map(bytes, self._context.encode(frame)))
        except av.FFmpegError as error:
            raise EncoderError("its encoder for parts of a picture failed") from error
        slices = [packet[begin + 1 : end] for kind, begin, end in units_in(packet) if kind == KEY_SLICE]
        if len(slices) < len(runs):
            raise EncoderError("its encoder for parts of a picture left some out")
        head_length = self._head_length(slices[0])
        for number, (run, payload) in enumerate(zip(runs, slices[: len(runs)], strict=True)):
            yield Tile(run, *_content(unguarded(payload), len(code_of(number * self._count)) + head_length))

    def _head_length(self, payload: bytes) -> int:
        """Return how many bits the header of a slice has between its address and the change of the quantiser.

        `payload` is the first slice of the picture, whose address has one bit.
        """
        head = CodeReader(unguarded(payload[:_HEAD_BYTES]))
        skip_frame_number(head, self._number_bits)
        # The number of a key frame, and whether it stays a reference.
        head.code()
        head.number(2)
        return head.place - 1

    def close(self) -> None:
        self._context.close()


def _content(payload: bytes, head_length: int) -> tuple[int, int]:
    """Return what follows the first bits of a slice, up to its last one, as a number and its length.

    The last bit of a slice is a one, followed by zeros alone (section 7.3.2.11).
    """
    whole = int.from_bytes(payload, "big")
    zeros = (whole & -whole).bit_length() - 1
    length = 8 * len(payload) - head_length - zeros
    return whole >> zeros & (1 << length) - 1, length


def _copy(picture: Planes, at: tuple[int, int], sheet: Planes, to: tuple[int, int], count: int) -> None:
    """Copy `count` macroblocks from a row and column of macroblocks in `picture` to a row and place in `sheet`.

    Past the edge of the picture, the edge is repeated.
    """
    (row, column), (to_row, place) = at, to
    for number, (source, target) in enumerate(zip(picture, sheet, strict=True)):
        side = SIDE if number == 0 else SIDE // 2
        block = source[row * side : (row + 1) * side, column * side : (column + count) * side]
        height, width = block.shape
        left = place * count * side
        into = target[to_row * side : (to_row + 1) * side, left : left + count * side]
        into[:height, :width] = block
        if width < count * side:
            into[:height, width:] = block[:, -1:]
        if height < side:
            into[height:] = into[height - 1]


def _picture_parameters(parameters: bytes) -> bytes:
    return b"".join(parameters[begin:end] for kind, begin, end in units_in(parameters) if kind == PICTURE)


def _number_bits(parameters: bytes) -> int:
    """Return how many bits the number of a frame has. Raises `EncoderError` if the stream is not supported."""
    sequence = next((parameters[begin + 1 : end] for kind, begin, end in units_in(parameters) if kind == SEQUENCE), b"")
    try:
        count = frame_number_bits(CodeReader(unguarded(sequence)))
    except IndexError:
        count = None
    if count is None:
        raise EncoderError("its encoder for parts of a picture is not supported")
    return count
