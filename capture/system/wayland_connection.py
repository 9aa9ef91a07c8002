"""Speaks the Wayland protocol: requests go out as bytes, and events come to the handlers of their objects.

A message is the number of its object, its code and length, and its arguments, in the byte order of this machine
(wayland.freedesktop.org, "Wire Format"). Only the compositor numbers its codes, by their order in the protocol's files.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeAlias

from capture.errors import DisplayLostError, NotReadyError
from capture.system.unix_socket import connect, listens

__all__ = ["NO_COMPOSITOR", "Connection", "Handler", "as_text", "has_compositor", "text_of"]

#: The remedy if no compositor answers.
NO_COMPOSITOR: Final = "start capture in the session itself, use --screen none, or capture headless -- COMMAND"

#: Takes the code and the arguments of an event.
Handler: TypeAlias = Callable[[int, bytes], None]

#: The object that every connection begins with, its requests and its events; and the only event of a callback.
_DISPLAY: Final = 1
_SYNC: Final = 0
_GET_REGISTRY: Final = 1
_ERROR: Final = 0
_DELETE_ID: Final = 1

_HEAD: Final = struct.Struct("=IHH")

#: How long the compositor may take to answer, or to make room for a request. It answers within a millisecond.
_ANSWER_LIMIT_S: Final = 5.0

_READ_BYTES: Final = 1 << 16

_SILENT: Final = "the Wayland compositor does not answer"


class Connection:
    """A connection to the compositor that WAYLAND_DISPLAY names. For one thread, except `wake`."""

    def __init__(self) -> None:
        """Raises `NotReadyError` if there is no compositor."""
        address = _address(os.environ)
        try:
            self._socket = connect(str(address), time.monotonic() + _ANSWER_LIMIT_S)
        except OSError as error:
            reason = error.strerror or str(error) or "it does not answer"
            raise NotReadyError(
                f"no Wayland compositor can be reached at {address} ({reason})", NO_COMPOSITOR
            ) from error
        # A byte in this pair ends a wait.
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_in.setblocking(False)
        self._socket.settimeout(_ANSWER_LIMIT_S)
        self._handlers: dict[int, Handler] = {_DISPLAY: self._on_display}
        # Numbers that were used, and the first that was not.
        self._free: list[int] = []
        self._unused = _DISPLAY + 1
        self._unread = b""
        # Requests that go out with the next one.
        self._unsent = b""
        self._events: deque[tuple[int, int, bytes]] = deque()

    def new_id(self, handler: Handler = lambda code, arguments: None) -> int:
        """Return the number of a new object, for the request that makes it. `handler` gets its events."""
        if self._free:
            number = self._free.pop()
        else:
            number = self._unused
            self._unused += 1
        self._handlers[number] = handler
        return number

    def adopt(self, number: int, handler: Handler) -> None:
        """Let `handler` get the events of an object that the compositor has made."""
        self._handlers[number] = handler

    def get_registry(self, handler: Handler) -> int:
        """Return the object that announces what the compositor has."""
        number = self.new_id(handler)
        self.request(_DISPLAY, _GET_REGISTRY, struct.pack("=I", number))
        return number

    def request(
        self,
        target: int,
        code: int,
        arguments: bytes = b"",
        descriptor: int | None = None,
        *,
        more_follow: bool = False,
    ) -> None:
        """Send a request of the object `target`. The caller closes the `descriptor`. Raises `DisplayLostError`.

        With `more_follow` it goes out with the next one, which wakes the compositor once for both.
        """
        if sys.platform == "win32":
            raise DisplayLostError("there is no Wayland on Windows")
        message = self._unsent + _HEAD.pack(target, code, _HEAD.size + len(arguments)) + arguments
        if more_follow:
            self._unsent = message
            return
        self._unsent = b""
        try:
            sent = socket.send_fds(self._socket, [message], [] if descriptor is None else [descriptor])
            self._socket.sendall(message[sent:])
        except TimeoutError as error:
            raise DisplayLostError(_SILENT) from error
        except OSError as error:
            # A compositor that hangs up says why before.
            self._read()
            raise DisplayLostError(f"the Wayland compositor cannot be reached ({error})") from error

    def destroy(self, target: int, code: int, *, more_follow: bool = False) -> None:
        """Send the request that destroys the object `target`. Events that are on their way are ignored."""
        self.request(target, code, more_follow=more_follow)
        self._handlers.pop(target, None)

    def round_trip(self) -> None:
        """Wait until the compositor has handled all requests. Raises `DisplayLostError`."""
        done = False

        def handle(code: int, arguments: bytes) -> None:
            nonlocal done
            done = True

        self.request(_DISPLAY, _SYNC, struct.pack("=I", self.new_id(handle)))
        until_s = time.monotonic() + _ANSWER_LIMIT_S
        while not done:
            if not self.wait(until_s) and time.monotonic() >= until_s:
                raise DisplayLostError(_SILENT)

    def wait(self, until_s: float) -> bool:
        """Wait for events and handle all that have arrived; return False after `wake`, or at `until_s` (monotonic).

        Raises `DisplayLostError`.
        """
        wait_s = max(0.0, until_s - time.monotonic())
        readable, _, _ = select.select([self._socket, self._wake_out], [], [], wait_s)
        if self._wake_out in readable:
            self._wake_out.recv(64)
            return False
        if not readable:
            return False
        self._read()
        return True

    def hear(self) -> None:
        """Handle all events that have arrived, without waiting. Raises `DisplayLostError`."""
        while select.select([self._socket], [], [], 0.0)[0]:
            self._read()

    def wake(self) -> None:
        """Make a thread in `wait` return. Any thread may call this, even after `close`."""
        with suppress(OSError):
            self._wake_in.send(b"!")

    def close(self) -> None:
        """Disconnect; may be called twice."""
        # They refer to what owns this connection.
        self._handlers.clear()
        self._socket.close()
        self._wake_in.close()
        self._wake_out.close()

    def _read(self) -> None:
        try:
            arrived = self._socket.recv(_READ_BYTES)
        except ConnectionResetError:
            arrived = b""
        except OSError as error:
            raise DisplayLostError(f"the Wayland compositor cannot be reached ({error})") from error
        if not arrived:
            raise DisplayLostError("the Wayland compositor has ended")
        self._unread += arrived
        at = 0
        while at + _HEAD.size <= len(self._unread):
            target, code, length = _HEAD.unpack_from(self._unread, at)
            if length < _HEAD.size:
                raise DisplayLostError("the Wayland compositor sends what is no Wayland")
            if at + length > len(self._unread):
                break
            self._events.append((target, code, self._unread[at + _HEAD.size : at + length]))
            at += length
        self._unread = self._unread[at:]
        # A handler whose request fails reads the rest, where the compositor says why.
        while self._events:
            target, code, arguments = self._events.popleft()
            handler = self._handlers.get(target)
            if handler is not None:
                handler(code, arguments)

    def _on_display(self, code: int, arguments: bytes) -> None:
        if code == _ERROR:
            raise DisplayLostError(f"the Wayland compositor refuses a request: {text_of(arguments[8:])}")
        if code == _DELETE_ID:
            (number,) = struct.unpack_from("=I", arguments)
            self._handlers.pop(number, None)
            self._free.append(number)


def has_compositor(environment: Mapping[str, str]) -> bool:
    """Whether something listens where the compositor of this environment would."""
    with suppress(NotReadyError):
        return listens(str(_address(environment)))
    return False


def _address(environment: Mapping[str, str]) -> Path:
    """Return where the compositor listens. Raises `NotReadyError` if the environment does not say it."""
    name, folder = environment.get("WAYLAND_DISPLAY") or "wayland-0", environment.get("XDG_RUNTIME_DIR", "")
    address = Path(folder, name)
    if not address.is_absolute():
        # A compositor would not be looked for in the folder where capture was started.
        raise NotReadyError(
            f"no Wayland compositor can be reached at {name}, because XDG_RUNTIME_DIR is {folder!r}", NO_COMPOSITOR
        )
    return address


def as_text(words: str) -> bytes:
    """Return a string as an argument."""
    value = words.encode() + b"\0"
    return struct.pack("=I", len(value)) + value + bytes(-len(value) % 4)


def text_of(arguments: bytes) -> str:
    """Return the string that `arguments` begin with."""
    (length,) = struct.unpack_from("=I", arguments)
    return arguments[4 : 4 + length].rstrip(b"\0").decode(errors="replace")
