"""Buses of D-Bus without services, and services that tests put on them."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jeepney import DBusAddress, HeaderFields, MessageType, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection

__all__ = ["Service", "bus"]


@contextmanager
def bus(folder: Path) -> Iterator[str]:
    """Run a bus whose socket is in `folder`; yield its address."""
    daemon = subprocess.Popen(
        ["dbus-daemon", "--session", "--nofork", "--print-address=1", f"--address=unix:dir={folder}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert daemon.stdout is not None
    with daemon.stdout:
        try:
            yield daemon.stdout.readline().strip()
        finally:
            daemon.terminate()
            daemon.wait()


class Service:
    """A service called `name` on the bus at `address`. Subclasses define `answer`, which a thread of its own calls."""

    def __init__(self, address: str, name: str) -> None:
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._connection: DBusConnection = open_dbus_connection(address)
        Proxy(message_bus, self._connection).RequestName(name)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def answer(self, member: str, message: Any) -> Any:
        """Return the answer to a call of the method `member`."""
        raise NotImplementedError

    def emit(self, path: str, interface: str, member: str, signature: str, *body: Any) -> None:
        """Send a signal. Any thread may call this."""
        with self._lock:
            emitter = DBusAddress(path, interface=interface)
            self._connection.send(new_signal(emitter, member, signature, body))

    def close(self) -> None:
        self._ended.set()
        self._thread.join()
        self._connection.close()

    def _serve(self) -> None:
        while not self._ended.is_set():
            with suppress(TimeoutError):
                message = self._connection.receive(timeout=0.02)
                if message.header.message_type is MessageType.method_call:
                    answer = self.answer(message.header.fields[HeaderFields.member], message)
                    with self._lock:
                        self._connection.send(answer)
