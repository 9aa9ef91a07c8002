"""A Wayland desktop without a compositor: the real portal and PipeWire, a backend that asks nobody, and pictures."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from buses import Service, bus
from conftest import PROJECT
from jeepney import (
    DBusAddress,
    HeaderFields,
    MatchRule,
    MessageType,
    new_error,
    new_method_call,
    new_method_return,
    new_signal,
)
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import Proxy, open_dbus_connection
from running import eventually

from capture.virtual.pipewire import PipeWire

__all__ = ["Backend", "Mutter", "PortalDesk", "Producer", "portal_desk", "producer"]

_PORTAL: Final = "/usr/libexec/xdg-desktop-portal"
_IMPLEMENTATION: Final = "org.freedesktop.impl.portal.ScreenCast"
_NAME: Final = "org.freedesktop.impl.portal.desktop.desk"
_STORE: Final = "org.freedesktop.impl.portal.PermissionStore"
_START_LIMIT_S: Final = 30.0


class Backend(Service):
    """The desktop's part of the portal. It gives `node`, or asks: then `answer_dialog` must be called."""

    def __init__(self, address: str) -> None:
        self.node = 0
        #: The `restore_data` that are still valid, and what it was asked for, each time.
        self.remembered: set[str] = set()
        self.asked: list[dict[str, Any]] = []
        #: Whether a dialog is shown; what it answers.
        self.shows_dialog = False
        self.cursor_modes = 7
        self.refuses = False
        self._selected: dict[str, dict[str, Any]] = {}
        self._sessions: list[str] = []
        self._closed: list[str] = []
        self._waiting: list[Any] = []
        self._given = 0
        super().__init__(address, _NAME)

    @property
    def dialogs(self) -> int:
        """How many dialogs are shown."""
        return len(self._waiting)

    @property
    def closed(self) -> int:
        """How many sessions were closed by the recorder."""
        return len(self._closed)

    def answer_dialog(self) -> None:
        while self._waiting:
            self._connection.send(self._start(self._waiting.pop(0)))

    def end(self) -> None:
        """End all sessions, as a user does who stops sharing."""
        while self._sessions:
            where = DBusAddress(self._sessions.pop(), interface="org.freedesktop.impl.portal.Session")
            self._connection.send(new_signal(where, "Closed"))

    def _serve(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                message = self._connection.receive(timeout=0.02)
                if message.header.message_type is MessageType.method_call:
                    answer = self.answer(message.header.fields[HeaderFields.member], message)
                    if answer is not None:
                        self._connection.send(answer)

    def answer(self, member: str, message: Any) -> Any:
        body = message.body
        path = message.header.fields[HeaderFields.path]
        match member:
            case "GetAll":
                return new_method_return(message, "a{sv}", (self._properties() if body[0] == _IMPLEMENTATION else {},))
            case "Get":
                return new_method_return(message, "v", (self._properties()[body[1]],))
            case "CreateSession":
                self._sessions.append(body[1])
                return new_method_return(message, "ua{sv}", (0, {}))
            case "SelectSources":
                self._selected[body[1]] = {name: value for name, (_, value) in body[3].items()}
                self.asked.append(self._selected[body[1]])
                return new_method_return(message, "ua{sv}", (0, {}))
            case "Start":
                data = self._selected[body[1]].get("restore_data")
                known = data is not None and data[2][1] in self.remembered
                if self.shows_dialog and not known:
                    self._waiting.append(message)
                    return None
                return self._start(message)
            case "Close":
                if path in self._sessions:
                    self._sessions.remove(path)
                    self._closed.append(path)
                self._waiting = [waiting for waiting in self._waiting if waiting.body[0] != path]
                return new_method_return(message)
        return new_error(message, "org.freedesktop.DBus.Error.UnknownMethod")

    def _properties(self) -> dict[str, Any]:
        return {
            "AvailableSourceTypes": ("u", 3),
            "AvailableCursorModes": ("u", self.cursor_modes),
            "version": ("u", 5),
        }

    def _start(self, message: Any) -> Any:
        if self.refuses:
            return new_method_return(message, "ua{sv}", (1, {}))
        results: dict[str, Any] = {
            "streams": ("a(ua{sv})", [(self.node, {"size": ("(ii)", (640, 360)), "source_type": ("u", 1)})])
        }
        mode = self._selected[message.body[1]].get("persist_mode", 0)
        if mode:
            self._given += 1
            data = f"given {self._given}"
            self.remembered.add(data)
            results |= {"persist_mode": ("u", mode), "restore_data": ("(suv)", ("DESK", 1, ("s", data)))}
        return new_method_return(message, "ua{sv}", (0, results))


class Producer:
    """A running `portal_producer.py`: `tell` it what to draw; `drawn_s` says when each picture was shown."""

    def __init__(self, environment: Mapping[str, str], *options: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(PROJECT / "tests" / "portal_producer.py"), *options],
            env={**environment, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.node = 0
        self.drawn_s: dict[int, float] = {}
        self._commanded: list[int] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        eventually(lambda: self.node or self._process.poll() is not None, "the producer")
        assert self.node, "the producer failed"

    def tell(self, *words: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()

    def draw(self) -> int:
        """Draw the next picture; return its number once it is out.

        Other pictures may come meanwhile, such as the first one of a stream, which the recorder may also see before
        this process has read its number.
        """
        before = len(self._commanded)
        self.tell("draw")
        eventually(lambda: len(self._commanded) > before, "a picture")
        return self._commanded[-1]

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            first, second, *how = line.split()
            if first == "node":
                self.node = int(second)
                continue
            self.drawn_s[int(first)] = int(second) / 1e9
            if how:
                self._commanded.append(int(first))


@dataclass
class PortalDesk:
    """The desktop; `environment` is that of its programs."""

    environment: dict[str, str]
    backend: Backend
    _portal: subprocess.Popen[bytes]
    _pipewire: PipeWire = field(repr=False)

    def signal_portal(self, number: int) -> None:
        self._portal.send_signal(number)

    def kill_portal(self) -> None:
        self._portal.kill()
        self._portal.wait()

    def kill_pipewire(self) -> None:
        self._pipewire.close()


@contextmanager
def producer(desk: PortalDesk, *options: str) -> Iterator[Producer]:
    """Run a producer; the portal gives its pictures."""
    made = Producer(desk.environment, *options)
    try:
        desk.backend.node = made.node
        yield made
    finally:
        made.close()


def _has_owner(address: str, name: str) -> bool:
    with open_dbus_connection(address) as connection:
        return bool(Proxy(message_bus, connection).NameHasOwner(name)[0])


@contextmanager
def portal_desk(folder: Path) -> Iterator[PortalDesk]:
    """Run the desktop in `folder`, an empty one of the user's alone with a short path."""
    folder.chmod(0o700)
    portals, home = folder / "portals", folder / "home"
    for made in (portals, home):
        made.mkdir()
    (portals / "desk.portal").write_text(f"[portal]\nDBusName={_NAME}\nInterfaces={_IMPLEMENTATION};\nUseIn=desk\n")
    (portals / "desk-portals.conf").write_text("[preferred]\ndefault=desk\n")
    kept = ("PATH", "TMPDIR", "LANG", "VIRTUAL_ENV")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {
        **{f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CACHE", "CONFIG", "DATA", "STATE")},
        "HOME": str(home),
        "PULSE_SERVER": f"unix:{folder}/pulse",
        "PYTHONPATH": str(PROJECT),
        "WAYLAND_DISPLAY": "desk",
        "XDG_CURRENT_DESKTOP": "desk",
        "XDG_DESKTOP_PORTAL_DIR": str(portals),
        "XDG_RUNTIME_DIR": str(folder),
        "XDG_SESSION_TYPE": "wayland",
    }
    # It keeps the permissions that are given for good.
    with bus(folder, {_STORE: "/usr/libexec/xdg-permission-store"}, environment) as address:
        environment["DBUS_SESSION_BUS_ADDRESS"] = address
        pipewire = PipeWire(folder, folder / "pulse", "speakers", "Speakers")
        deadline_s = time.monotonic() + _START_LIMIT_S
        backend = Backend(address)
        try:
            pipewire.open(environment, deadline_s)
            portal = subprocess.Popen([_PORTAL], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                pipewire.await_ready(deadline_s)
                eventually(lambda: _has_owner(address, "org.freedesktop.portal.Desktop"), "the portal")
                yield PortalDesk(environment, backend, portal, pipewire)
            finally:
                portal.kill()
                portal.wait()
        finally:
            backend.close()
            pipewire.close()


class Mutter:
    """GNOME's compositor without a screen or a graphics card; the portal gives its only monitor."""

    def __init__(self, desk: PortalDesk, size: str = "640x360") -> None:
        self.environment = {**desk.environment, "WAYLAND_DISPLAY": "mutter", "LIBGL_ALWAYS_SOFTWARE": "1"}
        argv = [
            "mutter",
            "--headless",
            "--wayland",
            "--no-x11",
            "--wayland-display",
            "mutter",
            "--virtual-monitor",
            size,
        ]
        self._process = subprocess.Popen(
            argv, env=self.environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._bus = open_dbus_connection(desk.environment["DBUS_SESSION_BUS_ADDRESS"])
        eventually(self._answers, "Mutter")

    def begin(self, cursor_mode: int = 2) -> int:
        """Begin to record the monitor, and return the node of its pictures."""
        (session,) = self._call("/org/gnome/Mutter/ScreenCast", "", "CreateSession", "a{sv}", ({},))
        options = {"cursor-mode": ("u", cursor_mode)}
        (stream,) = self._call(session, ".Session", "RecordMonitor", "sa{sv}", ("", options))
        rule = MatchRule(type="signal", member="PipeWireStreamAdded", path=stream)
        Proxy(message_bus, self._bus).AddMatch(rule)
        with self._bus.filter(rule) as found:
            self._call(session, ".Session", "Start", None, ())
            return int(self._bus.recv_until_filtered(found, timeout=30).body[0])

    def kill(self) -> None:
        self._process.kill()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._bus.close()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "Mutter ended"
        return bool(Proxy(message_bus, self._bus).NameHasOwner("org.gnome.Mutter.ScreenCast")[0])

    def _call(self, path: str, interface: str, method: str, signature: str | None, body: tuple[Any, ...]) -> Any:
        where = DBusAddress(path, "org.gnome.Mutter.ScreenCast", f"org.gnome.Mutter.ScreenCast{interface}")
        reply = self._bus.send_and_get_reply(new_method_call(where, method, signature, body), timeout=30)
        assert reply.header.message_type is MessageType.method_return, reply.body
        return reply.body
