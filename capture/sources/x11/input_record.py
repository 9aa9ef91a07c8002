"""What is pressed anywhere on an X11 desktop, and who holds its keyboard, as the server's RECORD extension tells it.

It tells where the pointer was and which modifiers were held at each press, and that also while another program has
grabbed mouse or keyboard; what is pressed reaches its window as ever.
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

__all__ = ["Button", "Key", "Presses"]

#: The server begins to tell within a millisecond of being asked.
BEGIN_LIMIT_S: Final = 5.0

#: The wheel counts as buttons to X11: up, down, left, right.
_WHEEL: Final = (4, 5, 6, 7)

#: What the core protocol and XInput2 call their requests for the keyboard alone.
_GRAB_KEYBOARD: Final = 31
_UNGRAB_KEYBOARD: Final = 32
_XI_GRAB_DEVICE: Final = 51
_XI_UNGRAB_DEVICE: Final = 52
_XINPUT: Final = "XInputExtension"

#: XInput2's number of the pointer that all mice move. Whatever else is grabbed may be a keyboard.
_CORE_POINTER: Final = 2

#: Type, detail, time, root, x and y on the screen, state: of an event of 32 bytes.
_EVENT: Final = struct.Struct("=BBxxIIxxxxxxxxhhxxxxHxx")
_SUCCESS: Final = 0
_REPLY: Final = 1

#: Of what is recorded: nothing.
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
    """A button of the mouse went down at this place of the screen."""

    x: int
    y: int


@dataclass(frozen=True, slots=True)
class Key:
    """A key went down: its place on the keyboard, and what was held and locked just then, as X11 counts."""

    place: int
    state: int


Press: TypeAlias = Button | Key


class Presses:
    """Hears buttons, and with `keys` also keys, through a connection of its own; for one thread.

    Raises `NotReadyError` where the server does not tell.
    """

    def __init__(self, *, keys: bool) -> None:
        self._heard: list[Press] = []
        self._started = False
        # Who has the keyboard to itself; and of whose requests the answers are still to come.
        self._holders: set[int] = set()
        self._asking: set[int] = set()
        #: For questions to the server; it also hears when the keyboard's table changes.
        self.display = asking = connect()
        try:
            if not asking.has_extension(record.extname):
                raise NotReadyError(
                    "this X server does not tell what is pressed (it has no RECORD extension)",
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
            # The library's own function waits for the end of all that will ever be told.
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
            raise NotReadyError(f"what is pressed cannot be heard ({lost})", "see capture doctor") from lost
        if not self._started:
            self.close()
            raise NotReadyError("the X server does not answer", "see capture doctor")

    @property
    def keyboard_is_held(self) -> bool:
        """Whether a program has taken the keyboard for itself since this began, as prompts for passwords do."""
        return bool(self._holders)

    def fileno(self) -> int:
        """What can be read when there is something to hear."""
        return int(self._records.fileno())

    def read(self) -> list[Press]:
        """What was pressed since the last call. Raises `ConnectionClosedError` when the server has ended."""
        # It waits for nothing, and gives what has come to `_take_in`.
        self._records.pending_events()
        heard, self._heard = self._heard, []
        return heard

    def close(self) -> None:
        """Hear nothing more; may be called twice."""
        for display in (self._records, self.display):
            with suppress(OSError, error.ConnectionClosedError):
                display.close()

    def _take_in(self, told: Any) -> None:
        """One thing the server tells; the library calls this while it reads."""
        if told.category == record.StartOfData:
            self._started = True
        elif told.category == record.ClientDied:
            self._let_go(told.id_base)
        elif told.client_swapped:
            # Nobody on this machine has its bytes the other way round.
            return
        elif told.category == record.FromClient:
            self._hear_request(told.id_base, told.data)
        elif told.category == record.FromServer:
            if told.data[:1] == bytes([_REPLY]):
                self._hear_answer(told.id_base, told.data)
            else:
                self._hear_events(told.data)

    def _hear_events(self, data: bytes) -> None:
        for kind, detail, _time, _root, x, y, state in _EVENT.iter_unpack(data[: len(data) // 32 * 32]):
            if kind == X.ButtonPress and detail not in _WHEEL:
                self._heard.append(Button(x, y))
            elif kind == X.KeyPress:
                self._heard.append(Key(detail, state))

    def _hear_request(self, client: int, data: bytes) -> None:
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

    def _hear_answer(self, client: int, data: bytes) -> None:
        if client in self._asking:
            self._asking.remove(client)
            # XInput2 repeats the request's number where the core protocol has the outcome.
            outcome = data[8] if data[1] == _XI_GRAB_DEVICE else data[1]
            if outcome == _SUCCESS:
                self._holders.add(client)

    def _let_go(self, client: int) -> None:
        self._holders.discard(client)
        self._asking.discard(client)


def _device(request: bytes, at: int) -> int:
    """The number of the device that a request of XInput2 is about."""
    return int.from_bytes(request[at : at + 2], sys.byteorder)


def _ranges(*, keys: bool, xinput: int) -> list[dict[str, Any]]:
    """What is to be told, in the words of the RECORD protocol."""
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
