"""A mouse and a keyboard on a wlroots desktop that a test moves and presses."""

from __future__ import annotations

import os
import struct
from typing import Final

from capture.sources.lent_memory import LentMemory
from capture.system.wayland_connection import Connection, as_text, text_of

__all__ = ["Keyboard", "Mouse"]

_LEFT: Final = 0x110
_ESCAPE: Final = 1

#: A keyboard with one key.
_KEYMAP: Final = b"""xkb_keymap {
xkb_keycodes { minimum = 8; maximum = 255; <ESC> = 9; };
xkb_types { include "complete" };
xkb_compatibility { include "complete" };
xkb_symbols { key <ESC> { [ Escape ] }; };
};
\0"""


class _Device:
    """A virtual device on the desktop of this process's environment, made by the object of `interface`."""

    def __init__(self, interface: str) -> None:
        self._wanted = {interface, "wl_seat"}
        self._bound: dict[str, int] = {}
        self._connection = Connection()
        self._registry = self._connection.get_registry(self._on_registry)
        self._connection.round_trip()
        self._device = self._connection.new_id()
        what = struct.pack("=II", self._bound["wl_seat"], self._device)
        self._connection.request(self._bound[interface], 0, what)
        self._connection.round_trip()

    def close(self) -> None:
        self._connection.close()

    def _send(self, code: int, layout: str = "=", *values: int, descriptor: int | None = None) -> None:
        self._connection.request(self._device, code, struct.pack(layout, *values), descriptor)

    def _on_registry(self, code: int, arguments: bytes) -> None:
        interface = text_of(arguments[4:]) if code == 0 else ""
        if interface in self._wanted and interface not in self._bound:
            number = self._bound[interface] = self._connection.new_id()
            what = arguments[:4] + as_text(interface) + struct.pack("=II", 1, number)
            self._connection.request(self._registry, 0, what)


class Mouse(_Device):
    """A mouse on a desktop of `width` x `height`, whose left upper corner is at `left`, `top`."""

    def __init__(self, left: int, top: int, width: int, height: int) -> None:
        super().__init__("zwlr_virtual_pointer_manager_v1")
        self._origin = left, top
        self._size = width, height

    def move(self, x: int, y: int) -> None:
        left, top = self._origin
        self._send(1, "=5I", 0, x - left, y - top, *self._size)
        self._settle()

    def press(self) -> None:
        self._send(2, "=III", 0, _LEFT, 1)
        self._settle()

    def release(self) -> None:
        self._send(2, "=III", 0, _LEFT, 0)
        self._settle()

    def _settle(self) -> None:
        self._send(4)
        self._connection.round_trip()


class Keyboard(_Device):
    """A keyboard that has Esc alone."""

    def __init__(self) -> None:
        super().__init__("zwp_virtual_keyboard_manager_v1")
        memory, descriptor = LentMemory.make(len(_KEYMAP))
        memory.lend(len(_KEYMAP))[:] = list(_KEYMAP)
        try:
            self._send(0, "=II", 1, len(_KEYMAP), descriptor=descriptor)
        finally:
            os.close(descriptor)
        self._connection.round_trip()

    def press_escape(self) -> None:
        for state in (1, 0):
            self._send(1, "=III", 0, _ESCAPE, state)
        self._connection.round_trip()
