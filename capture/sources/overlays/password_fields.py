"""Knows whether a password field has the focus, from what programs report to screen readers (AT-SPI over D-Bus)."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

from jeepney import DBusAddress, HeaderFields, Message, MessageFlag, MessageType, new_method_call
from jeepney.bus_messages import MatchRule, message_bus
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from capture.system.session_bus import absence, bus_address
from capture.threads.worker import Worker

__all__ = ["PasswordFields"]

#: AT-SPI's number for the role of a password field (ATSPI_ROLE_PASSWORD_TEXT).
PASSWORD_TEXT: Final = 40

#: Both buses answer within some milliseconds; one that hangs must not delay the recorder.
ANSWER_LIMIT_S: Final = 2.0
END_LIMIT_S: Final = 2.0

_OBJECT: Final = "org.a11y.atspi.Event.Object"
_WINDOW: Final = "org.a11y.atspi.Event.Window"
_BUS: Final = "org.freedesktop.DBus"

#: Programs only report events that a client has requested from the registry.
_WANTED: Final = ("object:state-changed:focused", "window:activate", "window:deactivate", "window:destroy")
_REGISTRY: Final = DBusAddress(
    "/org/a11y/atspi/registry", "org.a11y.atspi.Registry", interface="org.a11y.atspi.Registry"
)
_LAUNCHER: Final = DBusAddress("/org/a11y/bus", "org.a11y.Bus", interface="org.a11y.Bus")

#: Everything that can go wrong on a bus: it is missing, it ends, it answers something else.
_TROUBLES: Final = (OSError, RuntimeError, ValueError, KeyError, IndexError, StopIteration)


class PasswordFields:
    """Follows the focus from construction on, on its own thread. Any thread may call `focused` and `close`.

    A program that does not support accessibility is unknown here.
    """

    def __init__(self, address: str | None) -> None:
        """`address` is the accessibility bus; with None the session bus is asked for it.

        Raises `OSError` if there is none.
        """
        #: Whether the bus has ended, and programs report nothing any longer.
        self.is_lost = False
        try:
            self._connection = _connected(address)
        except _TROUBLES as trouble:
            raise OSError(f"there is no accessibility bus ({trouble})") from trouble
        # A byte in this pair ends the wait for messages.
        self._wake_out, self._wake_in = socket.socketpair()
        # The focused object and the active window, each as (program, path); and whether the window holds the object.
        self._focus: tuple[str, str] | None = None
        self._window: tuple[str, str] | None = None
        self._window_is_active = True
        self._is_secret = False
        # The serial of the pending request for the object's role.
        self._asked = 0
        self._worker = Worker("password fields", self._run)
        self._worker.start()

    @property
    def focused(self) -> bool:
        """Whether typing may go into a password field; also true until the role is known."""
        return self._is_secret and self._window_is_active

    def close(self) -> None:
        """Stop following the focus; may be called twice."""
        with suppress(OSError):
            self._wake_in.send(b"!")
        if self._worker.join(END_LIMIT_S):
            self._wake_in.close()

    def _run(self) -> None:
        try:
            while True:
                readable, _, _ = select.select([self._connection.sock, self._wake_out], [], [])
                if self._wake_out in readable:
                    return
                with suppress(TimeoutError):
                    while True:
                        message = self._connection.receive(timeout=0)
                        # Any program may send a signal with another content than AT-SPI's. It means nothing, and the
                        # password fields of all others still count.
                        with suppress(LookupError, TypeError, ValueError):
                            self._take_in(message)
        except _TROUBLES:
            # The bus has ended: there is nothing left to know.
            self._is_secret, self.is_lost = False, True
        finally:
            self._connection.close()
            self._wake_out.close()

    def _take_in(self, message: Message) -> None:
        fields, kind = message.header.fields, message.header.message_type
        if kind is MessageType.signal:
            program, path = fields.get(HeaderFields.sender, ""), fields.get(HeaderFields.path, "")
            self._on_event(
                fields.get(HeaderFields.interface), fields.get(HeaderFields.member), program, path, message.body
            )
        elif fields.get(HeaderFields.reply_serial) == self._asked:
            # A program that returns an error has no password field there.
            self._is_secret = kind is MessageType.method_return and message.body[0] == PASSWORD_TEXT

    def _on_event(
        self, interface: str | None, member: str | None, program: str, path: str, body: Sequence[Any]
    ) -> None:
        here = program, path
        is_its_program = self._focus is not None and self._focus[0] == program
        if interface == _OBJECT and body[0] == "focused":
            if body[1]:
                self._ask_role(program, path)
            elif here == self._focus:
                self._leave()
        elif interface == _WINDOW and member == "Activate":
            self._window = here
            self._window_is_active |= is_its_program
        elif interface == _WINDOW and is_its_program:
            # A window that was active before this started is only recognised when it is left.
            if here == self._window or (self._window is None and member == "Deactivate"):
                self._window_is_active = False
        elif interface == _BUS and self._focus is not None and body[0] == self._focus[0] and not body[2]:
            # The program has ended.
            self._leave()

    def _ask_role(self, program: str, path: str) -> None:
        """Ask for the role of the newly focused object, and treat it as secret until the reply."""
        self._focus, self._window_is_active, self._is_secret = (program, path), True, True
        self._asked = next(self._connection.outgoing_serial)
        accessible = DBusAddress(path, program, interface="org.a11y.atspi.Accessible")
        self._connection.send(new_method_call(accessible, "GetRole"), serial=self._asked)

    def _leave(self) -> None:
        self._focus, self._is_secret, self._asked = None, False, 0


def _connected(address: str | None) -> DBusConnection:
    """Return a connection that receives focus events."""
    connection = open_dbus_connection(address or _address())
    focus = MatchRule(type="signal", interface=_OBJECT, member="StateChanged")
    focus.add_arg_condition(0, "focused")
    windows = MatchRule(type="signal", interface=_WINDOW)
    ends = MatchRule(type="signal", interface=_BUS, member="NameOwnerChanged")
    try:
        for rule in (focus, windows, ends):
            _answer(connection, message_bus.AddMatch(rule))
        for event in _WANTED:
            _answer(connection, new_method_call(_REGISTRY, "RegisterEvent", "s", (event,)))
    except BaseException:
        connection.close()
        raise
    return connection


def _address() -> str:
    """Return the accessibility bus's address from the session bus, without starting one."""
    address = bus_address(os.environ)
    if address is None:
        raise OSError(absence(os.environ))
    with open_dbus_connection(address) as session:
        question = new_method_call(_LAUNCHER, "GetAddress")
        question.header.flags |= MessageFlag.no_auto_start
        return str(_answer(session, question)[0])


def _answer(connection: DBusConnection, question: Message) -> Sequence[Any]:
    answer = connection.send_and_get_reply(question, timeout=ANSWER_LIMIT_S)
    if answer.header.message_type is not MessageType.method_return:
        raise OSError(f"the bus refuses {question.header.fields[HeaderFields.member]}: {answer.body}")
    body: Sequence[Any] = answer.body
    return body
