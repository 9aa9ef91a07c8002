"""The picture of a stream, which one thread keeps up to date and another one cuts frames from."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Final, NamedTuple

import numpy as np

from capture.media import Pixels, Rectangle
from capture.sources.changes import changed_part
from capture.sources.overlays.sprites import Sprite
from capture.sources.portal.buffer import Content, CursorReport

__all__ = ["Cursor", "News", "SharedPicture"]

#: Damage is trusted, but some drivers report less than they draw. Comparing whole pictures this often repairs that.
_COMPARE_EVERY_S: Final = 5.0

#: The most that a picture can be older than its arrival; what claims to be older, or from the future, has no time.
#: Mutter without a graphics card takes 0.26 s.
_OLDEST_S: Final = 2.0

#: How many canvases wait to be used again. New memory takes as long to get as filling it.
_CANVASES_KEPT: Final = 3

#: Where blue, green, red and the unused byte are in pixels with red first.
_BLUE_FIRST: Final = [2, 1, 0, 3]


class Cursor(NamedTuple):
    """The cursor: where its hot spot is in the picture, and what it looks like. The same one is the same object."""

    x: int
    y: int
    sprite: Sprite


class News(NamedTuple):
    """What has changed since the last `take`.

    `size` is the width and height of the picture, None if there is none of the current format yet; `changed` the box
    around what changed in it, None if nothing did, and `shown_at_s` when it was shown, on the monotonic clock. `cursor`
    is None if it is not shown.
    """

    size: tuple[int, int] | None
    changed: Rectangle | None
    shown_at_s: float
    cursor: Cursor | None


class SharedPicture:
    """A picture with a cursor. Any thread may call the methods."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._has_news = self._woken = False
        self._error: Exception | None = None
        self._canvas: Pixels | None = None
        # The canvas, as it was handed out whole: it must not be written to as long as that is used. Earlier ones.
        self._given: weakref.ref[Pixels] | None = None
        self._earlier: list[tuple[Pixels, weakref.ref[Pixels] | None]] = []
        self._part: Rectangle | None = None
        self._shown_at_s = self._compare_at_s = 0.0
        self._cursor: Cursor | None = None
        self._sprite: Sprite | None = None

    # Called by the thread that records it.

    def wait(self, until_s: float) -> bool:
        """Wait until something has changed since the last `take`, until `wake`, or `until_s`; return whether it has.

        Raises what `fail` was given.
        """
        with self._changed:
            while not self._has_news and not self._woken and self._error is None:
                left_s = until_s - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            self._woken = False
            self._check()
            return self._has_news

    def rest(self, until_s: float) -> None:
        """Wait until `wake` or `until_s`, whatever happens to the picture."""
        with self._changed:
            self._changed.wait_for(lambda: self._woken, max(0.0, until_s - time.monotonic()))
            self._woken = False

    def wake(self) -> None:
        """Make `wait` and `rest` return."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def take(self) -> News:
        """Return what has changed since the last call. Raises as `wait` does."""
        with self._changed:
            self._check()
            part, self._part, self._has_news = self._part, None, False
            size = None if self._canvas is None else (self._canvas.shape[1], self._canvas.shape[0])
            return News(size, part, self._shown_at_s, self._cursor)

    def cut(self, part: Rectangle, bounds: Rectangle) -> Pixels | None:
        """Return the pixels of a part of the picture, which nothing changes later; if they are all, read-only.

        Returns None if the picture has changed since the last `take`, which tells when it was shown.
        """
        with self._changed:
            canvas = self._canvas
            if canvas is None or self._part is not None or (bounds.height, bounds.width) != canvas.shape[:2]:
                return None
            if part != bounds:
                return canvas[part.top : part.bottom, part.left : part.right].copy()
            whole = canvas[...]
            whole.flags.writeable = False
            self._given = weakref.ref(whole)
            return whole

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    # Called by the thread that receives it.

    def clear(self) -> None:
        """Forget the picture: one of another format comes."""
        with self._changed:
            self._canvas = self._given = self._part = None
            self._earlier.clear()
            self.notify()

    def notify(self) -> None:
        """Make `wait` return as for a change."""
        with self._changed:
            self._has_news = True
            self._changed.notify_all()

    def fail(self, error: Exception) -> None:
        """Note that nothing more comes: `wait` and `take` raise `error` from now on."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def update(self, content: Content, *, is_rgb: bool) -> None:
        """Take over what has arrived. Its memory is not used later."""
        now_s = time.monotonic()
        with self._changed:
            if content.cursor is not None:
                self._move_cursor(content.cursor)
            if content.pixels is not None:
                pixels = content.pixels[..., _BLUE_FIRST] if is_rgb else content.pixels
                part = self._differing(pixels, content.damage, now_s)
                if part is not None:
                    self._paint(pixels, part)
                    shown_at_s = content.shown_at_s or now_s
                    self._shown_at_s = shown_at_s if now_s - _OLDEST_S < shown_at_s <= now_s else now_s
            if self._has_news:
                self._changed.notify_all()

    def _move_cursor(self, found: CursorReport) -> None:
        self._sprite = sprite = found.sprite or self._sprite
        before = self._cursor
        if found.at is None or sprite is None:
            self._has_news |= before is not None
            self._cursor = None
        elif before is None or (before.x, before.y) != found.at or before.sprite is not sprite:
            self._cursor, self._has_news = Cursor(*found.at, sprite), True

    def _differing(self, pixels: Pixels, damage: Rectangle | None, now_s: float) -> Rectangle | None:
        """Return the part of `pixels` that differs from the canvas; None if nothing does."""
        if self._canvas is None:
            self._compare_at_s = now_s + _COMPARE_EVERY_S
            return Rectangle(0, 0, pixels.shape[1], pixels.shape[0])
        if damage is not None and now_s < self._compare_at_s:
            return damage
        self._compare_at_s = now_s + _COMPARE_EVERY_S
        return changed_part(self._canvas, pixels)

    def _paint(self, pixels: Pixels, part: Rectangle) -> None:
        """Bring `part` of the canvas up to date."""
        is_whole = (part.height, part.width) == pixels.shape[:2]
        canvas, before = self._canvas, self._canvas
        if canvas is None or (self._given is not None and self._given() is not None):
            canvas = self._exchange(pixels)
            if before is not None and not is_whole:
                canvas[...] = before
        rows, columns = slice(part.top, part.bottom), slice(part.left, part.right)
        canvas[rows, columns] = pixels[rows, columns]
        self._part, self._has_news = part.union(self._part), True

    def _exchange(self, pixels: Pixels) -> Pixels:
        """Make another canvas the current one: an earlier one that is no longer used, if possible."""
        if self._canvas is not None:
            self._earlier.append((self._canvas, self._given))
        free = next((each for each in self._earlier if each[1] is None or each[1]() is None), None)
        if free is not None:
            self._earlier.remove(free)
        # Those that are used are forgotten, oldest first.
        del self._earlier[:-_CANVASES_KEPT]
        self._canvas, self._given = np.empty(pixels.shape, np.uint8) if free is None else free[0], None
        return self._canvas
