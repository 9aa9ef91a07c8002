"""Shows a window that covers the whole screen, drawn with plain X requests."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from Xlib import X
from Xlib.display import Display

from capture.media import Rectangle

__all__ = ["FullScreen"]

#: An X request without extensions has at most 262140 bytes; this leaves room for its header.
_MOST_BYTES_A_REQUEST = 260_000


class FullScreen:
    """The screen as a canvas. Drawing reaches the server at the latest with `settle`."""

    def __init__(self) -> None:
        self.display = Display()
        screen = self.display.screen()
        self.root = screen.root
        self.width: int = screen.width_in_pixels
        self.height: int = screen.height_in_pixels
        self.depth: int = screen.root_depth
        self.window = self.root.create_window(
            0, 0, self.width, self.height, 0, self.depth, background_pixel=0, override_redirect=True
        )
        self._painter = self.window.create_gc(foreground=0, graphics_exposures=False)

    def __enter__(self) -> FullScreen:
        self.window.map()
        self.settle()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.display.close()

    def settle(self) -> float:
        """Wait until the server has executed every request; return that moment on the monotonic clock."""
        self.display.sync()
        return time.monotonic()

    def fill(self, colour: int) -> float:
        """Fill the screen with one colour (0xRRGGBB); return the moment at which it was done."""
        self._painter.change(foreground=colour)
        self.window.fill_rectangle(self._painter, 0, 0, self.width, self.height)
        return self.settle()

    def pixmap(self, width: int, height: int) -> Any:
        """Create a picture in the server to copy from."""
        return self.root.create_pixmap(width, height, self.depth)

    def upload(self, pixmap: Any, pixels: npt.NDArray[np.uint8]) -> None:
        """Write BGRX `pixels`, uint8 (height, width, 4), into `pixmap`."""
        height, width, _ = pixels.shape
        rows = max(1, _MOST_BYTES_A_REQUEST // (width * 4))
        for top in range(0, height, rows):
            strip = np.ascontiguousarray(pixels[top : top + rows])
            pixmap.put_image(self._painter, 0, top, width, strip.shape[0], X.ZPixmap, self.depth, 0, strip.tobytes())
        self.settle()

    def copy(self, pixmap: Any, source: Rectangle, left: int, top: int) -> None:
        """Show a part of `pixmap` at `left`, `top` in one step: a grab sees all of it or nothing."""
        at = (source.left, source.top, source.width, source.height)
        self.window.copy_area(self._painter, pixmap, *at, left, top)
