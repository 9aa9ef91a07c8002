"""A Wayland compositor with two outputs that does what a test says, also what sway cannot be made to do."""

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

__all__ = ["HEIGHT", "NAME", "OTHER", "WIDTH", "Compositor", "compositor"]

#: The outputs, the second one to the right of the first, and their size.
NAME: Final = "DP-1"
OTHER: Final = "DP-2"
WIDTH: Final = 256
HEIGHT: Final = 64

_GLOBALS: Final = {1: ("wl_shm", 1), 2: ("zxdg_output_manager_v1", 3)}
_SCREENCOPY: Final = {3: ("zwlr_screencopy_manager_v1", 3)}
_IMAGE_COPY: Final = {
    4: ("ext_image_copy_capture_manager_v1", 1),
    5: ("ext_output_image_capture_source_manager_v1", 1),
    6: ("ext_foreign_toplevel_image_capture_source_manager_v1", 1),
    7: ("ext_foreign_toplevel_list_v1", 1),
    8: ("zwlr_foreign_toplevel_manager_v1", 1),
    9: ("wl_seat", 1),
}

_PICTURES: Final = {True: _IMAGE_COPY, False: _SCREENCOPY, None: {}}

#: The reason of a frame that failed because its buffer is not as the session wants it.
_OUTDATED: Final = 1

#: The state of a window that is the active one.
_ACTIVATED: Final = 2

#: The first number of the objects that the compositor makes.
_OWN: Final = 0xFF000000

_Values = npt.NDArray[np.uint32]


class _Shown:
    """An output or a window: its pixels as they lie in memory, and the frames of screencopy that wait for a change."""

    def __init__(self, pixels: _Values) -> None:
        self.pixels = pixels
        self.is_damaged = True
        self.waiting: tuple[int, int] | None = None


class _Session:
    """A session of ext-image-copy-capture, and its frame with the buffer, once it waits for a change."""

    def __init__(self, shown: _Shown) -> None:
        self.shown = shown
        self.is_damaged = True
        self.waiting: tuple[int, int] | None = None


class Compositor:
    """Serves one client at a time, which gets pictures by ext-image-copy-capture if it `copies`, else by screencopy.

    If `copies` is None, it gives none.

    The outputs are of WIDTH x HEIGHT pixels, uint32 (HEIGHT, WIDTH).
    """

    def __init__(self, address: Path, *, copies: bool | None = False) -> None:
        self.format = 1
        self.is_inverted = self.fails = False
        #: How often requests have arrived.
        self.arrivals = 0
        #: The outputs that give no picture.
        self.off: set[str] = set()
        self._globals = _GLOBALS | _PICTURES[copies]
        self._lock = threading.RLock()
        self._listener = listen(str(address))
        self._listener.setblocking(True)
        self._client: socket.socket | None = None
        #: The outputs by the number under which they are announced, and the windows by their identifier.
        self._outputs = {10: NAME}
        self._unused = 11
        self._shown = {name: _Shown(np.zeros((HEIGHT, WIDTH), np.uint32)) for name in (NAME, OTHER)}
        self._windows: dict[str, str] = {}
        self.active = ""
        #: Whether the cursor can be captured in windows.
        self.shows_cursor = False
        self._forget()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def show(self, pixels: _Values, name: str = NAME) -> None:
        """Show a picture on an output or in a window, also in what waits for one; a window takes its size."""
        with self._lock:
            shown = self._shown[name]
            is_resized = pixels.shape != shown.pixels.shape
            shown.pixels, shown.is_damaged = pixels, True
            for number, session in self._sessions.items():
                if session.shown is shown:
                    session.is_damaged = True
                    if is_resized:
                        self._fail_frame(session)
                        self._describe(number, session)
            self._fill_waiting()

    def switch_off(self) -> None:
        """Give no picture any more, as long as `fails`."""
        with self._lock:
            self.fails = True
            for shown in self._shown.values():
                waiting, shown.waiting = shown.waiting, None
                if waiting is not None:
                    self._say(waiting[0], 3)

    def unplug(self, name: str = NAME) -> None:
        with self._lock:
            number = next(number for number, each in self._outputs.items() if each == name)
            del self._outputs[number]
            self._say(self._registry, 1, struct.pack("=I", number))

    def plug_in(self, name: str = NAME) -> None:
        """Announce an output, under a number that none has had."""
        with self._lock:
            number, self._unused = self._unused, self._unused + 1
            self._outputs[number] = name
            if self._registry:
                self._announce(number, "wl_output", 2)

    def open_window(self, identifier: str, title: str, pixels: _Values) -> None:
        with self._lock:
            self._windows[identifier] = title
            self._shown[identifier] = _Shown(pixels)

    def close_window(self, identifier: str) -> None:
        """Close a window: its sessions stop, and then it is gone from the list."""
        with self._lock:
            del self._windows[identifier]
            shown = self._shown.pop(identifier)
            for number, session in list(self._sessions.items()):
                if session.shown is shown:
                    self._say(number, 5)
            for handle, each in self._handles.items():
                if each == identifier:
                    self._say(handle, 0)

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
        self._registry = 0
        self._kinds = {1: "wl_display"}
        self._memory: dict[int, mmap.mmap] = {}
        # What objects stand for: outputs, frames and sources for something shown, frames for a session as well.
        self._subjects: dict[int, str] = {}
        self._sessions: dict[int, _Session] = {}
        self._frames: dict[int, _Session] = {}
        self._attached: dict[int, int] = {}
        self._handles: dict[int, str] = {}
        self._own = _OWN
        for shown in self._shown.values():
            shown.waiting, shown.is_damaged = None, True

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    with self._lock:
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
            self.arrivals += 1
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
        kind = self._kinds.get(target)
        match kind, code:
            case "wl_display", 0:
                self._say(values[0], 0, struct.pack("=I", 0))
                self._delete(values[0])
            case "wl_display", 1:
                self._registry = values[0]
                self._kinds[values[0]] = "wl_registry"
                for number, (interface, version) in self._globals.items():
                    self._announce(number, interface, version)
                for number in self._outputs:
                    self._announce(number, "wl_output", 2)
            case "wl_registry", 0:
                self._bind(values[0], text_of(arguments[4:]), values[-1])
            case "zxdg_output_manager_v1", 1:
                name = self._subjects[values[1]]
                self._say(values[0], 0, struct.pack("=ii", WIDTH if name == OTHER else 0, 0))
                self._say(values[0], 1, struct.pack("=ii", WIDTH, HEIGHT))
                self._say(values[0], 3, as_text(name))
            case "wl_shm", 0:
                descriptor = descriptors.pop(0)
                self._memory[values[0]] = mmap.mmap(descriptor, values[1])
                os.close(descriptor)
                self._kinds[values[0]] = "wl_shm_pool"
            case "wl_shm_pool", 0:
                self._memory[values[0]] = self._memory[target]
                self._kinds[values[0]] = "wl_buffer"
            case "zwlr_screencopy_manager_v1", 0:
                self._kinds[values[0]] = "screencopy frame"
                self._subjects[values[0]] = self._subjects[values[2]]
                if self.fails or self._subjects[values[2]] in self.off:
                    self._say(values[0], 3)
                else:
                    self._say(values[0], 0, struct.pack("=IIII", self.format, WIDTH, HEIGHT, 4 * WIDTH))
                    self._say(values[0], 6)
            case "screencopy frame", 0:
                self._finish(target, values[0], self._shown[self._subjects[target]], with_damage=False)
            case "screencopy frame", 2:
                self._shown[self._subjects[target]].waiting = target, values[0]
                self._fill_waiting()
            case (
                "ext_output_image_capture_source_manager_v1" | "ext_foreign_toplevel_image_capture_source_manager_v1",
                0,
            ):
                self._kinds[values[0]] = "source"
                self._subjects[values[0]] = self._subjects.get(values[1]) or self._handles[values[1]]
            case "ext_image_copy_capture_manager_v1", 0:
                self._kinds[values[0]] = "session"
                shown = self._shown.get(self._subjects[values[1]])
                if shown is None or self.fails:
                    self._say(values[0], 5)
                else:
                    self._sessions[values[0]] = _Session(shown)
                    self._describe(values[0], self._sessions[values[0]])
            case "ext_image_copy_capture_manager_v1", 1:
                self._kinds[values[0]] = "cursor session"
            case "cursor session", 1:
                self._kinds[values[0]] = "session"
                if not self.shows_cursor:
                    self._say(values[0], 5)
            case "session", 0:
                self._kinds[values[0]] = "frame"
                self._frames[values[0]] = self._sessions[target]
            case "session", 1:
                self._sessions.pop(target, None)
                self._delete(target)
            case "frame", 0:
                session = self._frames.pop(target)
                if session.waiting is not None and session.waiting[0] == target:
                    session.waiting = None
                self._delete(target)
            case "frame", 1:
                self._attached[target] = values[0]
            case "frame", 3:
                session = self._frames[target]
                session.waiting = target, self._attached[target]
                if len(self._memory[self._attached[target]]) != session.shown.pixels.nbytes:
                    self._fail_frame(session)
                self._fill_waiting()
            case "screencopy frame", 1:
                for shown in self._shown.values():
                    if shown.waiting is not None and shown.waiting[0] == target:
                        shown.waiting = None
                self._delete(target)
            case "wl_shm_pool", 1:
                self._delete(target)
            case "wl_buffer" | "source" | "cursor session", 0:
                self._delete(target)

    def _bind(self, announced: int, interface: str, number: int) -> None:
        self._kinds[number] = interface
        if interface == "wl_output":
            self._subjects[number] = self._outputs[announced]
            self._say(number, 1, struct.pack("=Iiii", 1, WIDTH, HEIGHT, 60_000))
        elif interface == "wl_seat":
            self._say(number, 0, struct.pack("=I", 1))
        elif interface == "ext_foreign_toplevel_list_v1":
            for identifier, title in self._windows.items():
                handle = self._new_handle(number)
                self._handles[handle] = identifier
                for code, words in ((2, title), (3, "program"), (4, identifier)):
                    self._say(handle, code, as_text(words))
                self._say(handle, 1)
        elif interface == "zwlr_foreign_toplevel_manager_v1":
            for identifier, title in self._windows.items():
                handle = self._new_handle(number)
                self._say(handle, 0, as_text(title))
                self._say(handle, 1, as_text("program"))
                states = (_ACTIVATED,) if identifier == self.active else ()
                self._say(handle, 4, struct.pack(f"={1 + len(states)}I", 4 * len(states), *states))
                self._say(handle, 5)

    def _new_handle(self, of: int) -> int:
        handle, self._own = self._own, self._own + 1
        self._say(of, 0, struct.pack("=I", handle))
        return handle

    def _describe(self, number: int, session: _Session) -> None:
        """Say how the pictures of a session are."""
        height, width = session.shown.pixels.shape
        self._say(number, 0, struct.pack("=II", width, height))
        for each in {self.format, 0x36314752}:
            self._say(number, 1, struct.pack("=I", each))
        self._say(number, 4)

    def _fail_frame(self, session: _Session) -> None:
        waiting, session.waiting = session.waiting, None
        if waiting is not None:
            self._say(waiting[0], 4, struct.pack("=I", _OUTDATED))

    def _fill_waiting(self) -> None:
        for shown in self._shown.values():
            if shown.waiting is not None and shown.is_damaged:
                (frame, buffer), shown.waiting, shown.is_damaged = shown.waiting, None, False
                self._finish(frame, buffer, shown, with_damage=True)
        for session in self._sessions.values():
            is_off = any(self._shown[name] is session.shown for name in self.off)
            if session.waiting is not None and session.is_damaged and not is_off:
                (frame, buffer), session.waiting, session.is_damaged = session.waiting, None, False
                height, width = session.shown.pixels.shape
                self._memory[buffer][:] = session.shown.pixels.tobytes()
                self._say(frame, 0, struct.pack("=I", 0))
                self._say(frame, 1, struct.pack("=iiii", 0, 0, width, height))
                self._say(frame, 2, _now())
                self._say(frame, 3)

    def _finish(self, frame: int, buffer: int, shown: _Shown, *, with_damage: bool) -> None:
        self._memory[buffer][:] = shown.pixels[:: -1 if self.is_inverted else 1].tobytes()
        self._say(frame, 1, struct.pack("=I", self.is_inverted))
        if with_damage:
            self._say(frame, 4, struct.pack("=IIII", 0, 0, WIDTH, HEIGHT))
        self._say(frame, 2, _now())

    def _announce(self, number: int, interface: str, version: int) -> None:
        self._say(self._registry, 0, struct.pack("=I", number) + as_text(interface) + struct.pack("=I", version))

    def _delete(self, number: int) -> None:
        self._kinds.pop(number, None)
        self._say(1, 1, struct.pack("=I", number))

    def _say(self, target: int, code: int, arguments: bytes = b"") -> None:
        if self._client is not None:
            with suppress(BrokenPipeError):
                self._client.sendall(struct.pack("=IHH", target, code, 8 + len(arguments)) + arguments)


def _now() -> bytes:
    """Return the time of a picture."""
    seconds, nanoseconds = divmod(time.monotonic_ns(), 1_000_000_000)
    return struct.pack("=III", 0, seconds, nanoseconds)


@contextmanager
def compositor(address: Path, *, copies: bool | None = False) -> Iterator[Compositor]:
    made = Compositor(address, copies=copies)
    try:
        yield made
    finally:
        made.close()
