"""Fits the live line into the width of a terminal: the least important part gets shorter first, and words stay whole.

The last things to go are how to stop and that pressed keys are in the picture.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final, NamedTuple

__all__ = ["Part", "as_done", "cells", "fitted", "hint"]


#: The share from which on the time left can be told from the time that has passed.
_KNOWN_FROM: Final = 0.05


class Part(NamedTuple):
    """A part of the line in its forms, longest first, and how important each form is compared with the next one.

    There is one rank fewer than forms: the last form stays. An empty form leaves the part out.
    """

    forms: Sequence[str]
    ranks: Sequence[int] = ()


def hint(keys: str) -> Part:
    """Return the hint about keys, as in `F9 saves a clip, F8 or Ctrl+C stops`; `Ctrl+C stops` goes last."""
    *others, stop = keys.split(", ")
    by_signal = stop.rpartition(" or ")[2]
    ranks = {keys: 25, f"{(others or [''])[-1]}, {stop}": 35, stop: 36, by_signal: 95, by_signal.rpartition(" ")[0]: 0}
    forms = [form for form in ranks if form and not form.startswith(", ")]
    return Part(forms, [ranks[form] for form in forms[:-1]])


def fitted(parts: Sequence[Part], width: int) -> str:
    """Return the parts in one line of at most `width` cells.

    Shortens the form with the lowest rank first, and of two with the same rank the later one; then takes back what was
    not necessary. Where even the last forms do not fit, the first parts are left out.
    """
    chosen = [0] * len(parts)

    def line() -> str:
        return _joined([part.forms[form] for part, form in zip(parts, chosen, strict=True)])

    shortened: list[int] = []
    while cells(line()) > width:
        left = [
            (part.ranks[form], -index)
            for index, (part, form) in enumerate(zip(parts, chosen, strict=True))
            if form < len(part.ranks)
        ]
        if not left:
            break
        shortened.append(-min(left)[1])
        chosen[shortened[-1]] += 1
    for index in reversed(shortened):
        chosen[index] -= 1
        chosen[index] += cells(line()) > width
    texts = [part.forms[form] for part, form in zip(parts, chosen, strict=True)]
    while texts and cells(_joined(texts)) > width:
        del texts[0]
    return _joined(texts)


def _joined(texts: Sequence[str]) -> str:
    return "  ".join(filter(None, texts))


def cells(text: str) -> int:
    """Return how many cells of a terminal `text` takes: wide letters, such as Chinese ones, take two."""
    if text.isascii():
        return len(text)
    # Marks are drawn onto the letter before them.
    shown = (char for char in text if unicodedata.category(char) not in ("Mn", "Me"))
    return sum(1 + (unicodedata.east_asian_width(char) in "WF") for char in shown)


def as_done(waited_s: float, share: float) -> str:
    """Describe work that has taken `waited_s` for this share of it, 0 if that is unknown."""
    if not share:
        return f"{waited_s:.0f} s so far"
    percent = f"{share:.0%}"
    if share < _KNOWN_FROM:
        return percent
    left_s = waited_s * (1.0 - share) / share
    return f"{percent}, {left_s:.0f} s left" if left_s < 100 else f"{percent}, {left_s / 60:.0f} min left"
