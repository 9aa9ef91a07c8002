"""Reads key and button presses of a whole X11 desktop, and keyboard grabs, through the server's RECORD extension.

Each press comes with the pointer's place and the modifiers held, even while another program has grabbed the mouse or
the keyboard. The presses still reach their windows.
"""

from __future__ import annotations

import select
import struct
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from Xlib import X, error
from Xlib.ext import record

from capture.errors import NotReadyError
from capture.sources.x11.xlib import connect

__all__ = ["Button", "Key", "PressReader"]

#: How long to wait for the server to start recording; it does within a millisecond.
BEGIN_LIMIT_S: Final = 5.0

#: The wheel counts as buttons to X11: up, down, left, right.
_WHEEL: Final = (4, 5, 6, 7)

#: The requests of the core protocol and of XInput2 that grab and release the keyboard.
_GRAB_KEYBOARD: Final = 31
_UNGRAB_KEYBOARD: Final = 32
_XI_GRAB_DEVICE: Final = 51
_XI_UNGRAB_DEVICE: Final = 52
_XINPUT: Final = "XInputExtension"

#: XInput2's number of the pointer that all mice move. Any other device that is grabbed may be a keyboard.
_CORE_POINTER: Final = 2

#: An event of 32 bytes: type, detail, time, root, x and y on the screen, state.
_EVENT: Final = struct.Struct("=BBxxIIxxxxxxxxhhxxxxHxx")
_SUCCESS: Final = 0
_REPLY: Final = 1

#: A RECORD range that records nothing.
_NOTHING: Final = {
    "core_requests": (0, 0),
    "core_replies": (0, 0),
    "ext_requests": (0, 0, 0, 0),
    "ext_replies": (0, 0, 0, 0),
    "delivered_events": (0, 0),
    "device_events": (0, 0),
    "errors": (0, 0),
    "client_started": False,
    "client_died": False,
}


@dataclass(frozen=True, slots=True)
class Button:
    """A mouse button was pressed at this place of the screen."""

    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Key:
    """A key was pressed: its key code, and the modifiers held and locked at that moment, as X11's bit mask."""

    place: int
    state: int


Press: TypeAlias = Button | Key


class PressReader:
    """Reads button presses, and with `keys` also key presses, on its own connection. For one thread.

    Raises `NotReadyError` if the server cannot record them.
    """

    def __init__(self, *, keys: bool) -> None:
        self._heard: list[Press] = []
        self._started = False
        # The clients that hold the keyboard; and those whose grab has no reply yet.
        self._holders: set[int] = set()
        self._asking: set[int] = set()
        #: For requests to the server; it also receives changes of the keyboard mapping.
        self.display = asking = connect()
        try:
            if not asking.has_extension(record.extname):
                raise NotReadyError(
                    "this X server does not report presses (it has no RECORD extension)",
                    "record without --show-clicks and --show-keys",
                )
            self._records = connect()
        except BaseException:
            asking.close()
            raise
        self._xinput: int = asking.display.get_extension_major(_XINPUT) if asking.has_extension(_XINPUT) else 0
        self._begin(_ranges(keys=keys, xinput=self._xinput))

    def _begin(self, ranges: list[dict[str, Any]]) -> None:
        try:
            context = self.display.record_create_context(0, [record.AllClients], ranges)
            self.display.sync()
            # The library's own function blocks until recording ends.
            inner = self._records.display
            record.EnableContext(
                callback=self._take_in,
                display=inner,
                defer=True,
                opcode=inner.get_extension_major(record.extname),
                context=context,
            )
            self._records.flush()
            gives_up_at_s = time.monotonic() + BEGIN_LIMIT_S
            while not self._started and time.monotonic() < gives_up_at_s:
                select.select([self._records], [], [], gives_up_at_s - time.monotonic())
                self.read()
        except (error.XError, error.ConnectionClosedError, OSError) as lost:
            self.close()
            raise NotReadyError(f"key and button presses cannot be read ({lost})", "see capture doctor") from lost
        if not self._started:
            self.close()
            raise NotReadyError("the X server does not answer", "see capture doctor")

    @property
    def keyboard_is_held(self) -> bool:
        """Whether a program has grabbed the keyboard since recording began, as password prompts do."""
        return bool(self._holders)

    def fileno(self) -> int:
        """Return the descriptor for `select`: readable when there is something to `read`."""
        return int(self._records.fileno())

    def read(self) -> list[Press]:
        """Return the presses since the last call. Raises `ConnectionClosedError` once the server has ended."""
        # This does not wait; it passes everything that has arrived to `_take_in`.
        self._records.pending_events()
        heard, self._heard = self._heard, []
        return heard

    def close(self) -> None:
        """Stop reading; may be called twice."""
        for display in (self._records, self.display):
            with suppress(OSError, error.ConnectionClosedError):
                display.close()

    def _take_in(self, reply: Any) -> None:
        """Handle one RECORD reply; the library calls this while it reads."""
        if reply.category == record.StartOfData:
            self._started = True
        elif reply.category == record.ClientDied:
            self._forget_client(reply.id_base)
        elif reply.client_swapped:
            # No client on this machine has the other byte order.
            return
        elif reply.category == record.FromClient:
            self._on_request(reply.id_base, reply.data)
        elif reply.category == record.FromServer:
            if reply.data[:1] == bytes([_REPLY]):
                self._on_reply(reply.id_base, reply.data)
            else:
                self._on_events(reply.data)

    def _on_events(self, data: bytes) -> None:
        for kind, detail, _time, _root, x, y, state in _EVENT.iter_unpack(data[: len(data) // 32 * 32]):
            if kind == X.ButtonPress and detail not in _WHEEL:
                self._heard.append(Button(x, y))
            elif kind == X.KeyPress:
                self._heard.append(Key(detail, state))

    def _on_request(self, client: int, data: bytes) -> None:
        while len(data) >= 4:
            request, minor, length = struct.unpack_from("=BBH", data)
            if request == _GRAB_KEYBOARD:
                self._asking.add(client)
            elif request == _UNGRAB_KEYBOARD:
                self._holders.discard(client)
            elif request == self._xinput and minor == _XI_GRAB_DEVICE and _device(data, 16) != _CORE_POINTER:
                self._asking.add(client)
            elif request == self._xinput and minor == _XI_UNGRAB_DEVICE and _device(data, 8) != _CORE_POINTER:
                self._holders.discard(client)
            data = data[4 * max(1, length) :]

    def _on_reply(self, client: int, data: bytes) -> None:
        if client in self._asking:
            self._asking.remove(client)
            # XInput2 has the request's number where the core protocol has the status.
            outcome = data[8] if data[1] == _XI_GRAB_DEVICE else data[1]
            if outcome == _SUCCESS:
                self._holders.add(client)

    def _forget_client(self, client: int) -> None:
        self._holders.discard(client)
        self._asking.discard(client)


def _device(request: bytes, at: int) -> int:
    """Return the device number in an XInput2 request."""
    return int.from_bytes(request[at : at + 2], sys.byteorder)


def _ranges(*, keys: bool, xinput: int) -> list[dict[str, Any]]:
    """Return the RECORD ranges to enable."""
    ranges = [{**_NOTHING, "device_events": (X.ButtonPress, X.ButtonPress)}]
    if keys:
        grabs = (_GRAB_KEYBOARD, _UNGRAB_KEYBOARD)
        ranges += [
            {**_NOTHING, "device_events": (X.KeyPress, X.KeyPress), "client_died": True},
            {**_NOTHING, "core_requests": grabs, "core_replies": grabs},
        ]
        if xinput:
            devices = (xinput, xinput, _XI_GRAB_DEVICE, _XI_UNGRAB_DEVICE)
            ranges.append({**_NOTHING, "ext_requests": devices, "ext_replies": devices})
    return ranges
