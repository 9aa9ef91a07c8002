"""A Wayland compositor with one output that does what a test says, also what sway cannot be made to do."""

from __future__ import annotations

import mmap
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from capture.system.unix_socket import listen
from capture.system.wayland_connection import as_text, text_of

__all__ = ["NAME", "Compositor", "compositor"]

#: The output, and its size.
NAME: Final = "DP-1"
WIDTH: Final = 64
HEIGHT: Final = 32

_GLOBALS: Final = {1: ("wl_shm", 1), 2: ("zxdg_output_manager_v1", 3), 3: ("zwlr_screencopy_manager_v1", 3)}


class Compositor:
    """Serves one client at a time. `pixels` are those of the screen as they lie in memory: uint32 (HEIGHT, WIDTH)."""

    def __init__(self, address: Path) -> None:
        self.format = 1
        self.is_inverted = self.fails = False
        self.pixels: npt.NDArray[np.uint32] = np.zeros((HEIGHT, WIDTH), np.uint32)
        self._lock = threading.RLock()
        self._listener = listen(str(address))
        self._listener.setblocking(True)
        self._client: socket.socket | None = None
        self._registry = 0
        self._output = 10
        self._kinds: dict[int, str] = {}
        self._memory: dict[int, mmap.mmap] = {}
        # The frame and the buffer that wait for a change, and whether there was one since the last of them.
        self._waiting: tuple[int, int] | None = None
        self._is_damaged = True
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def show(self, pixels: npt.NDArray[np.uint32]) -> None:
        """Show a picture, also in what waits for one."""
        with self._lock:
            self.pixels = pixels
            self._is_damaged = True
            self._fill_waiting()

    def switch_off(self) -> None:
        """Give no picture any more, as long as `fails`."""
        with self._lock:
            self.fails = True
            waiting, self._waiting = self._waiting, None
            if waiting is not None:
                self._say(waiting[0], 3)

    def unplug(self) -> None:
        with self._lock:
            self._say(self._registry, 1, struct.pack("=I", self._output))

    def plug_in(self) -> None:
        """Announce the output again, under another number."""
        with self._lock:
            self._output += 1
            self._announce(self._output, "wl_output", 2)

    def refuse(self, words: str) -> None:
        """End the connection with a protocol error."""
        with self._lock:
            self._say(1, 0, struct.pack("=II", 1, 0) + as_text(words))
            assert self._client is not None
            self._client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        with self._lock, suppress(OSError):
            if self._client is not None:
                self._client.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _forget(self) -> None:
        self._kinds = {1: "wl_display"}
        self._memory = {}
        self._waiting = None
        self._is_damaged = True

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    self._client = client
                    self._forget()
                    self._attend(client)
                    self._client = None

    def _attend(self, client: socket.socket) -> None:
        if sys.platform == "win32":
            return
        unread = b""
        descriptors: list[int] = []
        while True:
            try:
                arrived, found, _, _ = socket.recv_fds(client, 65536, 8)
            except OSError:
                return
            if not arrived:
                return
            unread += arrived
            descriptors += found
            with self._lock:
                while len(unread) >= 8:
                    target, code, length = struct.unpack_from("=IHH", unread)
                    if len(unread) < length:
                        break
                    self._handle(target, code, unread[8:length], descriptors)
                    unread = unread[length:]

    def _handle(self, target: int, code: int, arguments: bytes, descriptors: list[int]) -> None:
        values: Any = struct.unpack_from(f"={len(arguments) // 4}I", arguments)
        match self._kinds.get(target), code:
            case "wl_display", 0:
                self._say(values[0], 0, struct.pack("=I", 0))
                self._delete(values[0])
            case "wl_display", 1:
                self._registry = values[0]
                self._kinds[values[0]] = "wl_registry"
                for number, (interface, version) in _GLOBALS.items():
                    self._announce(number, interface, version)
                self._announce(self._output, "wl_output", 2)
            case "wl_registry", 0:
                self._kinds[values[-1]] = interface = text_of(arguments[4:])
                if interface == "wl_output":
                    self._say(values[-1], 1, struct.pack("=Iiii", 1, WIDTH, HEIGHT, 60_000))
            case "zxdg_output_manager_v1", 1:
                self._say(values[0], 0, struct.pack("=ii", 0, 0))
                self._say(values[0], 1, struct.pack("=ii", WIDTH, HEIGHT))
                self._say(values[0], 3, as_text(NAME))
            case "wl_shm", 0:
                descriptor = descriptors.pop(0)
                self._memory[values[0]] = mmap.mmap(descriptor, values[1])
                os.close(descriptor)
                self._kinds[values[0]] = "wl_shm_pool"
            case "wl_shm_pool", 0:
                self._memory[values[0]] = self._memory[target]
                self._kinds[values[0]] = "wl_buffer"
            case "zwlr_screencopy_manager_v1", 0:
                self._kinds[values[0]] = "frame"
                if self.fails:
                    self._say(values[0], 3)
                else:
                    self._say(values[0], 0, struct.pack("=IIII", self.format, WIDTH, HEIGHT, 4 * WIDTH))
                    self._say(values[0], 6)
            case "frame", 0:
                self._finish(target, values[0], with_damage=False)
            case "frame", 2:
                self._waiting = target, values[0]
                self._fill_waiting()
            case "frame" | "wl_shm_pool", 1:
                self._delete(target)
            case "wl_buffer", 0:
                self._delete(target)

    def _fill_waiting(self) -> None:
        if self._waiting is not None and self._is_damaged:
            frame, buffer = self._waiting
            self._waiting, self._is_damaged = None, False
            self._finish(frame, buffer, with_damage=True)

    def _finish(self, frame: int, buffer: int, *, with_damage: bool) -> None:
        self._memory[buffer][:] = self.pixels[:: -1 if self.is_inverted else 1].tobytes()
        self._say(frame, 1, struct.pack("=I", self.is_inverted))
        if with_damage:
            self._say(frame, 4, struct.pack("=IIII", 0, 0, WIDTH, HEIGHT))
        seconds, nanoseconds = divmod(time.monotonic_ns(), 1_000_000_000)
        self._say(frame, 2, struct.pack("=III", 0, seconds, nanoseconds))

    def _announce(self, number: int, interface: str, version: int) -> None:
        self._say(self._registry, 0, struct.pack("=I", number) + as_text(interface) + struct.pack("=I", version))

    def _delete(self, number: int) -> None:
        self._kinds.pop(number, None)
        self._say(1, 1, struct.pack("=I", number))

    def _say(self, target: int, code: int, arguments: bytes = b"") -> None:
        assert self._client is not None
        with suppress(BrokenPipeError):
            self._client.sendall(struct.pack("=IHH", target, code, 8 + len(arguments)) + arguments)


@contextmanager
def compositor(address: Path) -> Iterator[Compositor]:
    made = Compositor(address)
    try:
        yield made
    finally:
        made.close()
