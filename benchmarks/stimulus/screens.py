"""What a screen of 1080p at 30 fps shows in a minute, drawn without a display: moments, and what changes at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from capture.media import Pixels

__all__ = ["FPS", "HEIGHT", "SCREENS", "WIDTH", "Drawn", "typing_scrolling_windows"]

WIDTH: Final = 1920
HEIGHT: Final = 1080
FPS: Final = 30

#: A typed letter, and how many pixels a page and a film move in a slot.
_LETTER: Final = (24, 16)
_SCROLLED: Final = 24
_PANNED: Final = 4

_HEARTBEAT_S: Final = 0.55

#: The letters of a page: their height, that of a line, and their widths.
_GLYPH_HEIGHT: Final = 14
_LINE_HEIGHT: Final = 21
_GLYPH_WIDTHS: Final = (4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14)

#: When the screen rests and repeats, types and scrolls, in every twelve seconds. Then another window covers it.
_PERIOD_S: Final = 12.0
_TYPES_FROM_S: Final = 4.0
_SCROLLS_FROM_S: Final = 10.0


class Drawn(NamedTuple):
    """At which moment what was drawn, None for a repeat, and its column and row."""

    at_s: float
    pixels: Pixels | None
    left: int = 0
    top: int = 0


def typing_scrolling_windows(seconds: float, *, as_text: bool = False) -> Iterator[Drawn]:
    """Type, scroll, and open another window every twelve seconds.

    `as_text` draws letters of different widths; otherwise all have one, and much of a window is found in the last one.
    """
    random = np.random.default_rng(4)
    page, top = (_text if as_text else _cells)(random, 2 * HEIGHT), 0

    def at(slot: int, at_s: float) -> Drawn | None:
        nonlocal page, top
        place_s = at_s % _PERIOD_S
        if place_s < 1 / FPS and slot:
            page = np.ascontiguousarray(page[::-1, ::-1])
        elif place_s >= _SCROLLS_FROM_S:
            top = (top + _SCROLLED) % HEIGHT
        elif slot:
            return _letter(random, slot, at_s) if place_s >= _TYPES_FROM_S else None
        return Drawn(at_s, page[top : top + HEIGHT].copy())

    return _with_repeats(seconds, at)


def _typing(seconds: float) -> Iterator[Drawn]:
    random = np.random.default_rng(5)
    page = _text(random, HEIGHT)
    return _with_repeats(seconds, lambda slot, at_s: _letter(random, slot, at_s) if slot else Drawn(at_s, page))


def _typing_and_scrolling(seconds: float) -> Iterator[Drawn]:
    random = np.random.default_rng(6)
    page = _text(random, 2 * HEIGHT)

    def at(slot: int, at_s: float) -> Drawn | None:
        # It scrolls for a second in five.
        if slot and slot % (5 * FPS) >= FPS:
            return _letter(random, slot, at_s)
        top = _SCROLLED * (slot // (5 * FPS) * FPS + slot % (5 * FPS)) % HEIGHT
        return Drawn(at_s, page[top : top + HEIGHT].copy())

    return _with_repeats(seconds, at)


def _windows(seconds: float) -> Iterator[Drawn]:
    """Show another window of text every 2.5 s; the user types in it."""
    random = np.random.default_rng(7)
    every = round(2.5 * FPS)
    return _with_repeats(
        seconds,
        lambda slot, at_s: _letter(random, slot, at_s) if slot % every else Drawn(at_s, _text(random, HEIGHT)),
    )


def _slides(seconds: float) -> Iterator[Drawn]:
    """Show another slide every 5 s, in two steps half a second apart."""
    random = np.random.default_rng(8)

    def at(slot: int, at_s: float) -> Drawn | None:
        step = slot % (5 * FPS)
        if step not in (0, FPS // 2):
            return None
        slide = np.empty((HEIGHT, WIDTH, 4), np.uint8)
        slide[:] = random.integers(0, 255, 4)
        lines = _text(random, HEIGHT // 2)
        slide[HEIGHT // 4 : HEIGHT // 4 + len(lines), WIDTH // 4 :] = lines[:, WIDTH // 4 :]
        return Drawn(at_s, slide)

    return _with_repeats(seconds, at)


def _film(seconds: float) -> Iterator[Drawn]:
    """Pan over a soft picture with some grain, with a cut every 3 s."""
    random = np.random.default_rng(9)
    scene = np.zeros((HEIGHT, 2 * WIDTH, 4), np.uint8)

    def at(slot: int, at_s: float) -> Drawn | None:
        nonlocal scene
        step = slot % (3 * FPS)
        if not step:
            coarse = random.integers(0, 255, (HEIGHT // 40, 2 * WIDTH // 40, 4), np.uint8)
            grain = random.integers(0, 4, (HEIGHT, 2 * WIDTH, 4), np.uint8)
            scene = coarse.repeat(40, axis=0).repeat(40, axis=1) // 2 + 60 + grain
        left = _PANNED * step
        return Drawn(at_s, np.ascontiguousarray(scene[:, left : left + WIDTH]))

    return _with_repeats(seconds, at)


SCREENS: Final[dict[str, Callable[[float], Iterator[Drawn]]]] = {
    "typing": _typing,
    "typing and scrolling": _typing_and_scrolling,
    "typing, scrolling and windows": partial(typing_scrolling_windows, as_text=True),
    "a new window of text every 2.5 s": _windows,
    "slides that change twice in half a second": _slides,
    "a film with a cut every 3 s": _film,
}


def _with_repeats(seconds: float, at: Callable[[int, float], Drawn | None]) -> Iterator[Drawn]:
    """Ask in every slot what changes, and repeat a picture that rests, as the frame grabber does."""
    drawn_s = 0.0
    for slot in range(round(seconds * FPS)):
        at_s = slot / FPS + (0.004 if slot else 0.0)
        drawn = at(slot, at_s)
        if drawn is None:
            if at_s - drawn_s < _HEARTBEAT_S:
                continue
            drawn = Drawn(at_s, None)
        yield drawn
        drawn_s = at_s


def _letter(random: np.random.Generator, slot: int, at_s: float) -> Drawn | None:
    """Type a letter in every fourth slot."""
    if slot % 4:
        return None
    letter = random.integers(0, 255, (*_LETTER, 4), np.uint8)
    return Drawn(at_s, letter, 16 * (slot // 4 % 100), 24 * (slot // 400 % 40))


def _cells(random: np.random.Generator, height: int) -> Pixels:
    """Draw a page of cells that are dark or light, (height, WIDTH, 4)."""
    cells = random.integers(0, 2, (height // 12, WIDTH // 8), np.uint8) * 200
    letters = np.kron(cells, np.ones((12, 8), np.uint8))
    return np.ascontiguousarray(np.repeat(letters[..., None], 4, axis=2))


def _text(random: np.random.Generator, height: int) -> Pixels:
    """Draw a page of lines of words, (height, WIDTH, 4): dark on white, as a window of text."""
    page = np.full((height, WIDTH), 255, np.uint8)
    glyphs = [_glyph(width) for width in _GLYPH_WIDTHS]
    for top in range(8, height - _GLYPH_HEIGHT, _LINE_HEIGHT):
        left, end = 40, int(random.integers(WIDTH // 3, WIDTH - 40))
        for number in random.integers(0, len(glyphs), WIDTH // 8):
            glyph = glyphs[number]
            if left + glyph.shape[1] > end:
                break
            page[top : top + _GLYPH_HEIGHT, left : left + glyph.shape[1]] = glyph
            # A space now and then.
            left += glyph.shape[1] + (1 if number % 6 else 6)
    return np.ascontiguousarray(np.repeat(page[..., None], 4, axis=2))


def _glyph(width: int) -> Pixels:
    """Return a letter of soft strokes, the same for the same width, (_GLYPH_HEIGHT, width)."""
    strokes = np.random.default_rng(width).random((_GLYPH_HEIGHT // 2, -(-width // 2))) < 0.45
    soft = np.kron(strokes, np.full((2, 2), 220))[:, :width]
    soft[:, 1:] = (3 * soft[:, 1:] + soft[:, :-1]) // 4
    return (255 - soft).astype(np.uint8)
