"""Cuts text between two letters as readers see them, and makes text of file names.

A letter goes with its accents, an emoji with all its parts. This follows the grapheme clusters of Unicode's UAX #29, as
far as the standard library's tables tell.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable

__all__ = ["cut", "text_of_name"]

_JOINER = "\u200d"


def text_of_name(name: str) -> str:
    """Return a file name as one line that any program reads: names need not be UTF-8, and may contain line breaks."""
    shown = os.fsencode(name).decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "_" for char in shown)


def cut(text: str, limit: int, size_of: Callable[[str], int] = len) -> str:
    """Return the longest start of `text` that ends with a whole letter and whose size is at most `limit`.

    `size_of` returns the size of a part, by default in characters.
    """
    start = size = 0
    while start < len(text):
        end = _end_of_letter(text, start)
        size += size_of(text[start:end])
        if size > limit:
            break
        start = end
    return text[:start]


def _end_of_letter(text: str, start: int) -> int:
    """Return where the letter that begins at `start` ends."""
    end = start + 1
    if end < len(text) and _is_half_of_flag(text[start]) and _is_half_of_flag(text[end]):
        end += 1
    while end < len(text) and (_goes_with_the_last(text[end]) or text[end - 1] == _JOINER):
        end += 1
    return end


def _is_half_of_flag(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _goes_with_the_last(char: str) -> bool:
    """Whether a character changes the one before it: an accent, a joiner, a selector, or the colour of a skin."""
    return (
        unicodedata.category(char).startswith("M")
        or char == _JOINER
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        # The vowels and finals of Korean syllables that are written letter by letter.
        or "\u1160" <= char <= "\u11ff"
        # The letters of a region in its flag.
        or "\U000e0020" <= char <= "\U000e007f"
    )
