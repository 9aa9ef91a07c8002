"""A plain X11 window: pictures are uploaded to the X server once and then copied within it."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from Xlib import X, Xcursorfont
from Xlib.display import Display

from demo.canvas import Canvas, Colour

__all__ = ["Picture", "Window"]

#: The most image bytes in one request: the limit of the core protocol less the request's header.
REQUEST_BYTES: Final = 4 * 65_535 - 64


class Picture:
    """A picture stored in the X server, so that showing it again costs next to nothing."""

    def __init__(self, drawable: Any, width: int, height: int) -> None:
        self.drawable = drawable
        self.width = width
        self.height = height


class Window:
    """A window as large as the screen. One thread calls all methods."""

    def __init__(self, title: str) -> None:
        self._display = Display()
        screen = self._display.screen()
        self.width: int = screen.width_in_pixels
        self.height: int = screen.height_in_pixels
        self._depth = screen.root_depth
        self._window = screen.root.create_window(
            0, 0, self.width, self.height, 0, self._depth, event_mask=X.ExposureMask | X.StructureNotifyMask
        )
        self._window.set_wm_name(title)
        self._context = self._window.create_gc()
        font = self._display.open_font("cursor")
        arrow = font.create_glyph_cursor(font, Xcursorfont.left_ptr, Xcursorfont.left_ptr + 1, (65_535,) * 3, (0, 0, 0))
        self._window.change_attributes(cursor=arrow)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._display.close()

    def show(self, background: Canvas) -> None:
        """Show the window with `background` and return once it is on the screen."""
        self._window.change_attributes(background_pixmap=self.keep(background).drawable)
        self._window.map()
        while self._display.next_event().type != X.MapNotify:
            pass
        self._window.warp_pointer(self.width - 40, self.height - 30)
        self.flush()

    def keep(self, canvas: Canvas) -> Picture:
        """Upload a picture to the X server."""
        pixmap = self._window.create_pixmap(canvas.width, canvas.height, self._depth)
        self._send(canvas.bgrx(), pixmap, 0, 0)
        return Picture(pixmap, canvas.width, canvas.height)

    def put(self, canvas: Canvas, left: int, top: int) -> None:
        """Show a picture that is needed only once."""
        self._send(canvas.bgrx(), self._window, left, top)

    def copy(self, picture: Picture, left: int, top: int, onto: Picture | None = None) -> None:
        """Show `picture` in the window, or draw it onto another one."""
        target = onto.drawable if onto else self._window
        target.copy_area(self._context, picture.drawable, 0, 0, picture.width, picture.height, left, top)

    def fill(self, left: int, top: int, width: int, height: int, colour: Colour, onto: Picture | None = None) -> None:
        """Fill a rectangle of the window, or of a picture, with one colour."""
        red, green, blue = colour
        self._context.change(foreground=red << 16 | green << 8 | blue)
        target = onto.drawable if onto else self._window
        target.fill_rectangle(self._context, left, top, width, height)

    def flush(self) -> None:
        """Wait until everything drawn is on the screen, and discard pending events."""
        self._display.sync()
        while self._display.pending_events():
            self._display.next_event()

    def _send(self, image: NDArray[np.uint8], target: Any, left: int, top: int) -> None:
        height, width = image.shape[:2]
        rows = max(1, REQUEST_BYTES // (4 * width))
        for done in range(0, height, rows):
            strip = image[done : done + rows]
            target.put_image(
                self._context, left, top + done, width, len(strip), X.ZPixmap, self._depth, 0, strip.tobytes()
            )
