"""Lays out rows for a terminal: columns line up, also where letters are wide, and the last one is cut to fit."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Sequence

from capture.cli.live_line import cells
from capture.cli.text import printable
from capture.output import letters

__all__ = ["columns", "cut", "laid_out", "plain"]

_BETWEEN = "  "


def plain(text: str) -> str:
    """Return `text` in letters whose width every terminal agrees on, without control codes."""
    if text.isascii() and text.isprintable():
        return text
    # The selector that asks for a coloured picture makes some terminals draw the sign before it wider.
    return printable(unicodedata.normalize("NFC", text.replace("\ufe0f", "")))


def cut(text: str, width: int) -> str:
    """Return `text` with at most `width` cells, an ellipsis at its end where it was longer."""
    return text if cells(text) <= width else f"{letters.cut(text, width - 1, cells)}…"


def laid_out(rows: Sequence[Sequence[str]], right: Sequence[bool], width: int | None) -> list[str]:
    """Return a line for each row, all with the same number of texts. `right` says which columns end together.

    The last column is cut so that a line has at most `width` cells; without a `width`, nothing is cut.
    """
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)][:-1]
    left = None if width is None else max(1, width - sum(widths) - len(_BETWEEN) * len(widths))
    lines = []
    for *texts, last in rows:
        padded = [
            " " * (wide - cells(text)) + text if ends else text + " " * (wide - cells(text))
            for text, wide, ends in zip(texts, widths, right, strict=True)
        ]
        lines.append(_BETWEEN.join([*padded, last if left is None else cut(last, left)]).rstrip())
    return lines


def columns() -> int | None:
    """Return how many cells a line of the terminal has; None where the output goes to a file or a pipe."""
    if not sys.stdout.isatty():
        return None
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or 80
    except (OSError, ValueError):
        return 80
