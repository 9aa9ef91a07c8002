"""Keeps the screensaver and the sleep of the screen away while a picture is recorded.

The desktop is asked over D-Bus: `org.freedesktop.ScreenSaver`, or where that is missing the portal's `Inhibit`. The X
server is asked too (MIT-SCREEN-SAVER, which stops DPMS as well): without a desktop it is the only one that blanks the
screen. Each of them forgets the request when its connection ends, so also after a crash. Each is optional: a refusal,
or a system without it, changes nothing.
"""

from __future__ import annotations

import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from capture.desktop.notify import bus_address
from capture.errors import CaptureError
from capture.events import EventKind
from capture.threads.worker import Worker

if TYPE_CHECKING:
    from capture.sources.x11.xcb import Connection, Extension

__all__ = ["ScreenAwake"]

#: What a desktop shows as the program and the reason.
_NAME: Final = "Capture"
_REASON: Final = "recording the screen"

#: How long a service may take for an answer; only the thread that keeps the screen awake waits.
ANSWER_LIMIT_S: Final = 2.0

#: How long `close` waits for that thread. It is a daemon: if the bus hangs, it ends with the process.
CLOSE_LIMIT_S: Final = 1.0

#: How often to look whether the screen was blanked nevertheless, by its lock or by hand.
LOOK_EVERY_S: Final = 1.0

#: The portal's flag for: the session does not become idle.
_IDLE: Final = 8

#: Requests of MIT-SCREEN-SAVER 1.1, the mask of its event, and the state in it that says that the saver is off.
_QUERY_VERSION: Final = 0
_SELECT_INPUT: Final = 2
_SUSPEND: Final = 5
_NOTIFY_MASK: Final = 1
_OFF: Final = 0

#: The core request whose reply proves that those before it were handled.
_GET_INPUT_FOCUS: Final = 43

_Report = Callable[[EventKind, str], None]


class ScreenAwake:
    """Keeps the screen awake while something holds it: a recording (as a `TakeObserver`), or the replay buffer.

    For one thread. Nothing waits for the desktop or the server: a thread of its own asks them. `report` is called by
    that thread when the screen is blanked nevertheless, and when it is shown again.
    """

    def __init__(self, report: _Report) -> None:
        self._report = report
        self._holders = 0
        self._released = threading.Event()
        self._worker: Worker | None = None

    def hold(self) -> None:
        self._holders += 1
        if self._worker is None and sys.platform == "linux":
            self._released = threading.Event()
            self._worker = Worker("screen awake", partial(_keep_awake, self._released, self._report))
            self._worker.start()

    def release(self) -> None:
        """Undo one `hold`; the last one gives the screen back."""
        self._holders = max(0, self._holders - 1)
        if not self._holders:
            self.close()

    def take_began(self, path: str) -> None:
        self.hold()

    def take_ended(self) -> None:
        self.release()

    def close(self) -> None:
        """Give the screen back, whoever holds it; may be called twice."""
        self._holders = 0
        worker, self._worker = self._worker, None
        if worker is not None:
            self._released.set()
            worker.join(CLOSE_LIMIT_S)


def _keep_awake(released: threading.Event, report: _Report) -> None:
    with ExitStack() as held:
        # Whatever a desktop or a server answers, the recording goes on.
        with suppress(Exception):
            held.enter_context(_inhibited_by_desktop())
        with suppress(CaptureError):
            watch = held.enter_context(_suspended_by_server())
            while watch is not None and not released.wait(LOOK_EVERY_S):
                _look(*watch, report)
        released.wait()


@contextmanager
def _inhibited_by_desktop() -> Iterator[None]:
    address = bus_address(os.environ)
    if address is None:
        yield
        return
    # Loading it takes 20 ms.
    from jeepney import DBusAddress, MessageType, new_method_call
    from jeepney.io.blocking import open_dbus_connection

    saver = DBusAddress("/org/freedesktop/ScreenSaver", "org.freedesktop.ScreenSaver", "org.freedesktop.ScreenSaver")
    portal = DBusAddress(
        "/org/freedesktop/portal/desktop", "org.freedesktop.portal.Desktop", "org.freedesktop.portal.Inhibit"
    )
    with closing(open_dbus_connection(address)) as bus:

        def ask(*call: Any) -> Any:
            answer = bus.send_and_get_reply(new_method_call(*call), timeout=ANSWER_LIMIT_S)
            return answer.body if answer.header.message_type is MessageType.method_return else None

        cookie = ask(saver, "Inhibit", "ss", (_NAME, _REASON))
        if cookie is None:
            ask(portal, "Inhibit", "sua{sv}", ("", _IDLE, {"reason": ("s", _REASON)}))
        yield
        if cookie is not None:
            with suppress(Exception):
                # Not every service notices that a connection has ended.
                ask(saver, "UnInhibit", "u", cookie)


@contextmanager
def _suspended_by_server() -> Iterator[tuple[Connection, Extension] | None]:
    """Suspend the X server's screensaver; yield the connection that does, None if the server has none."""
    if not os.environ.get("DISPLAY"):
        yield None
        return
    from capture.sources.x11.xcb import Connection

    with closing(Connection()) as connection:
        saver = connection.extension("MIT-SCREEN-SAVER")
        if saver is not None:
            connection.ask(saver.request(_QUERY_VERSION, bytes((1, 1, 0, 0))))
            connection.send(saver.request(_SELECT_INPUT, struct.pack("=II", connection.root, _NOTIFY_MASK)))
            connection.send(saver.request(_SUSPEND, struct.pack("=I", True)))
            connection.ask(struct.pack("=BxH", _GET_INPUT_FOCUS, 1))
        yield None if saver is None else (connection, saver)


def _look(connection: Connection, saver: Extension, report: _Report) -> None:
    """Report whether the screen was blanked or shown since the last look. Raises `DisplayLostError`."""
    for event in connection.events():
        if event[0] & 0x7F == saver.first_event:
            if event[1] == _OFF:
                report(EventKind.SCREEN_SHOWN, "the screen is shown again")
            else:
                report(EventKind.SCREEN_BLANKED, "the screensaver has blanked the screen")
