"""Talks to the desktop's portal about keys: org.freedesktop.portal.GlobalShortcuts, over the session bus.

Every call has a time limit, and each wait ends at once when another thread calls `interrupt`.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from jeepney import DBusAddress, HeaderFields, MatchRule, MessageFlag, MessageType, Properties, new_method_call
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection

from capture.errors import NotReadyError
from capture.system.desktop_entry import APP_ID
from capture.system.portal import (
    ANSWER_LIMIT_S,
    CANCELLED,
    DIALOG_LIMIT_S,
    GIVEN,
    PATH,
    REQUEST,
    SERVICE,
    SESSION,
    is_absent,
    new_token,
    request_path,
)
from capture.system.session_bus import absence, bus_address

__all__ = ["CancelledError", "GlobalShortcuts", "Shortcut", "ShortcutEvent", "StoppedError"]

_INTERFACE: Final = "org.freedesktop.portal.GlobalShortcuts"
_REGISTRY: Final = "org.freedesktop.host.portal.Registry"
_BUS: Final = "org.freedesktop.DBus"

#: Keys that the desktop knows are given within some hundredths of a second. Whatever takes longer is a dialog.
DIALOG_AFTER_S: Final = 0.5

_SILENT: Final = "the portal does not answer"

#: Names of errors that say that the portal lacks what was called.
_MISSING: Final = ("UnknownInterface", "UnknownMethod", "UnknownObject", "UnknownProperty", "InvalidArgs")


class StoppedError(Exception):
    """`interrupt` was called."""


class CancelledError(NotReadyError):
    """The user does not want to give the keys."""


class Shortcut(NamedTuple):
    """What the desktop is asked for: the text in its settings, and the key in the XDG syntax, "" for none."""

    id: str
    description: str
    trigger: str


class ShortcutEvent(NamedTuple):
    """A key of the shortcut `id` went down or up."""

    id: str = ""
    is_pressed: bool = False
    #: In place of a key: why no more keys will come, until a portal is back.
    lost: str = ""
    #: In place of a key: a portal has started.
    is_back: bool = False
    #: In place of a key: the user has changed keys in the desktop; what `GlobalShortcuts.ask` returns.
    changed: Mapping[str, str] | None = None


class _RefusedError(NotReadyError):
    """The portal, or the bus in its place, answered a call with an error."""

    def __init__(self, name: str, words: str) -> None:
        self.is_absent = is_absent(name)
        self.is_missing = not self.is_absent and name.rpartition(".")[2] in _MISSING
        if self.is_absent:
            super().__init__("no portal runs")
        elif self.is_missing:
            super().__init__("the portal has no GlobalShortcuts")
        else:
            super().__init__(f"the portal refuses: {words or name}")


class GlobalShortcuts:
    """A connection to the portal. One thread uses it; any thread may `interrupt` it.

    The message of each `NotReadyError` is a reason, without a remedy: the desktop decides what to do instead.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Connect. Raises `NotReadyError` if there is no session bus."""
        address = bus_address(environment)
        try:
            if address is None:
                raise NotReadyError(absence(environment))
            self._bus: Any = open_dbus_connection(address)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise NotReadyError(f"the session bus cannot be reached: {error}") from error
        self._wake, self._woken = socket.socketpair()
        self._session = ""
        # What has arrived and was not yet asked for.
        self._events: list[ShortcutEvent] = []
        # The request that is waited for, and its answers.
        self._request_path = ""
        self._answers: list[tuple[int, dict[str, Any]]] = []
        #: Whether the portal wants to know which program this is, and found no entry of it.
        self.is_unknown = False

    def ask(self, shortcuts: Sequence[Shortcut], waiting: Callable[[], None]) -> dict[str, str]:
        """Ask for `shortcuts`; return those that the desktop gives, by id, with its words for their keys.

        Calls `waiting` if the desktop seems to ask the user. Raises `NotReadyError` and `StoppedError`, and as
        `next_event` does `LookupError`, `TypeError` or `ValueError` for an answer that makes no sense.
        """
        self._events.clear()
        for interface in (_INTERFACE, REQUEST, SESSION):
            self._call(message_bus.AddMatch(MatchRule(type="signal", sender=SERVICE, interface=interface)))
        changes = MatchRule(type="signal", sender=_BUS, interface=_BUS, member="NameOwnerChanged")
        changes.add_arg_condition(0, SERVICE)
        self._call(message_bus.AddMatch(changes))
        self._register()
        token = {"session_handle_token": ("s", new_token())}
        try:
            self._session = str(self._request("CreateSession", "a{sv}", (), token)["session_handle"])
        except _RefusedError as error:
            # Knowing the program would not help.
            self.is_unknown &= not error.is_missing
            raise
        wanted = [(shortcut.id, _options(shortcut)) for shortcut in shortcuts]
        found = self._request("BindShortcuts", "oa(sa{sv})sa{sv}", (self._session, wanted, ""), {}, waiting)
        return _keys_of(found["shortcuts"])

    def versions(self) -> tuple[int, int]:
        """Return the version of GlobalShortcuts, and that of the registry of programs, 0 without it.

        Raises `NotReadyError` without GlobalShortcuts, and `StoppedError`.
        """
        version = self._version(_INTERFACE)
        try:
            return version, self._version(_REGISTRY)
        except _RefusedError:
            return version, 0

    def next_event(self) -> ShortcutEvent:
        """Wait for the next event. Raises `NotReadyError` when the bus has ended, and `StoppedError`."""
        while not self._events:
            self._receive(None)
        return self._events.pop(0)

    def interrupt(self) -> None:
        """Let each wait of the other thread raise `StoppedError`, from now on."""
        with suppress(OSError):
            self._wake.send(b"!")

    def close(self) -> None:
        """End the session and disconnect; may be called twice."""
        if self._session:
            self._end(self._session, SESSION)
        self._session = ""
        for end in (self._bus, self._wake, self._woken):
            with suppress(Exception):
                end.close()

    # Calls

    def _register(self) -> None:
        """Say which program this is, to portals from 1.20 on: before any other call, which would settle that too."""
        call = new_method_call(DBusAddress(PATH, SERVICE, _REGISTRY), "Register", "sa{sv}", (APP_ID, {}))
        try:
            self._call(call)
        except _RefusedError as error:
            if error.is_absent:
                raise
            # The keys may be given all the same.
            self.is_unknown = not error.is_missing

    def _version(self, interface: str) -> int:
        return int(self._call(Properties(DBusAddress(PATH, SERVICE, interface)).get("version"))[0][1])

    def _call(self, message: Any) -> Any:
        """Return the body of the answer. Raises `NotReadyError`, also after the limit, and `StoppedError`."""
        serial = next(self._bus.outgoing_serial)
        until_s = time.monotonic() + ANSWER_LIMIT_S
        try:
            self._bus.send(message, serial=serial)
        except (OSError, RuntimeError) as error:
            raise NotReadyError("the session bus has ended") from error
        while (answer := self._receive(until_s)) is not None:
            fields = answer.header.fields
            if fields.get(HeaderFields.reply_serial) == serial:
                if answer.header.message_type is MessageType.error:
                    words = answer.body[0] if answer.body and isinstance(answer.body[0], str) else ""
                    raise _RefusedError(str(fields.get(HeaderFields.error_name, "")), words)
                return answer.body
        raise NotReadyError(_SILENT)

    def _request(
        self,
        method: str,
        signature: str,
        body: tuple[Any, ...],
        options: Mapping[str, tuple[str, Any]],
        waiting: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """Call a method that answers by a signal, and return its results; with `waiting`, after a dialog."""
        token = new_token()
        # Known before the call: the answer may come before its reply.
        self._request_path = request_path(self._bus.unique_name, token)
        self._answers.clear()
        where = DBusAddress(PATH, SERVICE, _INTERFACE)
        begun_s = time.monotonic()
        try:
            self._call(new_method_call(where, method, signature, (*body, {**options, "handle_token": ("s", token)})))
            if waiting is not None and not self._await_answer(begun_s + DIALOG_AFTER_S):
                waiting()
            if not self._await_answer(begun_s + (ANSWER_LIMIT_S if waiting is None else DIALOG_LIMIT_S)):
                raise NotReadyError(_SILENT)
        except BaseException:
            # Takes the dialog away.
            self._end(self._request_path, REQUEST)
            raise
        code, results = self._answers[0]
        if code == CANCELLED:
            raise CancelledError("the desktop's dialog about keys was cancelled")
        if code != GIVEN:
            raise NotReadyError(f"the portal ended {method} without an answer")
        return {name: value for name, (_, value) in results.items()}

    def _await_answer(self, until_s: float) -> bool:
        """Wait for the answer to the request; return False after `until_s`. Raises as `_call` does."""
        while not self._answers:
            if lost := next((event.lost for event in self._events if event.lost), ""):
                raise NotReadyError(lost)
            if self._receive(until_s) is None:
                return False
        return True

    def _end(self, path: str, interface: str) -> None:
        """End a request or a session, if there is still a portal that knows it."""
        message = new_method_call(DBusAddress(path, SERVICE, interface), "Close")
        message.header.flags = MessageFlag.no_reply_expected | MessageFlag.no_auto_start
        with suppress(Exception):
            self._bus.send(message)

    # Messages

    def _receive(self, until_s: float | None) -> Any:
        """Handle the next message and return it; None after `until_s`. Raises `NotReadyError`, `StoppedError`."""
        while True:
            try:
                message = self._bus.receive(timeout=0)
            except TimeoutError:
                pass
            except (OSError, RuntimeError, ValueError) as error:
                raise NotReadyError("the session bus has ended") from error
            else:
                self._handle(message)
                return message
            left_s = None if until_s is None else until_s - time.monotonic()
            if left_s is not None and left_s <= 0.0:
                return None
            readable, _, _ = select.select([self._bus.sock, self._woken], [], [], left_s)
            if self._woken in readable:
                raise StoppedError

    def _handle(self, message: Any) -> None:
        if message.header.message_type is not MessageType.signal:
            return
        fields = message.header.fields
        path, member = fields.get(HeaderFields.path), fields.get(HeaderFields.member)
        if member == "Response" and path == self._request_path:
            self._answers.append(message.body)
        elif member in ("Activated", "Deactivated") and message.body[0] == self._session:
            self._events.append(ShortcutEvent(message.body[1], member == "Activated"))
        elif member == "ShortcutsChanged" and message.body[0] == self._session:
            self._events.append(ShortcutEvent(changed=_keys_of(message.body[1])))
        elif member == "Closed" and path == self._session:
            self._events.append(ShortcutEvent(lost="the desktop has taken the keys away"))
            self._session = ""
        elif member == "NameOwnerChanged" and message.body[0] == SERVICE:
            if message.body[2]:
                self._events.append(ShortcutEvent(is_back=True))
            else:
                self._session = ""
                self._events.append(ShortcutEvent(lost="the portal has ended"))


def _options(shortcut: Shortcut) -> dict[str, tuple[str, str]]:
    about = {"description": ("s", shortcut.description)}
    return {**about, "preferred_trigger": ("s", shortcut.trigger)} if shortcut.trigger else about


def _keys_of(shortcuts: Sequence[tuple[str, Mapping[str, tuple[str, Any]]]]) -> dict[str, str]:
    """Return the desktop's words for the keys of shortcuts, by their ids."""
    return {name: str(about.get("trigger_description", ("s", ""))[1]) for name, about in shortcuts}
