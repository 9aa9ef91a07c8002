"""Puts partial frames of the screen together, as an encoder does."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from running import eventually

from capture.media import Frame, Rectangle
from capture.sources.overlays.overlays import Overlays
from capture.sources.screen_source import ScreenSource

if TYPE_CHECKING:
    from capture.sources.overlays.key_names import Label


def opened(area: Rectangle, *, cursor: bool, overlays: Overlays | None = None) -> ScreenSource:
    """Return a screen source that is open and has begun. The caller closes it."""
    source = ScreenSource(area, cursor=cursor, overlays=overlays)
    source.open()
    source.begin(time.monotonic())
    return source


def place(frame: Frame) -> Rectangle:
    """Return the area of the picture that the frame covers."""
    height, width = frame.pixels.shape[:2]
    return Rectangle(frame.left, frame.top, width, height)


def in_pairs(part: Rectangle) -> Rectangle:
    """Extend `part` to even rows and columns: the pixels of such a pair share their chroma."""
    left, top = part.left & ~1, part.top & ~1
    return Rectangle(left, top, part.right + part.right % 2 - left, part.bottom + part.bottom % 2 - top)


def standing_out(picture: npt.NDArray[Any], ground: tuple[int, ...]) -> Rectangle | None:
    """Return the bounds of all pixels of an RGB picture that differ clearly from the background, or None."""
    rows, columns = np.nonzero(np.abs(picture.astype(int) - ground).max(axis=2) > 12)
    if not len(rows):
        return None
    left, top = int(columns.min()), int(rows.min())
    return Rectangle(left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top)


class Heard(Overlays):
    """Overlays that count the clicks and keys they receive, shown or not."""

    count = 0

    def _click(self, x: int, y: int) -> None:
        super()._click(x, y)
        self.count += 1

    def _key(self, label: Label) -> None:
        super()._key(label)
        self.count += 1

    def await_count(self, count: int) -> None:
        eventually(lambda: self.count == count, f"press number {count}")


class Viewer:
    """A viewer that is shown every frame: `picture` is what it sees."""

    def __init__(self, area: Rectangle, *, cursor: bool = False, overlays: Overlays | None = None) -> None:
        self._area = area
        self._cursor = cursor
        self.source = opened(area, cursor=cursor, overlays=overlays)
        self.picture = self.source.grab().pixels

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.source.close()

    def see(self) -> Frame:
        """Wait for the next change and return its frame."""
        give_up_s = time.monotonic() + 30.0
        # The source checks the cursor at the end of each wait.
        while not self.source.wait_for_change(time.monotonic() + 0.03):
            assert time.monotonic() < give_up_s
        frame = self.source.grab()
        height, width = frame.pixels.shape[:2]
        self.picture[frame.top : frame.top + height, frame.left : frame.left + width] = frame.pixels
        return frame

    def assert_sees_all(self) -> None:
        """Assert that the picture is the screen: nothing missing, nothing stale."""
        source = opened(self._area, cursor=self._cursor)
        there = source.grab().pixels
        source.close()
        wrong = np.argwhere((self.picture[..., :3] != there[..., :3]).any(axis=2))
        assert wrong.size == 0, f"rows and columns from {wrong.min(axis=0)} to {wrong.max(axis=0)} are old"
