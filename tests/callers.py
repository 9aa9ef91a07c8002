"""Clients of a recorder under test: the control client, and a raw connection to its socket."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from running import LIMIT_S, Recorder

from capture.remote import client
from capture.remote.protocol import as_line
from capture.remote.runtime_folder import RuntimeFolder
from capture.system import unix_socket


class Control:
    """A recorder and the client that controls it: the only one of its user, or the one called `name`."""

    def __init__(self, recorder: Recorder, name: str | None = None) -> None:
        self.folder = Path(recorder.environment["XDG_RUNTIME_DIR"], "capture")
        self.recorder = recorder
        self._name = name

    @property
    def status(self) -> dict[str, Any]:
        """Its answer to `status`; empty while it does not run."""
        running = client.running(self.folder)
        return next((found for found in running if self._name in (None, found["name"])), {})

    @property
    def state(self) -> str:
        return str(self.status.get("state", ""))

    def until(self, state: str, **least: float) -> None:
        """Wait until it is in `state` and the numbers of its status have reached these values."""

        def met() -> bool:
            status = self.status
            return status.get("state") == state and all(status[key] >= value for key, value in least.items())

        self.recorder.until(met, f"it is {state} with {least}")

    def ask(self, verb: str, text: str = "", **options: Any) -> dict[str, Any]:
        """Send a command and return the answer. Raises `CaptureError` when the recorder refuses."""
        return client.ask(verb, name=self._name, text=text, options=options, folder=self.folder)


class Caller:
    """A raw connection to the control socket of a recorder."""

    def __init__(self, folder: Path, name: str = "capture") -> None:
        with RuntimeFolder(folder) as opened:
            self.socket = unix_socket.connect(opened.address(name), time.monotonic() + LIMIT_S)
        self.socket.settimeout(LIMIT_S)
        self._received = self.socket.makefile("rb")

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *error: object) -> None:
        self._received.close()
        self.socket.close()

    def send(self, *requests: bytes | dict[str, Any]) -> None:
        """Send requests: bytes as they are, dictionaries as JSON."""
        self.socket.sendall(
            b"".join(request if isinstance(request, bytes) else as_line(request) for request in requests)
        )

    def finish_sending(self) -> None:
        """Close the sending side; answers can still be read."""
        self.socket.shutdown(socket.SHUT_WR)

    def receive(self) -> dict[str, Any] | None:
        """Return the next answer, or None if the recorder closes the connection."""
        try:
            line = self._received.readline()
        except ConnectionError:
            return None
        return json.loads(line) if line else None


def refusal(answer: dict[str, Any] | None) -> str:
    """Return the error message of an answer, which must be a refusal."""
    assert answer is not None
    assert answer["ok"] is False
    return str(answer["error"])
