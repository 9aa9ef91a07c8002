"""Notices that the screen is locked, over D-Bus.

logind knows it of the user's graphical session where the desktop reports it (`LockedHint`, as GNOME and KDE do). The
desktops' screensavers say it themselves (`ActiveChanged`), some also when they cover the screen without a lock.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from capture.events import EventKind
from capture.system.session_bus import bus_address

if TYPE_CHECKING:
    from jeepney.io.blocking import DBusConnection

__all__ = ["LockWatch"]

#: How long a service may take for an answer; only the thread that keeps the screen awake waits.
ANSWER_LIMIT_S: Final = 2.0

#: The interfaces of screensavers; each has the path of the same name.
_SAVERS: Final = (
    "org.freedesktop.ScreenSaver",
    "org.gnome.ScreenSaver",
    "org.cinnamon.ScreenSaver",
    "org.mate.ScreenSaver",
    "org.xfce.ScreenSaver",
)

_LOGIND: Final = "org.freedesktop.login1"
_SESSION: Final = f"{_LOGIND}.Session"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"

#: Where the system's bus is, unless DBUS_SYSTEM_BUS_ADDRESS says otherwise (D-Bus Specification, "Well-known Message
#: Bus Instances").
_SYSTEM_BUS: Final = "unix:path=/var/run/dbus/system_bus_socket"

#: Takes one signal.
_Take: TypeAlias = Callable[[Any], None]


class LockWatch:
    """Reports when the screen is locked, and when it no longer is. For one thread.

    A bus or a service that is missing, refuses or hangs is left out.
    """

    def __init__(self, report: Callable[[EventKind, str], None], environment: Mapping[str, str] = os.environ) -> None:
        self._report = report
        self._locked_by: set[str] = set()
        # The path of the user's graphical session.
        self._session = ""
        self._buses: list[tuple[DBusConnection, deque[Any], _Take]] = []
        address = bus_address(environment)
        # A private desk has no bus, and nothing to do with the user's own session.
        if address is None:
            return
        with suppress(Exception):
            self._watch_savers(address)
        with suppress(Exception):
            self._watch_logind(environment.get("DBUS_SYSTEM_BUS_ADDRESS") or _SYSTEM_BUS)

    @property
    def is_open(self) -> bool:
        """Whether there is a bus to look at."""
        return bool(self._buses)

    def look(self) -> None:
        """Report what has changed since the last look."""
        for bus in tuple(self._buses):
            connection, signals, take = bus
            try:
                self._read(connection)
            except (OSError, ValueError):
                self._buses.remove(bus)
                connection.close()
            while signals:
                # A signal with another content than specified means nothing.
                with suppress(IndexError, KeyError, TypeError, ValueError):
                    take(signals.popleft())

    def close(self) -> None:
        for connection, _, _ in self._buses:
            connection.close()

    def _read(self, connection: DBusConnection) -> None:
        with suppress(TimeoutError):
            while True:
                connection.recv_messages(timeout=0)

    def _watch_savers(self, address: str) -> None:
        connection = self._connect(address, self._take_saver, {"member": "ActiveChanged"})
        for saver in _SAVERS:
            path = f"/{saver.replace('.', '/')}"
            self._note(saver, _asked(connection, path, saver, saver, "GetActive")[:1] == (True,))

    def _watch_logind(self, address: str) -> None:
        rule = {"interface": _PROPERTIES, "member": "PropertiesChanged"}
        connection = self._connect(address, self._take_logind, rule, sender=_LOGIND)
        user = f"/{_LOGIND.replace('.', '/')}/user/self"
        display, hint = (f"{_LOGIND}.User", "Display"), (_SESSION, "LockedHint")
        try:
            ((_, (_, self._session)),) = _asked(connection, user, _LOGIND, _PROPERTIES, "Get", "ss", display)
            ((_, locked),) = _asked(connection, self._session, _LOGIND, _PROPERTIES, "Get", "ss", hint)
        except (OSError, ValueError):
            # There is no logind, or no graphical session.
            self._buses.pop()
            connection.close()
            return
        self._note(_LOGIND, locked is True)

    def _connect(self, address: str, take: _Take, rule: Mapping[str, str], sender: str | None = None) -> DBusConnection:
        # Loading it takes 20 ms.
        from jeepney import MatchRule
        from jeepney.bus_messages import message_bus
        from jeepney.io.blocking import Proxy, open_dbus_connection

        connection = open_dbus_connection(address)
        signals: deque[Any] = deque()
        self._buses.append((connection, signals, take))
        # The bus knows the sender by this name; in its messages the sender has another one.
        connection.filter(MatchRule(type="signal", **rule), queue=signals).__enter__()
        wanted = MatchRule(type="signal", sender=sender, **rule)
        Proxy(message_bus, connection, timeout=ANSWER_LIMIT_S).AddMatch(wanted)
        return connection

    def _take_saver(self, message: Any) -> None:
        from jeepney import HeaderFields

        interface = message.header.fields[HeaderFields.interface]
        if interface in _SAVERS:
            self._note(interface, message.body[0] is True)

    def _take_logind(self, message: Any) -> None:
        from jeepney import HeaderFields

        owner, changed, _ = message.body
        if owner == _SESSION and message.header.fields[HeaderFields.path] == self._session:
            self._note(_LOGIND, changed["LockedHint"][1] is True)

    def _note(self, source: str, locked: bool) -> None:
        before = bool(self._locked_by)
        (self._locked_by.add if locked else self._locked_by.discard)(source)
        if bool(self._locked_by) == before:
            return
        if before:
            self._report(EventKind.SCREEN_UNLOCKED, "the screen is unlocked")
        elif source == _LOGIND:
            self._report(EventKind.SCREEN_LOCKED, "the screen is locked")
        else:
            self._report(EventKind.SCREEN_LOCKED, "the screen is locked, or covered by the desktop's screensaver")


def _asked(connection: DBusConnection, path: str, name: str, interface: str, *call: Any) -> tuple[Any, ...]:
    """Return the answer of a running service to a call; nothing if it refuses. Raises `TimeoutError`, `OSError`."""
    from jeepney import DBusAddress, MessageFlag, MessageType, new_method_call

    message = new_method_call(DBusAddress(path, name, interface), *call)
    # The question is no reason to start a screensaver.
    message.header.flags |= MessageFlag.no_auto_start
    answer = connection.send_and_get_reply(message, timeout=ANSWER_LIMIT_S)
    return tuple(answer.body) if answer.header.message_type is MessageType.method_return else ()
