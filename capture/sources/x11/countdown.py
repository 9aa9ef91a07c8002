"""Shows the seconds until a recording begins in large figures on an X11 screen; gone before it does."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from Xlib import X, error
from Xlib.display import Display

from capture.errors import CaptureError
from capture.media import Rectangle
from capture.sources.x11.outline import Outline, make_window
from capture.sources.x11.xlib import connect
from capture.threads.worker import Worker

__all__ = ["Countdown"]

#: How long to wait for the thread to end: a server that hangs must not hang the recorder.
END_LIMIT_S: Final = 2.0

#: A figure in pixels: the length and the thickness of its strokes, and the free space around it.
STROKE: Final = 56
THICKNESS: Final = 14
GAP: Final = 24

#: White on black, drawn from strokes: the fonts of X servers are small, and not all have the same.
INK: Final = 0xFFFFFF
PAPER: Final = 0x101010

#: Where the strokes of a figure begin, in strokes to the right and down, and whether they are vertical.
_STROKES: Final = {
    "a": (0, 0, False),
    "b": (1, 0, True),
    "c": (1, 1, True),
    "d": (0, 2, False),
    "e": (0, 1, True),
    "f": (0, 0, True),
    "g": (0, 1, False),
}
_FIGURES: Final = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgedc", "abc", "abcdefg", "abcdfg")


class Countdown:
    """Counts down in the middle of the area that `where` returns, from now until `end`. Shows nothing if that fails.

    `outlined` shows the area's outline meanwhile.
    """

    def __init__(
        self,
        where: Callable[[], Rectangle],
        delay_s: float,
        now_s: Callable[[], float] = time.monotonic,
        *,
        outlined: bool = False,
    ) -> None:
        self._now_s = now_s
        self._outlined = outlined
        self._where = where
        self._begins_at_s = now_s() + delay_s
        self._over = threading.Event()
        self._worker = Worker("countdown", self._run)
        self._worker.start()

    def end(self) -> None:
        """Remove the countdown; returns once it is off the screen."""
        self._over.set()
        self._worker.join(END_LIMIT_S)

    def _run(self) -> None:
        # The recording goes on without it.
        with suppress(CaptureError, error.XError, error.ConnectionClosedError, OSError):
            area = self._where()
            display = connect()
            try:
                if self._outlined:
                    Outline(display).show(area)
                self._show(display, area)
            finally:
                display.close()

    def _show(self, display: Display, area: Rectangle) -> None:
        most = len(str(math.ceil(self._begins_at_s - self._now_s())))
        width = GAP + most * (STROKE + THICKNESS + GAP)
        height = 2 * STROKE + THICKNESS + 2 * GAP
        middle = area.left + area.width // 2, area.top + area.height // 2
        place = Rectangle(middle[0] - width // 2, middle[1] - height // 2, width, height)
        window = make_window(display, place, PAPER)
        window.map()
        pen = window.create_gc(foreground=INK)
        while not self._over.is_set():
            left_s = self._begins_at_s - self._now_s()
            window.clear_area()
            _write(window, pen, str(max(1, math.ceil(left_s))).rjust(most))
            window.configure(stack_mode=X.Above)
            display.sync()
            # Until the figure changes.
            self._over.wait(left_s - math.ceil(left_s) + 1.0 if left_s > 1.0 else None)
        window.destroy()
        display.sync()


def _write(window: Any, pen: Any, number: str) -> None:
    for place, figure in enumerate(number):
        left = GAP + place * (STROKE + THICKNESS + GAP)
        for name in _FIGURES[int(figure)] if figure != " " else "":
            right, down, standing = _STROKES[name]
            size = (THICKNESS, STROKE + THICKNESS) if standing else (STROKE + THICKNESS, THICKNESS)
            window.fill_rectangle(pen, left + right * STROKE, GAP + down * STROKE, *size)
