"""Buses of D-Bus without services, and services that tests put on them."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from jeepney import DBusAddress, HeaderFields, MessageType, new_signal
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import DBusConnection, Proxy, open_dbus_connection

__all__ = ["Service", "bus"]


#: Without the folders of services that programs have installed: those would run outside the test's folder.
_CONFIGURATION: Final = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir={folder}</listen>
  <auth>EXTERNAL</auth>
  <servicedir>{services}</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


@contextmanager
def bus(
    folder: Path, services: Mapping[str, str] = MappingProxyType({}), environment: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run a bus whose socket is in `folder`; yield its address.

    It starts the `services`, names with their programs, when they are called, in `environment`.
    """
    installed = folder / "services"
    installed.mkdir()
    for name, program in services.items():
        (installed / f"{name}.service").write_text(f"[D-BUS Service]\nName={name}\nExec={program}\n")
    configuration = folder / "bus.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, services=installed))
    daemon = subprocess.Popen(
        ["dbus-daemon", f"--config-file={configuration}", "--nofork", "--print-address=1"],
        env=None if environment is None else dict(environment),
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
