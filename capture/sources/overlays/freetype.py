"""Renders text into masks with FreeType and the installed fonts.

Every Linux with a screen has FreeType and fonts; a library of our own would only bring both a second time.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_long, c_short, c_ubyte, c_uint, c_ulong, c_ushort
from ctypes import c_void_p as Pointer  # noqa: N812 - what it is here
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from capture.errors import NotReadyError
from capture.system.packages import how_to_install

__all__ = ["Mask", "Typeface"]

Mask: TypeAlias = npt.NDArray[np.float32]

FONTS: Final = Path("/usr/share/fonts")
#: What brings FreeType, the program that finds fonts, and one.
NEEDED: Final = ("libfreetype", "fontconfig", "DejaVu")

#: How long to wait for fontconfig, which finds a font within some hundredths of a second.
SEARCH_LIMIT_S: Final = 5.0

#: Drawn in place of a character that no font has.
UNKNOWN: Final = "\N{WHITE SQUARE}"

_RENDER: Final = 1 << 2
#: FreeType's unit is a sixty-fourth of a pixel.
_FRACTION: Final = 64


class _Generic(Structure):
    _fields_ = (("data", Pointer), ("finalizer", Pointer))


class _Bitmap(Structure):
    _fields_ = (
        *(("rows", c_uint), ("width", c_uint), ("pitch", c_int), ("buffer", POINTER(c_ubyte))),
        *(("num_grays", c_ushort), ("pixel_mode", c_ubyte), ("palette_mode", c_ubyte), ("palette", Pointer)),
    )


class _GlyphSlot(Structure):
    _fields_ = (
        *(("library", Pointer), ("face", Pointer), ("next", Pointer), ("glyph_index", c_uint), ("generic", _Generic)),
        *(("metrics", c_long * 8), ("linear_advance", c_long * 2), ("advance_x", c_long), ("advance_y", c_long)),
        *(("format", c_int), ("bitmap", _Bitmap), ("left", c_int), ("top", c_int)),
    )


class _Face(Structure):
    _fields_ = (
        *((name, c_long) for name in ("num_faces", "face_index", "face_flags", "style_flags", "num_glyphs")),
        *(("family_name", c_char_p), ("style_name", c_char_p), ("num_fixed_sizes", c_int), ("sizes", Pointer)),
        *(("num_charmaps", c_int), ("charmaps", Pointer), ("generic", _Generic), ("bbox", c_long * 4)),
        *(("units_per_em", c_ushort), *((name, c_short) for name in ("ascender", "descender", "height"))),
        *((name, c_short) for name in ("max_width", "max_height", "underline_position", "underline_thickness")),
        ("glyph", POINTER(_GlyphSlot)),
    )


class Typeface:
    """Letters of one size in pixels. For one thread; `close` it after use.

    Raises `NotReadyError` if there is no FreeType or no font.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        #: The baseline below the top of a mask, and the height of a mask, in pixels.
        self.ascent, self.height = size, round(1.3 * size)
        self._faces: list[Any] = []
        self._glyphs: dict[str, tuple[Mask, int, int, float]] = {}
        name = ctypes.util.find_library("freetype")
        try:
            self._freetype = ctypes.CDLL(name or "libfreetype.so.6")
        except OSError as error:
            raise NotReadyError(
                "showing keys needs FreeType, which is not installed", how_to_install(*NEEDED)
            ) from error
        self._freetype.FT_Get_Char_Index.argtypes = (Pointer, c_ulong)
        self._freetype.FT_Load_Glyph.argtypes = (Pointer, c_uint, c_int)
        self._freetype.FT_Set_Pixel_Sizes.argtypes = (Pointer, c_uint, c_uint)
        self._freetype.FT_New_Face.argtypes = (Pointer, c_char_p, c_long, Pointer)
        self._freetype.FT_Done_FreeType.argtypes = (Pointer,)
        self._library = Pointer()
        if self._freetype.FT_Init_FreeType(byref(self._library)):
            raise NotReadyError("showing keys needs FreeType, which failed to start", how_to_install(*NEEDED))
        if not any(map(self._add_face, _fonts("A"))):
            self.close()
            raise NotReadyError("showing keys needs a font, and none is installed", how_to_install(*NEEDED))

    def close(self) -> None:
        """Free the library; may be called twice."""
        self._faces.clear()
        self._glyphs.clear()
        library, self._library = self._library, Pointer()
        if library:
            self._freetype.FT_Done_FreeType(library)

    def width(self, text: str) -> int:
        """Return the width of `text` in pixels."""
        return round(sum(self._glyph(char)[3] for char in text))

    def set(self, text: str) -> Mask:
        """Return how much of each pixel `text` covers: float32 (`height`, width of the text), 0 to 1."""
        mask = np.zeros((self.height, max(1, self.width(text))), np.float32)
        pen = 0.0
        for char in text:
            glyph, left, top, advance = self._glyph(char)
            # Strokes that stick out at the ends are cut off.
            x, y = max(0, round(pen) + left), max(0, self.ascent - top)
            place = mask[y : y + glyph.shape[0], x : x + glyph.shape[1]]
            np.maximum(place, glyph[: place.shape[0], : place.shape[1]], out=place)
            pen += advance
        return mask

    def _glyph(self, char: str) -> tuple[Mask, int, int, float]:
        """Return a letter's mask, its offsets right of the pen and above the baseline, and the pen's advance."""
        if char not in self._glyphs:
            self._glyphs[char] = self._draw(char)
        return self._glyphs[char]

    def _draw(self, char: str) -> tuple[Mask, int, int, float]:
        face = self._face_with(char)
        if face is None:
            if char != UNKNOWN:
                return self._glyph(UNKNOWN)
            side = round(self.size * 0.7)
            box = np.zeros((side, side), np.float32)
            box[:, (0, 1, -2, -1)] = box[(0, 1, -2, -1), :] = 1
            return box, 1, side, side + 2
        index = self._freetype.FT_Get_Char_Index(face, ord(char))
        if self._freetype.FT_Load_Glyph(face, index, _RENDER):
            return np.zeros((0, 0), np.float32), 0, 0, 0.0
        slot = face.contents.glyph.contents
        bitmap = slot.bitmap
        mask = np.zeros((bitmap.rows, bitmap.width), np.float32)
        if bitmap.rows and bitmap.width:
            rows = np.ctypeslib.as_array(bitmap.buffer, (bitmap.rows, abs(bitmap.pitch)))
            mask = rows[:, : bitmap.width].astype(np.float32) / 255
        return mask, slot.left, slot.top, slot.advance_x / _FRACTION

    def _face_with(self, char: str) -> Any:
        for face in self._faces:
            if self._freetype.FT_Get_Char_Index(face, ord(char)):
                return face
        for font in _fonts(char):
            if self._add_face(font) and self._freetype.FT_Get_Char_Index(self._faces[-1], ord(char)):
                return self._faces[-1]
        return None

    def _add_face(self, font: tuple[Path, int]) -> bool:
        face = POINTER(_Face)()
        path, number = font
        if self._freetype.FT_New_Face(self._library, str(path).encode(), number, byref(face)):
            return False
        if self._freetype.FT_Set_Pixel_Sizes(face, 0, self.size):
            return False
        self._faces.append(face)
        return True


def _fonts(char: str) -> Iterator[tuple[Path, int]]:
    """Yield font files that may have the character, best first, each with the font's index in the file."""
    asked = ("fc-match", "-f", "%{file}\t%{index}", f"sans:bold:scalable=true:charset={ord(char):x}")
    with suppress(OSError, subprocess.SubprocessError, ValueError):
        found = subprocess.run(asked, capture_output=True, text=True, timeout=SEARCH_LIMIT_S, check=True).stdout
        file, number = found.split("\t")
        yield Path(file), int(number)
    if char == "A":
        for path in sorted(FONTS.rglob("*Sans-Bold.ttf")):
            yield path, 0
