"""Unix sockets: connecting to a server of this machine, or finding out whether there is one."""

from __future__ import annotations

import socket
import sys
from typing import Final

__all__ = ["connect", "listens"]

#: A server that takes longer to accept does so because it is stopped, or starting on a very slow machine.
ANSWER_LIMIT_S: Final = 1.0


def connect(address: str) -> socket.socket:
    """A connection to the server at `address`, a path or an abstract name that begins with NUL; `OSError` without."""
    if sys.platform == "win32":
        raise OSError("there are no Unix sockets on Windows")
    client = socket.socket(socket.AF_UNIX)
    try:
        client.settimeout(ANSWER_LIMIT_S)
        client.connect(address)
    except BaseException:
        client.close()
        raise
    return client


def listens(address: str) -> bool:
    """Whether a server takes connections at `address`, whatever it makes of them afterwards."""
    try:
        connect(address).close()
    except OSError:
        return False
    return True
