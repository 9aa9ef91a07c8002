"""A raw connection to the control socket of a recorder."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from running import LIMIT_S

from capture import unix_socket
from capture.remote.protocol import as_line
from capture.remote.runtime_folder import RuntimeFolder


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

    def say(self, *requests: bytes | dict[str, Any]) -> None:
        self.socket.sendall(
            b"".join(request if isinstance(request, bytes) else as_line(request) for request in requests)
        )

    def end(self) -> None:
        """Close the sending side; answers can still be read."""
        self.socket.shutdown(socket.SHUT_WR)

    def hears(self) -> dict[str, Any] | None:
        """Return the next answer, or None if the recorder closes the connection."""
        try:
            line = self._received.readline()
        except ConnectionError:
            return None
        return json.loads(line) if line else None


def refusal(answer: dict[str, Any] | None) -> str:
    assert answer is not None
    assert answer["ok"] is False
    return str(answer["error"])
