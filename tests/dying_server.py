"""Runs one operation against a sound server that dies after a given number of bytes, at many points in turn.

Usage: python dying_server.py SOCKET FOLDER OPERATION CUTS

A proxy socket in FOLDER passes on what the server at SOCKET sends, up to a number of bytes. The first line of JSON on
standard output is the outcome without a cut; one line follows for each of CUTS cuts. The cuts lie close together at
first, during the handshake, and wider apart once sound flows. This is a separate program because the faults it looks
for may kill the process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from capture.errors import CaptureError

if sys.platform == "win32":
    raise OSError("there are no such sockets on Windows")

CHUNK_BYTES = 1 << 16


class Server:
    """A proxy between a client and the server; it passes on only `left_bytes` more bytes of the server."""

    def __init__(self, real: str, path: Path) -> None:
        self._real = real
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self.left_bytes = 0
        self.sent_bytes = 0
        self._threads[0].start()

    def close(self) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def live(self, for_bytes: int) -> None:
        self.left_bytes, self.sent_bytes = for_bytes, 0

    def _accept(self) -> None:
        while not self._ending.is_set():
            if select.select([self._listening], [], [], 0.05)[0]:
                client, _ = self._listening.accept()
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, contextlib.suppress(OSError):
            server.connect(self._real)
            while not self._ending.is_set() and self.left_bytes > 0:
                ready, _, _ = select.select([client, server], [], [], 0.05)
                for one, other in ((client, server), (server, client)):
                    if one in ready and not self._pass_on(one, other, counted=one is server):
                        return

    def _pass_on(self, one: socket.socket, other: socket.socket, *, counted: bool) -> bool:
        """Pass on one piece of data. Return False when the connection has ended."""
        data = one.recv(min(CHUNK_BYTES, self.left_bytes) if counted else CHUNK_BYTES)
        other.sendall(data)
        if counted:
            self.left_bytes -= len(data)
            self.sent_bytes += len(data)
        return bool(data)


def hear(name: str) -> Callable[[], str]:
    """Open a source, read a little of it, and close it."""

    def run() -> str:
        from capture.sources.pulse.application_source import ApplicationSource
        from capture.sources.pulse.device_source import PulseSource
        from capture.sources.pulse.reader import PulseReader

        source: PulseReader = PulseSource(name, "Device", 2)
        if name.startswith("app:"):
            source = ApplicationSource(name, name.removeprefix("app:"))
        try:
            source.open()
            samples = None
            until_s = time.monotonic() + 5.0
            while samples is None and time.monotonic() < until_s:
                samples = source.read(until_s)
        finally:
            source.close()
        return "heard" if samples is not None else "nothing"

    return run


def list_devices() -> str:
    from capture.sources.pulse.devices import list_pulse_applications, list_pulse_devices

    return f"{len(list_pulse_devices())} devices, {len(list_pulse_applications())} programs"


def diagnose() -> str:
    from capture.desktop.doctor import diagnose

    found = {check.name: check for check in diagnose().checks}
    return found["sound arrives"].found if "sound arrives" in found else found["sound server"].found


OPERATIONS: dict[str, Callable[[], str]] = {
    "devices": list_devices,
    "doctor": diagnose,
    "internal": hear("internal"),
    "mic": hear("mic"),
    "app": hear("app:one"),
}


def outcomes(operation: Callable[[], str], server: Server, cuts: int) -> Iterator[dict[str, Any]]:
    server.live(1 << 40)
    yield {"after_bytes": None, "outcome": operation()}
    whole = server.sent_bytes
    for number in range(cuts):
        server.live(after := round(whole * (number / cuts) ** 3))
        try:
            outcome = operation()
        except CaptureError as error:
            outcome = f"{type(error).__name__}: {error}"
        yield {"after_bytes": after, "outcome": outcome}


def main() -> None:
    real, folder, operation, cuts = sys.argv[1:]
    path = Path(folder) / "dying"
    server = Server(real, path)
    # Shared memory would bypass the proxy.
    config = Path(folder) / "client.conf"
    config.write_text("enable-shm = no\n")
    os.environ |= {"PULSE_SERVER": f"unix:{path}", "PULSE_CLIENTCONFIG": str(config)}
    try:
        for outcome in outcomes(OPERATIONS[operation], server, int(cuts)):
            print(json.dumps(outcome), flush=True)
    finally:
        server.close()


if __name__ == "__main__":
    main()
