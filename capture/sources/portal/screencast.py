"""Asks the desktop's portal for the screen: org.freedesktop.portal.ScreenCast, over the session bus.

The portal shows the user a dialog, in which the screen or the window is chosen. Every call has a time limit; the dialog
has one that a person does not reach.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

from jeepney import DBusAddress, HeaderFields, MatchRule, MessageType, Properties, new_method_call
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, open_dbus_connection

from capture.errors import NotReadyError
from capture.system.packages import how_to_install
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
from capture.system.wayland_connection import NO_COMPOSITOR

__all__ = ["MONITOR", "WINDOW", "CursorMode", "Grant", "ScreenCast"]

_INTERFACE: Final = "org.freedesktop.portal.ScreenCast"

#: What the dialog offers (AvailableSourceTypes).
MONITOR: Final = 1
WINDOW: Final = 2

#: A remembered permission is given within some hundredths of a second. Whatever takes longer is a dialog.
_DIALOG_AFTER_S: Final = 0.4

#: How often `waiting` is called.
_WAITING_EVERY_S: Final = 0.2

#: Until revoked by the user (persist_mode).
_PERSISTENT: Final = 2

#: The first versions that remember a permission, and that offer modes of the cursor.
_REMEMBERS_FROM: Final = 4
_CURSORS_FROM: Final = 2

#: The part of the portal that a desktop needs, by a word of its name in XDG_CURRENT_DESKTOP.
_BACKENDS: Final = {
    "gnome": "xdg-desktop-portal-gnome",
    "kde": "xdg-desktop-portal-kde",
    "hyprland": "xdg-desktop-portal-hyprland",
}
_OTHER_BACKEND: Final = "xdg-desktop-portal-wlr"


class CursorMode:
    """How the cursor comes (AvailableCursorModes)."""

    HIDDEN: Final = 1
    EMBEDDED: Final = 2
    METADATA: Final = 4


class Grant(NamedTuple):
    """A permission: a descriptor of a connection to PipeWire, the node on it, and a token to get it again, or ""."""

    descriptor: int
    node: int
    token: str


class ScreenCast:
    """A connection to the portal, with at most one session. For one thread; as a `Watch`, for another after `ask`."""

    def __init__(self) -> None:
        """Connect. Raises `NotReadyError` if there is no portal, or none that gives the screen."""
        self._session = ""
        #: Whether the session was ended by the desktop or the user.
        self.has_closed = False
        address = bus_address(os.environ)
        try:
            if address is None:
                raise OSError(absence(os.environ))
            self._bus: DBusConnection = open_dbus_connection(address, enable_fds=True)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise NotReadyError(
                f"this is a Wayland session, and the portal that gives its screen cannot be reached ({error})",
                NO_COMPOSITOR,
            ) from error
        try:
            with _understood():
                self.version = self._property("version")
                self.source_types = self._property("AvailableSourceTypes")
                self.cursor_modes = self._property("AvailableCursorModes") if self.version >= _CURSORS_FROM else 0
        except BaseException:
            self._bus.close()
            raise

    def ask(self, *, source: int, cursor: int, remember: bool, token: str = "", waiting: Callable[[], None]) -> Grant:
        """Ask the user for a `source`, `MONITOR` or `WINDOW`, and return the permission.

        `waiting` is called several times a second while the dialog is shown; what it raises ends the dialog. Raises
        `NotReadyError` if the user refuses, or the portal fails.
        """
        with _understood():
            return self._ask(source, cursor, token if remember else None, waiting)

    def _ask(self, source: int, cursor: int, token: str | None, waiting: Callable[[], None]) -> Grant:
        options: dict[str, tuple[str, Any]] = {"types": ("u", source), "multiple": ("b", False)}
        if self.version >= _CURSORS_FROM:
            options["cursor_mode"] = ("u", cursor)
        if token is not None and self.version >= _REMEMBERS_FROM:
            options["persist_mode"] = ("u", _PERSISTENT)
            if token:
                options["restore_token"] = ("s", token)
        handle = {"session_handle_token": ("s", new_token())}
        self._session = str(self._request("CreateSession", "a{sv}", (), handle)["session_handle"])
        self._listen(MatchRule(type="signal", interface=SESSION, member="Closed", path=self._session))
        self._request("SelectSources", "oa{sv}", (self._session,), options)
        found = self._request("Start", "osa{sv}", (self._session, ""), {}, waiting)
        streams = found.get("streams") or []
        if not streams:
            raise NotReadyError("the desktop's dialog gave nothing to record", "choose a screen or a window in it")
        reply = self._call(_INTERFACE, "OpenPipeWireRemote", "oa{sv}", (self._session, {}))
        return Grant(reply[0].to_raw_fd(), int(streams[0][0]), str(found.get("restore_token") or ""))

    def fileno(self) -> int:
        return int(self._bus.sock.fileno())

    def attend(self) -> bool:
        """Handle the messages that have arrived; return False once the session is closed, or the bus gone."""
        try:
            while not self.has_closed:
                message = self._bus.receive(timeout=0)
                fields = message.header.fields
                if fields.get(HeaderFields.path) == self._session and fields.get(HeaderFields.member) == "Closed":
                    self.has_closed = True
            return False
        except TimeoutError:
            return True
        except (OSError, RuntimeError, ValueError):
            return False

    def close(self) -> None:
        """End the session and disconnect; may be called twice."""
        if self._session and not self.has_closed:
            with suppress(Exception):
                where = DBusAddress(self._session, SERVICE, SESSION)
                self._bus.send(new_method_call(where, "Close"))
        self._session = ""
        with suppress(Exception):
            self._bus.close()

    def _property(self, name: str) -> int:
        body = self._answer(Properties(DBusAddress(PATH, SERVICE, _INTERFACE)).get(name))
        return int(body[0][1])

    def _call(self, interface: str, method: str, signature: str, body: tuple[Any, ...], path: str = PATH) -> Any:
        return self._answer(new_method_call(DBusAddress(path, SERVICE, interface), method, signature, body))

    def _answer(self, message: Any) -> Any:
        try:
            reply = self._bus.send_and_get_reply(message, timeout=ANSWER_LIMIT_S)
        except TimeoutError as error:
            raise NotReadyError("the desktop's portal does not answer", _RESTART) from error
        except (OSError, RuntimeError, ValueError) as error:
            raise NotReadyError(f"the desktop's portal cannot be reached ({error})", _RESTART) from error
        if reply.header.message_type is MessageType.error:
            raise _refusal(str(reply.header.fields.get(HeaderFields.error_name, "")), reply.body)
        return reply.body

    def _listen(self, rule: MatchRule) -> None:
        self._answer(message_bus.AddMatch(rule))

    def _request(
        self,
        method: str,
        signature: str,
        body: tuple[Any, ...],
        options: Mapping[str, tuple[str, Any]],
        waiting: Callable[[], None] | None = None,
    ) -> dict[str, Any]:
        """Call a method that answers later, by a signal, and return the results; with `waiting`, after a dialog."""
        token = new_token()
        path = request_path(str(self._bus.unique_name), token)
        answered = MatchRule(type="signal", interface=REQUEST, member="Response", path=path)
        # Without the portal there will be no answer.
        gone = MatchRule(type="signal", interface="org.freedesktop.DBus", member="NameOwnerChanged")
        gone.add_arg_condition(0, SERVICE)
        # Before the call: the answer may come before its reply.
        for rule in (answered, gone):
            self._listen(rule)
        with self._bus.filter(answered) as answers, self._bus.filter(gone) as endings, self._ended(path, waiting):
            self._call(_INTERFACE, method, signature, (*body, {**options, "handle_token": ("s", token)}))
            begun_s = time.monotonic()
            limit_s = ANSWER_LIMIT_S if waiting is None else DIALOG_LIMIT_S
            while not answers:
                waited_s = time.monotonic() - begun_s
                if endings and not endings[-1].body[2]:
                    raise NotReadyError(_HAS_ENDED, _RESTART)
                if waited_s > limit_s:
                    raise NotReadyError(
                        "the desktop's portal does not answer" if waiting is None else "the dialog was not answered",
                        _RESTART if waiting is None else "choose in the desktop's dialog what may be recorded",
                    )
                if waiting is not None and waited_s > _DIALOG_AFTER_S:
                    waiting()
                with suppress(TimeoutError):
                    self._receive(_WAITING_EVERY_S)
            code, results = answers.popleft().body
        if code == CANCELLED:
            raise NotReadyError("recording was not allowed", "allow it in the desktop's dialog")
        if code != GIVEN:
            raise NotReadyError(
                f"the desktop's portal ended {method} without an answer",
                f"see whether {_backend()} runs, and journalctl --user",
            )
        return {name: value for name, (_, value) in results.items()}

    def _receive(self, timeout_s: float) -> None:
        try:
            self._bus.recv_messages(timeout=timeout_s)
        except TimeoutError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            raise NotReadyError(f"the desktop's portal cannot be reached ({error})", _RESTART) from error

    @contextmanager
    def _ended(self, path: str, waiting: Callable[[], None] | None) -> Iterator[None]:
        """Take the dialog away if the wait for it is given up."""
        try:
            yield
        except BaseException:
            if waiting is not None:
                with suppress(Exception):
                    self._bus.send(new_method_call(DBusAddress(path, SERVICE, REQUEST), "Close"))
            raise


@contextmanager
def _understood() -> Iterator[None]:
    """Turn what answers of other types or lengths than documented cause into a `NotReadyError`."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise NotReadyError("the portal's answers make no sense", _RESTART) from error


_HAS_ENDED: Final = "the desktop's portal has ended"
_RESTART: Final = "restart it with systemctl --user restart xdg-desktop-portal"
_RESTART_PIPEWIRE: Final = "restart it with systemctl --user restart pipewire wireplumber"


def _backend() -> str:
    """Return the part of the portal that this desktop needs."""
    desktop = os.environ.get("XDG_CURRENT_DESKTOP", "").lower()
    return next((backend for word, backend in _BACKENDS.items() if word in desktop), _OTHER_BACKEND)


def _refusal(name: str, body: Any) -> NotReadyError:
    kind = name.rpartition(".")[2]
    if is_absent(name):
        return NotReadyError(
            "this is a Wayland session, and no portal runs that gives its screen",
            f"{how_to_install('xdg-desktop-portal', _backend(), 'pipewire', 'wireplumber')}, and log in again",
        )
    if kind in ("NoReply", "Disconnected"):
        return NotReadyError(_HAS_ENDED, _RESTART)
    if kind in ("UnknownInterface", "UnknownMethod", "UnknownProperty", "InvalidArgs"):
        return NotReadyError(
            "the portal of this Wayland session does not give its screen",
            f"{how_to_install(_backend(), 'pipewire', 'wireplumber')}, and log in again",
        )
    words = body[0] if body and isinstance(body[0], str) else name
    remedy = _RESTART_PIPEWIRE if "PipeWire" in words else _RESTART
    return NotReadyError(f"the desktop's portal refuses to give the screen ({words})", remedy)
