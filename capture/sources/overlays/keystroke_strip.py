"""Shows the keys that were pressed in a strip at the bottom of the picture."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from capture.media import Pixels, Rectangle
from capture.sources.overlays.sprites import Sprite, coloured

__all__ = ["SHOWN_S", "KeyStrip", "Lettering", "Line", "end_of", "letters_for"]

#: How long the strip stays after the last key.
SHOWN_S: Final = 2.0

#: As fractions of the picture's height: the letters, 30 pixels at 1080; and the space below the strip.
LETTERS: Final = 0.028
LEAST_LETTERS: Final = 16
MARGIN: Final = 0.04

#: As a fraction of the picture's width.
WIDEST: Final = 0.9

#: As fractions of the letters' size: the space around them, and the radius of the strip's corners.
PADDING: Final = 0.55
CORNER: Final = 0.4

INK: Final = (255, 255, 255)
PAPER: Final = (16, 16, 16)
OPACITY: Final = 0.8

#: The most characters shown, however wide the picture, and the most keys remembered.
MOST_TYPED: Final = 80

_BETWEEN: Final = "  "
_LEFT_OUT: Final = "…"


class Lettering(Protocol):
    """Renders words: `freetype.Typeface`, or a double of it."""

    size: int

    def width(self, text: str) -> int: ...

    def set(self, text: str) -> npt.NDArray[np.float32]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Entry:
    text: str
    typed: bool
    times: int = 1

    def __str__(self) -> str:
        return self.text if self.times == 1 else f"{self.text} \N{MULTIPLICATION SIGN}{self.times}"


class Line:
    """The text for a sequence of keys: typed characters are joined, other keys are separate."""

    def __init__(self) -> None:
        self._entries: tuple[_Entry, ...] = ()

    def add(self, text: str, *, typed: bool) -> None:
        last = self._entries[-1] if self._entries else None
        if typed and last is not None and last.typed:
            self._entries = (*self._entries[:-1], replace(last, text=(last.text + text)[-MOST_TYPED:]))
        elif typed and text == " ":
            # Alone it would be invisible.
            self.add("Space", typed=False)
        elif last is not None and not last.typed and last.text == text:
            self._entries = (*self._entries[:-1], replace(last, times=last.times + 1))
        else:
            self._entries = (*self._entries[-MOST_TYPED:], _Entry(text, typed))

    def clear(self) -> None:
        self._entries = ()

    def __str__(self) -> str:
        return _BETWEEN.join(map(str, self._entries))


def end_of(text: str, width: int, measure: Callable[[str], int]) -> str:
    """Return the longest end of `text` that is no wider than `width`, after an ellipsis if it was cut."""
    if len(text) <= MOST_TYPED and measure(text) <= width:
        return text
    # The time to measure grows with the number of letters.
    text = text[-MOST_TYPED:]
    while text and measure(_LEFT_OUT + text) > width:
        text = text[1:]
    return _LEFT_OUT + text


class KeyStrip:
    """The strip, in picture coordinates. Every key is in one frame at least, however late that frame is.

    `add` is for one thread, any thread may call `due_s` and `forget`, the rest belongs to the thread that grabs.
    """

    def __init__(
        self, width: int, height: int, lettering: Lettering, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`width` and `height` are the picture's, in pixels."""
        self._width = width
        self._height = height
        self._lettering = lettering
        self._now_s = now_s
        self._lock = threading.Lock()
        self._line = Line()
        # The next strip, and when it expires, infinite before its first frame; and the strip in the last frame.
        self._wanted: Sprite | None = None
        self._until_s = -math.inf
        self._shown: Sprite | None = None
        self._times_forgotten = 0

    def add(self, text: str, *, typed: bool) -> None:
        """Add a key with this name."""
        with self._lock:
            if self._now_s() >= self._until_s:
                self._line.clear()
            self._line.add(text, typed=typed)
            said, times_forgotten = str(self._line), self._times_forgotten
        # Finding a font takes time, and the thread that grabs must not wait for it.
        drawn = self._drawn(said)
        with self._lock:
            if self._times_forgotten == times_forgotten:
                self._wanted, self._until_s = drawn, math.inf

    def due_s(self) -> float:
        """Return when the strip changes its look next: at once is -inf, never is inf."""
        with self._lock:
            if self._wanted is not self._shown:
                return -math.inf
            return math.inf if self._shown is None else self._until_s

    def forget(self) -> None:
        """Hide the strip and drop all keys."""
        with self._lock:
            self._times_forgotten += 1
            self._clear()

    def update(self) -> Rectangle | None:
        """Bring the strip up to date; return the part of the picture that changes, None if none does."""
        with self._lock:
            if self._now_s() >= self._until_s:
                self._clear()
            before, self._shown = self._shown, self._wanted
            if before is self._shown:
                return None
            if self._shown is not None:
                self._until_s = self._now_s() + SHOWN_S
            parts = [sprite.covered(*self._place) for sprite in (before, self._shown) if sprite is not None]
            return parts[0].union(parts[-1])

    def draw(self, pixels: Pixels, left: int, top: int) -> None:
        """Draw the strip as of the last `update` into the part of the picture that begins at `left`, `top`."""
        x, y = self._place
        if self._shown is not None:
            self._shown.draw(pixels, x - left, y - top)

    @property
    def is_shown(self) -> bool:
        """Whether the strip is visible as of the last `update`."""
        return self._shown is not None

    def close(self) -> None:
        """Close the lettering, after the last `add`; may be called twice."""
        self._lettering.close()

    @property
    def _place(self) -> tuple[int, int]:
        """The middle of the strip's lower edge."""
        # All edges lie between pairs of pixels: otherwise 4:2:0 colour would spill over them.
        return self._width // 2 & ~1, self._height - round(self._height * MARGIN) & ~1

    def _clear(self) -> None:
        self._line.clear()
        self._wanted, self._until_s = None, -math.inf

    def _drawn(self, text: str) -> Sprite:
        letters = self._lettering
        padding = round(letters.size * PADDING)
        words = letters.set(end_of(text, round(self._width * WIDEST) - 2 * padding, letters.width))
        ink = np.pad(words, ((padding // 2, padding // 2), (padding, padding)))
        ink = np.pad(ink, ((0, -ink.shape[0] % 2), (0, -ink.shape[1] % 4)))
        paper = _rounded(ink.shape[0], ink.shape[1], letters.size * CORNER) * OPACITY
        picture = coloured(ink, INK) + coloured(paper * (1 - ink), PAPER)
        return Sprite(picture.astype(np.uint16), ink.shape[1] // 2, ink.shape[0])


def letters_for(height: int) -> int:
    """Return the size of the letters in a picture of this height, in pixels."""
    return max(LEAST_LETTERS, round(height * LETTERS))


def _rounded(height: int, width: int, corner: float) -> npt.NDArray[np.float32]:
    """Return the mask of a rectangle with round corners: float32 (height, width), 0 to 1."""
    y, x = np.arange(height)[:, np.newaxis] + 0.5, np.arange(width) + 0.5
    beyond_x = np.maximum(np.maximum(corner - x, x - (width - corner)), 0)
    beyond_y = np.maximum(np.maximum(corner - y, y - (height - corner)), 0)
    rounded: npt.NDArray[np.float32] = np.clip(corner + 0.5 - np.hypot(beyond_x, beyond_y), 0, 1).astype(np.float32)
    return rounded
