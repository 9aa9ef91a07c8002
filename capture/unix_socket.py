"""Unix sockets: listening, connecting, and which user is at the other end.

Windows would use named pipes instead; everything that would differ is here and in `remote/runtime_folder.py`.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from typing import Final

__all__ = ["ANSWER_LIMIT_S", "connect", "is_trusted", "listen", "listens", "peer_uid"]

#: Those who come while as many as are served at a time are being served.
_QUEUED: Final = 128

_PRIVATE: Final = 0o600

#: A server that takes longer to accept has been stopped, or is starting on a very slow machine.
ANSWER_LIMIT_S: Final = 1.0

#: Between two attempts to join a queue that is full.
_RETRY_S: Final = 0.005

# From sys/un.h and sys/ucred.h of macOS; Python has no names for them.
_SOL_LOCAL: Final = 0
_LOCAL_PEERCRED: Final = 1
_XUCRED_BYTES: Final = 76


def listen(address: str) -> socket.socket:
    """A socket at the path `address`, which must be free, that takes connections from this user; it never blocks."""
    if sys.platform == "win32":
        raise OSError("there are no Unix sockets on Windows")
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.setblocking(False)
        listener.bind(address)
        # Before it listens nobody can connect.
        os.chmod(address, _PRIVATE)  # noqa: PTH101 - an address is no Path here
        listener.listen(_QUEUED)
    except BaseException:
        listener.close()
        raise
    return listener


def connect(address: str, gives_up_at_s: float) -> socket.socket:
    """A connection that never blocks to the server at `address`, a path or an abstract name that begins with NUL.

    Raises `OSError` when nothing listens there, `TimeoutError` when the queue stays full until `gives_up_at_s`
    (monotonic), and `PermissionError` when another user's program listens.
    """
    if sys.platform == "win32":
        raise OSError("there are no Unix sockets on Windows")
    client = socket.socket(socket.AF_UNIX)
    try:
        # A full queue is told at once then, on Linux; elsewhere as nobody there.
        client.setblocking(False)
        while True:
            try:
                client.connect(address)
                break
            except BlockingIOError:
                if time.monotonic() >= gives_up_at_s:
                    raise TimeoutError from None
                time.sleep(_RETRY_S)
        if not is_trusted(client):
            raise PermissionError("another user's program answers")
    except BaseException:
        client.close()
        raise
    return client


def listens(address: str) -> bool:
    """Whether any user's server accepts connections at `address`, whatever it makes of them afterwards."""
    try:
        connect(address, time.monotonic() + ANSWER_LIMIT_S).close()
    except PermissionError:
        # Another user's, or one that this user may not connect to: it is in use all the same.
        return True
    except OSError:
        return False
    return True


def is_trusted(connection: socket.socket) -> bool:
    """Whether the other end is a program of this user or of root."""
    if sys.platform == "win32":
        return False
    return peer_uid(connection) in (os.geteuid(), 0)


def peer_uid(connection: socket.socket) -> int | None:
    """The user who connected, or who listens; None where the system does not tell."""
    if sys.platform == "win32":
        return None
    try:
        if sys.platform == "darwin":
            found = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES)
            version, uid = struct.unpack_from("=II", found)
            return int(uid) if version == 0 else None
        found = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("=iII"))
        _, uid, _ = struct.unpack("=iII", found)
        return int(uid)
    except (OSError, struct.error):
        return None
