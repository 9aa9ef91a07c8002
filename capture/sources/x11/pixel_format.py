"""How the pixels of an X server lie in memory, and their conversion to the pipeline's."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from capture.media import Pixels

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["PixelFormat", "formats_of"]

#: The classes of visuals whose pixels are red, green and blue (TrueColor, DirectColor), and not numbers in a table.
_COLOURED: Final = (4, 5)

#: The masks of red, green and blue in the pipeline's pixels.
_USUAL: Final = (0xFF0000, 0xFF00, 0xFF)


class PixelFormat(NamedTuple):
    """The pixels of a visual: `bits` each, of which `depth` count, in rows of a multiple of `pad_bits`.

    `masks` are those of red, green and blue.
    """

    depth: int
    bits: int
    pad_bits: int
    masks: tuple[int, int, int]
    is_coloured: bool
    is_little_endian: bool

    @property
    def is_readable(self) -> bool:
        """Whether `pixels` can convert it: true colours, in bytes, words or double words."""
        return self.is_coloured and self.bits in (8, 16, 32) and all(self.masks)

    @property
    def is_usual(self) -> bool:
        """Whether its pixels are already the pipeline's: blue, green, red, and an unused byte."""
        return self.is_coloured and self.is_little_endian and (self.bits, self.masks) == (32, _USUAL)

    def size_bytes(self, width: int, height: int) -> int:
        return self._row_bytes(width) * height

    def _row_bytes(self, width: int) -> int:
        return -(-width * self.bits // self.pad_bits) * self.pad_bits // 8

    def pixels(self, image: npt.NDArray[np.uint8], width: int, height: int) -> Pixels:
        """Return an image, uint8 (size_bytes,), as uint8 (height, width, 4): in the same memory if it is the usual."""
        if self.is_usual:
            return image.reshape(height, width, 4)
        rows = image.reshape(height, self._row_bytes(width))
        values = rows.view(f"{'<' if self.is_little_endian else '>'}u{self.bits // 8}")[:, :width]
        if self.bits <= 16:
            import numpy as np

            # A table of all values is faster than the arithmetic on each pixel.
            every = np.arange(1 << self.bits, dtype=np.uint32)
            return _as_bytes(self._usual(every)[values])
        return _as_bytes(self._usual(values.astype("u4", copy=False)))

    def _usual(self, values: npt.NDArray[np.uint32]) -> npt.NDArray[np.uint32]:
        """Return the pixels in the usual format: uint32, of the shape of `values`."""
        import numpy as np

        found = np.zeros(values.shape, np.uint32)
        for mask, place in zip(self.masks, (16, 8, 0), strict=True):
            lowest = (mask & -mask).bit_length() - 1
            width = (mask >> lowest).bit_length()
            part = (values & np.uint32(mask)) >> np.uint32(lowest)
            if width > 8:
                part >>= np.uint32(width - 8)
            elif width < 8:
                largest = np.uint32((1 << width) - 1)
                part = (part * np.uint32(255) + largest // np.uint32(2)) // largest
            found |= part << np.uint32(place)
        return found


def _as_bytes(pixels: npt.NDArray[np.uint32]) -> Pixels:
    import numpy as np

    return np.ascontiguousarray(pixels, "<u4").view(np.uint8).reshape(*pixels.shape, 4)


def formats_of(setup: bytes) -> tuple[Mapping[int, PixelFormat], Mapping[int, int]]:
    """Return the format of each visual, and the visual of each root window, from a connection's setup block."""
    vendor, roots, formats, order = struct.unpack_from("=H2xBBB", setup, 24)
    place = 40 + vendor + -vendor % 4
    kept = {setup[at]: (setup[at + 1], setup[at + 2]) for at in range(place, place + 8 * formats, 8)}
    place += 8 * formats
    found: dict[int, PixelFormat] = {}
    visuals: dict[int, int] = {}
    for _ in range(roots):
        root, visual, depths = struct.unpack_from("=I28xI3xB", setup, place)
        visuals[root] = visual
        place += 40
        for _ in range(depths):
            depth, count = struct.unpack_from("=BxH", setup, place)
            place += 8
            for number, kind, *masks in struct.iter_unpack("=IB3x3I4x", setup[place : place + 24 * count]):
                found[number] = _format(depth, kept.get(depth, (0, 32)), kind, masks, order == 0)
            place += 24 * count
    return found, visuals


def _format(depth: int, kept: tuple[int, int], kind: int, masks: list[Any], is_little_endian: bool) -> PixelFormat:
    red, green, blue = masks
    return PixelFormat(depth, *kept, (red, green, blue), kind in _COLOURED, is_little_endian)
