"""Shows a window that fills the screen of a Wayland desktop, and knows when the desktop has shown each picture.

The desktop says when (presentation-time). sway 1.7 without a screen, which does not, calls back right after it has
drawn; then that moment is taken.
"""

from __future__ import annotations

import math
import os
import struct
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

import numpy as np
import numpy.typing as npt

from capture.media import Rectangle
from capture.sources.lent_memory import LentMemory
from capture.system.wayland_connection import Connection, Handler, as_text, text_of

__all__ = ["WaylandScreen"]

#: What is bound, by name: its version, which all of today's desktops have.
_BOUND: Final = {"wl_compositor": 4, "wl_shm": 1, "xdg_wm_base": 1, "wp_presentation": 1}

#: Requests and events, by object, in the order of the protocols' files.
_REGISTRY_BIND: Final = 0
_REGISTRY_GLOBAL: Final = 0
_CREATE_SURFACE: Final = 0
_SURFACE_ATTACH: Final = 1
_SURFACE_FRAME: Final = 3
_SURFACE_COMMIT: Final = 6
_SURFACE_DAMAGE_BUFFER: Final = 9
_CREATE_POOL: Final = 0
_CREATE_BUFFER: Final = 0
_POOL_DESTROY: Final = 1
_BASE_GET_SURFACE: Final = 2
_BASE_PONG: Final = 3
_ROLE_GET_TOPLEVEL: Final = 1
_ROLE_ACK: Final = 4
_TOP_SET_FULLSCREEN: Final = 11
_TOP_CONFIGURE: Final = 0
_FEEDBACK: Final = 1
_PRESENTED: Final = 1
_DISCARDED: Final = 2

_XRGB: Final = 1

#: How long the desktop may take to show a picture, or to give the window its size.
_SHOWN_LIMIT_S: Final = 5.0

#: How much later than drawn a picture can be shown, and the desktop say so, by far.
_SAID_LIMIT_S: Final = 0.5

#: How long the desktop has to leave the window as it is before it counts as full-screen: some animate that.
_SETTLED_S: Final = 1.0


class WaylandScreen:
    """The screen as a canvas. What is drawn is seen after `show`."""

    def __init__(self) -> None:
        # Until the desktop gives it another size, which some do only to a window that is there.
        self.width, self.height = 640, 360
        self._serial: int | None = None
        self._bound: dict[str, int] = {}
        self._canvas: npt.NDArray[np.uint8] = np.zeros((0, 0, 4), np.uint8)
        self._buffers: list[_Buffer] = []
        # Whether the desktop says when pictures are shown.
        self._says_when = True
        self._connection = Connection()
        self._registry = self._connection.get_registry(self._on_registry)
        self._connection.round_trip()
        if missing := _BOUND.keys() - self._bound.keys():
            raise RuntimeError(f"the compositor has no {', '.join(sorted(missing))}")
        new = self._connection.new_id
        self._surface, self._role, self._top = new(), new(self._on_role), new(self._on_top)
        self._request(self._bound["wl_compositor"], _CREATE_SURFACE, "=I", self._surface)
        self._request(self._bound["xdg_wm_base"], _BASE_GET_SURFACE, "=II", self._role, self._surface)
        self._request(self._role, _ROLE_GET_TOPLEVEL, "=I", self._top)
        self._request(self._top, _TOP_SET_FULLSCREEN, "=I", 0)
        self._request(self._surface, _SURFACE_COMMIT)

    def __enter__(self) -> WaylandScreen:
        """Fill the screen with black; return once the desktop leaves the window as it is."""
        settled_at_s = time.monotonic() + _SETTLED_S
        while time.monotonic() < settled_at_s:
            self._connection.wait(settled_at_s)
            if self._serial is not None:
                self._fit()
                settled_at_s = time.monotonic() + _SETTLED_S
        if not self._buffers:
            raise RuntimeError("the compositor does not answer")
        self._says_when = not math.isnan(self.fill(0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def fill(self, colour: int) -> float:
        """Fill the screen with one colour (0xRRGGBB); return the moment at which it was shown."""
        whole = Rectangle(0, 0, self.width, self.height)
        self.paint(whole, colour)
        return self.show(whole)

    def paint(self, part: Rectangle, colour: int) -> None:
        """Fill a part of the canvas with one colour."""
        self._canvas[part.top : part.bottom, part.left : part.right] = list(colour.to_bytes(4, "little"))
        for buffer in self._buffers:
            buffer.stale = part.union(buffer.stale)

    def show(self, part: Rectangle) -> float:
        """Show the canvas, of which `part` has changed.

        Returns when it was shown, on the monotonic clock; NaN if the desktop has replaced it before, or does not say.
        """
        if self._serial is not None:
            self._fit()
        picture = self._commit(part)
        self._wait_until(lambda: picture.drawn_at_s is not None, _SHOWN_LIMIT_S, "the picture")
        if not self._says_when:
            return picture.drawn_at_s or math.nan
        try:
            self._wait_until(lambda: picture.shown_at_s is not None, _SAID_LIMIT_S, "the time of the picture")
        except TimeoutError:
            return math.nan
        return picture.shown_at_s or math.nan

    def post(self, part: Rectangle) -> None:
        """Show the canvas, of which `part` has changed, without waiting; not if the desktop still has the last ones."""
        self._connection.hear()
        if self._has_free_buffer():
            self._commit(part)

    def _has_free_buffer(self) -> bool:
        return any(not buffer.is_busy for buffer in self._buffers)

    def _commit(self, part: Rectangle) -> _Picture:
        """Hand over the canvas."""
        self._wait_until(self._has_free_buffer, _SHOWN_LIMIT_S, "a free buffer")
        buffer = next(buffer for buffer in self._buffers if not buffer.is_busy)
        if buffer.stale is not None:
            rows, columns = slice(buffer.stale.top, buffer.stale.bottom), slice(buffer.stale.left, buffer.stale.right)
            buffer.pixels[rows, columns] = self._canvas[rows, columns]
        buffer.stale, buffer.is_busy = None, True
        picture = _Picture()
        self._request(self._surface, _SURFACE_ATTACH, "=Iii", buffer.number, 0, 0)
        self._request(self._surface, _SURFACE_DAMAGE_BUFFER, "=iiii", part.left, part.top, part.width, part.height)
        self._request(self._surface, _SURFACE_FRAME, "=I", self._connection.new_id(picture.on_drawn))
        feedback = self._connection.new_id(picture.on_feedback)
        self._request(self._bound["wp_presentation"], _FEEDBACK, "=II", self._surface, feedback)
        self._request(self._surface, _SURFACE_COMMIT)
        return picture

    def _fit(self) -> None:
        """Take the size that the desktop gives the window, which waits for a picture of it."""
        serial, self._serial = self._serial, None
        self._request(self._role, _ROLE_ACK, "=I", serial or 0)
        if self._canvas.shape[:2] != (self.height, self.width):
            self._canvas = np.zeros((self.height, self.width, 4), np.uint8)
            self._buffers = [self._new_buffer() for _ in range(3)]
        self._commit(Rectangle(0, 0, self.width, self.height))

    def _new_buffer(self) -> _Buffer:
        size_bytes = self._canvas.nbytes
        memory, descriptor = LentMemory.make(size_bytes)
        buffer = _Buffer(memory.lend(size_bytes).reshape(self._canvas.shape), Rectangle(0, 0, self.width, self.height))
        pool = self._connection.new_id()
        buffer.number = self._connection.new_id(buffer.on_event)
        self._connection.request(self._bound["wl_shm"], _CREATE_POOL, struct.pack("=Ii", pool, size_bytes), descriptor)
        os.close(descriptor)
        place = (buffer.number, 0, self.width, self.height, 4 * self.width, _XRGB)
        self._request(pool, _CREATE_BUFFER, "=IiiiiI", *place)
        self._connection.destroy(pool, _POOL_DESTROY)
        return buffer

    def _wait_until(self, is_so: Callable[[], bool], limit_s: float, what: str) -> None:
        deadline_s = time.monotonic() + limit_s
        while not is_so():
            if not self._connection.wait(deadline_s):
                raise TimeoutError(f"the compositor does not give {what}")

    def _request(self, target: int, code: int, layout: str = "=", *values: int) -> None:
        self._connection.request(target, code, struct.pack(layout, *values))

    def _on_registry(self, code: int, arguments: bytes) -> None:
        interface = text_of(arguments[4:]) if code == _REGISTRY_GLOBAL else ""
        if interface in _BOUND and interface not in self._bound:
            handlers: dict[str, Handler] = {"xdg_wm_base": self._on_ping}
            number = self._connection.new_id(handlers.get(interface, lambda code, arguments: None))
            self._bound[interface] = number
            what = arguments[:4] + as_text(interface) + struct.pack("=II", _BOUND[interface], number)
            self._connection.request(self._registry, _REGISTRY_BIND, what)

    def _on_ping(self, code: int, arguments: bytes) -> None:
        self._connection.request(self._bound["xdg_wm_base"], _BASE_PONG, arguments)

    def _on_role(self, code: int, arguments: bytes) -> None:
        (self._serial,) = struct.unpack("=I", arguments)

    def _on_top(self, code: int, arguments: bytes) -> None:
        if code == _TOP_CONFIGURE:
            width, height = struct.unpack_from("=ii", arguments)
            self.width, self.height = width or self.width, height or self.height


class _Picture:
    """When a picture was drawn, and shown, on the monotonic clock; None as long as it is not known."""

    def __init__(self) -> None:
        self.drawn_at_s: float | None = None
        self.shown_at_s: float | None = None

    def on_drawn(self, code: int, arguments: bytes) -> None:
        self.drawn_at_s = time.monotonic()

    def on_feedback(self, code: int, arguments: bytes) -> None:
        if code == _PRESENTED:
            high, low, nanoseconds = struct.unpack_from("=III", arguments)
            self.shown_at_s = (high << 32 | low) + nanoseconds / 1e9
        elif code == _DISCARDED:
            self.shown_at_s = math.nan


class _Buffer:
    """Memory that is shared with the compositor, and what of it is not as in the canvas."""

    def __init__(self, pixels: npt.NDArray[np.uint8], stale: Rectangle) -> None:
        self.number = 0
        self.pixels = pixels
        self.stale: Rectangle | None = stale
        self.is_busy = False

    def on_event(self, code: int, arguments: bytes) -> None:
        # Its only event: it is released.
        self.is_busy = False
