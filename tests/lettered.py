"""Letters as readers see them that take several characters, and where text may be cut."""

from __future__ import annotations

from typing import Final

__all__ = ["LETTERS"]

#: One letter each: with an umlaut in one and in two characters, a Hindi syllable, a Korean syllable in three letters, a
#: heart with a selector, a thumb with a skin, an astronaut of three joined characters, two flags.
LETTERS: Final = (
    "\u00fc",
    "u\u0308",
    "\u0915\u093f",
    "\u1112\u1161\u11ab",
    "\u2764\ufe0f",
    "\U0001f44d\U0001f3fd",
    "\U0001f469\u200d\U0001f680",
    "\U0001f1e9\U0001f1ea",
    "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
)
