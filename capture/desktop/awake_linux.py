"""Keeps the screensaver and the sleep of the screen away on Linux.

The desktop is asked over D-Bus: `org.freedesktop.ScreenSaver`, or where that is missing the portal's `Inhibit`. The X
server is asked too (MIT-SCREEN-SAVER, which stops DPMS as well): without a desktop it is the only one that blanks the
screen. Each of them forgets the request when its connection ends, so also after a crash. Each is optional: a refusal,
or a system without it, changes nothing.
"""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from capture.desktop.screen_lock import ANSWER_LIMIT_S, LockWatch
from capture.errors import CaptureError
from capture.events import EventKind
from capture.system import portal
from capture.system.session_bus import bus_address

if TYPE_CHECKING:
    from capture.sources.x11.xcb import Connection, Extension

__all__ = ["keep_linux_awake"]

#: What a desktop shows as the program and the reason.
_NAME: Final = "Capture"
_REASON: Final = "recording the screen"

#: How often to look whether the screen was locked or blanked nevertheless.
LOOK_EVERY_S: Final = 1.0

#: The portal's flag for: the session does not become idle.
_IDLE: Final = 8

#: Requests of MIT-SCREEN-SAVER 1.1, the mask of its event, and the states in which the screen is covered: the saver is
#: on, or shows its next picture.
_QUERY_VERSION: Final = 0
_QUERY_INFO: Final = 1
_SELECT_INPUT: Final = 2
_SUSPEND: Final = 5
_NOTIFY_MASK: Final = 1
_COVERING: Final = (1, 2)

#: Core requests, and the size of an answer without what follows it.
_INTERN_ATOM: Final = 16
_GET_PROPERTY: Final = 20
_ANSWER_BYTES: Final = 32

#: The core request whose reply proves that those before it were handled.
_GET_INPUT_FOCUS: Final = 43

_Report: TypeAlias = Callable[[EventKind, str], None]


def keep_linux_awake(released: threading.Event, report: _Report) -> None:
    """Keep the screen awake until `released` is set; meanwhile report when it is locked or blanked nevertheless."""
    with ExitStack() as held:
        looks: list[Callable[[], None]] = []
        # Whatever a desktop or a server answers, the recording goes on.
        with suppress(Exception):
            held.enter_context(_inhibited_by_desktop())
        with suppress(Exception):
            lock = held.enter_context(closing(LockWatch(report)))
            if lock.is_open:
                looks.append(lock.look)
        with suppress(CaptureError):
            suspended = held.enter_context(_suspended_by_server())
            if suspended is not None:
                connection, saver = suspended
                looks.append(_ServerWatch(connection, saver, report).look)
                looks.append(_XscreensaverWatch(connection, report).look)
        while looks and not released.wait(LOOK_EVERY_S):
            for look in tuple(looks):
                try:
                    look()
                except CaptureError:
                    looks.remove(look)
        released.wait()


class _Cover:
    """Reports when `what` covers the screen, and when the screen is shown again. Reports only changes."""

    def __init__(self, report: _Report, what: str) -> None:
        self._report = report
        self._what = what
        self._covers = False

    def note(self, covers: bool) -> None:
        if covers == self._covers:
            return
        self._covers = covers
        if covers:
            self._report(EventKind.SCREEN_BLANKED, self._what)
        else:
            self._report(EventKind.SCREEN_SHOWN, "the screen is shown again")


class _ServerWatch:
    """Notices that the X server's own screensaver covers the screen."""

    def __init__(self, connection: Connection, saver: Extension, report: _Report) -> None:
        """Report a screen that is blanked already: no event will tell. Raises `DisplayLostError`."""
        self._connection = connection
        self._saver = saver
        self._cover = _Cover(report, "the screensaver has blanked the screen")
        answer = connection.ask(saver.request(_QUERY_INFO, struct.pack("=I", connection.root)))
        self._cover.note(answer is not None and answer[1] in _COVERING)

    def look(self) -> None:
        """Report what has changed since the last look. Raises `DisplayLostError`."""
        for event in self._connection.events():
            if event[0] & 0x7F == self._saver.first_event:
                self._cover.note(event[1] in _COVERING)


class _XscreensaverWatch:
    """Notices that xscreensaver covers the screen: it is a program, which no extension of the X server knows of.

    Its property on the root window begins with an atom (`BLANK`, `LOCK`) while it does, and with 0 otherwise.
    """

    def __init__(self, connection: Connection, report: _Report) -> None:
        """Raises `DisplayLostError`."""
        self._connection = connection
        self._cover = _Cover(report, "xscreensaver covers the screen")
        name = b"_SCREENSAVER_STATUS"
        padded = name + bytes(-len(name) % 4)
        answer = connection.ask(struct.pack("=BBHHxx", _INTERN_ATOM, 0, 2 + len(padded) // 4, len(name)) + padded)
        (self._property,) = struct.unpack_from("=I", answer or bytes(_ANSWER_BYTES), 8)

    def look(self) -> None:
        """Report what has changed since the last look. Raises `DisplayLostError`."""
        root = self._connection.root
        answer = self._connection.ask(struct.pack("=BBHIIIII", _GET_PROPERTY, 0, 6, root, self._property, 0, 0, 1))
        self._cover.note(answer is not None and any(answer[_ANSWER_BYTES:]))


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
    inhibit = DBusAddress(portal.PATH, portal.SERVICE, "org.freedesktop.portal.Inhibit")
    with closing(open_dbus_connection(address)) as bus:

        def ask(*call: Any) -> Any:
            answer = bus.send_and_get_reply(new_method_call(*call), timeout=ANSWER_LIMIT_S)
            return answer.body if answer.header.message_type is MessageType.method_return else None

        cookie = ask(saver, "Inhibit", "ss", (_NAME, _REASON))
        if cookie is None:
            ask(inhibit, "Inhibit", "sua{sv}", ("", _IDLE, {"reason": ("s", _REASON)}))
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
