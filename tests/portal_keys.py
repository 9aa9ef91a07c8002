"""A Wayland desktop without a compositor that gives keys: the real portal, and a backend whose keys the test presses.

`PortalDouble` stands for portals of other versions, and for broken ones.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from buses import Service, bus
from conftest import PROJECT
from jeepney import DBusAddress, HeaderFields, new_error, new_method_return, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection
from running import eventually

__all__ = ["KeyBackend", "KeyDesk", "PortalDouble", "key_desk", "start_portal", "wayland_environment"]

PORTAL: Final = "/usr/libexec/xdg-desktop-portal"
_PORTAL_NAME: Final = "org.freedesktop.portal.Desktop"
_PATH: Final = "/org/freedesktop/portal/desktop"
_NAME: Final = "org.freedesktop.impl.portal.desktop.keys"
_IMPLEMENTATION: Final = "org.freedesktop.impl.portal.GlobalShortcuts"
_INTERFACE: Final = "org.freedesktop.portal.GlobalShortcuts"
_REGISTRY: Final = "org.freedesktop.host.portal.Registry"


class _Keys(Service):
    """What the desktop does with keys, in a backend and in a double of the portal."""

    def __init__(self, address: str, name: str) -> None:
        #: What was asked for, each time: the options of each shortcut by its id.
        self.asked: list[dict[str, dict[str, Any]]] = []
        #: The answer to such a request: 0 gives the keys, 1 is a cancelled dialog, 2 a failure; None is no answer.
        self.code: int | None = 0
        #: Words for the keys of some shortcuts, in place of those that were asked for.
        self.words: dict[str, str] = {}
        self.sessions: list[str] = []
        super().__init__(address, name)

    def press(self, shortcut: str) -> None:
        self._signal("Activated", shortcut)

    def release(self, shortcut: str) -> None:
        self._signal("Deactivated", shortcut)

    def _signal(self, member: str, shortcut: str) -> None:
        body: tuple[Any, ...] = (self.sessions[-1], shortcut, int(time.monotonic() * 1000), {})
        self.emit(_PATH, self.interface, member, "osta{sv}", *body)

    def change(self, **words: str) -> None:
        """Give shortcuts other keys, as the user does in the desktop's settings."""
        found = [(name, {"trigger_description": ("s", key)}) for name, key in words.items()]
        self.emit(_PATH, self.interface, "ShortcutsChanged", "oa(sa{sv})", self.sessions[-1], found)

    def given(self, shortcuts: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        wanted = {name: {key: value for key, (_, value) in about.items()} for name, about in shortcuts}
        self.asked.append(wanted)
        found = [
            (
                name,
                {
                    "description": ("s", about["description"]),
                    "trigger_description": ("s", self.words.get(name, about.get("preferred_trigger", ""))),
                },
            )
            for name, about in wanted.items()
        ]
        return {"shortcuts": ("a(sa{sv})", found)}

    @property
    def interface(self) -> str:
        raise NotImplementedError


class KeyBackend(_Keys):
    """The desktop's part of the portal, for keys."""

    interface = _IMPLEMENTATION

    def __init__(self, address: str) -> None:
        super().__init__(address, _NAME)

    def answer(self, member: str, message: Any) -> Any:
        body = message.body
        match member:
            case "GetAll":
                found = {"version": ("u", 1)} if body[0] == _IMPLEMENTATION else {}
                return new_method_return(message, "a{sv}", (found,))
            case "CreateSession":
                self.sessions.append(body[1])
                return new_method_return(message, "ua{sv}", (0, {}))
            case "BindShortcuts":
                if self.code is None:
                    # The real portal waits on.
                    self.given(body[2])
                    return new_signal(DBusAddress(_PATH, interface=_IMPLEMENTATION), "Nothing")
                return new_method_return(message, "ua{sv}", (self.code, self.given(body[2])))
            case "Close":
                where = message.header.fields[HeaderFields.path]
                self.sessions = [session for session in self.sessions if session != where]
                return new_method_return(message)
        return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod")


class PortalDouble(_Keys):
    """A portal that knows programs (as from 1.20 on) and gives keys itself; attributes say what it lacks."""

    interface = _INTERFACE

    def __init__(self, address: str, *, has_keys: bool = True) -> None:
        self.has_keys = has_keys
        #: The programs that it knows; others get no keys.
        self.known: list[str] = []
        #: The methods that were called, in their order, and the programs that registered.
        self.called: list[str] = []
        self.registered: list[str] = []
        super().__init__(address, _PORTAL_NAME)

    def answer(self, member: str, message: Any) -> Any:
        body, fields = message.body, message.header.fields
        self.called.append(member)
        match member:
            case "Register" if body[0] in self.known:
                self.registered.append(body[0])
                return new_method_return(message)
            case "Register":
                words = f"Could not register app ID: App info not found for '{body[0]}'"
                return new_error(message, "org.freedesktop.portal.Error.Failed", "s", (words,))
            case "Get" if body[0] == _REGISTRY or self.has_keys:
                return new_method_return(message, "v", (("u", 2),))
            case "CreateSession" if self.has_keys:
                if not self.registered:
                    words = "An app id is required"
                    return new_error(message, "org.freedesktop.portal.Error.NotAllowed", "s", (words,))
                self.sessions.append(f"{_PATH}/session/{body[0]['session_handle_token'][1]}")
                return self._respond(message, body[0], 0, {"session_handle": ("s", self.sessions[-1])})
            case "BindShortcuts" if self.has_keys:
                given = self.given(body[1])
                if self.code is None:
                    return new_method_return(message, "o", (self._request(message, body[3]),))
                return self._respond(message, body[3], self.code, given)
            case "Close":
                return new_method_return(message)
        return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod", "s", (str(fields),))

    def end_session(self) -> None:
        self.emit(self.sessions[-1], "org.freedesktop.portal.Session", "Closed", "a{sv}", {})

    def _request(self, message: Any, options: dict[str, Any]) -> str:
        sender = message.header.fields[HeaderFields.sender][1:].replace(".", "_")
        return f"{_PATH}/request/{sender}/{options['handle_token'][1]}"

    def _respond(self, message: Any, options: dict[str, Any], code: int, results: dict[str, Any]) -> Any:
        path = self._request(message, options)
        # Before the reply, as a fast portal does.
        self.emit(path, "org.freedesktop.portal.Request", "Response", "ua{sv}", code, results)
        return new_method_return(message, "o", (path,))


@dataclass
class KeyDesk:
    """The desktop; `environment` is that of its programs."""

    environment: dict[str, str]
    backend: KeyBackend
    _portal: subprocess.Popen[bytes]

    def signal_portal(self, number: int) -> None:
        self._portal.send_signal(number)

    def kill_portal(self) -> None:
        self._portal.kill()
        self._portal.wait()

    def start_portal(self) -> None:
        self._portal = start_portal(self.environment)

    def close(self) -> None:
        self.kill_portal()


def wayland_environment(folder: Path, address: str) -> dict[str, str]:
    """The environment of programs on a Wayland desktop in `folder` whose session bus is at `address`."""
    kept = ("PATH", "TMPDIR", "LANG", "VIRTUAL_ENV")
    home = folder / "home"
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **{f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CACHE", "CONFIG", "DATA", "STATE")},
        "DBUS_SESSION_BUS_ADDRESS": address,
        "HOME": str(home),
        "PYTHONPATH": str(PROJECT),
        "WAYLAND_DISPLAY": "desk",
        "XDG_CURRENT_DESKTOP": "desk",
        "XDG_DESKTOP_PORTAL_DIR": str(folder / "portals"),
        "XDG_RUNTIME_DIR": str(folder),
        "XDG_SESSION_TYPE": "wayland",
    }


@contextmanager
def key_desk(folder: Path) -> Iterator[KeyDesk]:
    """Run the desktop in `folder`, an empty one of the user's alone with a short path."""
    folder.chmod(0o700)
    for made in ("portals", "home"):
        (folder / made).mkdir()
    (folder / "portals" / "desk.portal").write_text(
        f"[portal]\nDBusName={_NAME}\nInterfaces={_IMPLEMENTATION};\nUseIn=desk\n"
    )
    with bus(folder) as address:
        environment = wayland_environment(folder, address)
        backend = KeyBackend(address)
        try:
            desk = KeyDesk(environment, backend, start_portal(environment))
            try:
                yield desk
            finally:
                desk.close()
        finally:
            backend.close()


def start_portal(environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    portal = subprocess.Popen([PORTAL], env=dict(environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = environment["DBUS_SESSION_BUS_ADDRESS"]
    eventually(lambda: _has_owner(address, _PORTAL_NAME), "the portal")
    return portal


def _has_owner(address: str, name: str) -> bool:
    with open_dbus_connection(address) as connection:
        return bool(Proxy(message_bus, connection).NameHasOwner(name)[0])
