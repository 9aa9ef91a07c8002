"""Unix sockets: listens, connects, and finds out which user is at the other end.

Windows would need named pipes. Only this module and `remote/runtime_folder.py` would differ there.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
import time
from typing import Final

__all__ = ["ANSWER_LIMIT_S", "connect", "hold_name", "is_trusted", "listen", "listens", "peer_uid"]

#: How many callers may wait while the server serves as many as it can.
_QUEUED: Final = 128

_PRIVATE: Final = 0o600

#: How long a server may take to accept. One that takes longer is suspended, or is starting on a very slow machine.
ANSWER_LIMIT_S: Final = 1.0

#: How long to wait before trying again to join a full queue.
_RETRY_S: Final = 0.005

# From sys/un.h and sys/ucred.h of macOS; Python does not define them.
_SOL_LOCAL: Final = 0
_LOCAL_PEERCRED: Final = 1
_XUCRED_BYTES: Final = 76


def listen(address: str) -> socket.socket:
    """Return a non-blocking socket that listens at the path `address` for connections from this user.

    Raises `OSError` when the path is taken or cannot be used.
    """
    if sys.platform == "win32":
        raise OSError("there are no Unix sockets on Windows")
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.setblocking(False)
        listener.bind(address)
        # Before `listen` no one can connect.
        os.chmod(address, _PRIVATE)  # noqa: PTH101 - an address is not a Path here
        listener.listen(_QUEUED)
    except BaseException:
        listener.close()
        raise
    return listener


def hold_name(address: str) -> socket.socket:
    """Return a socket that takes `address` and refuses all connections until it is closed.

    Raises `OSError` when the address is taken.
    """
    if sys.platform == "win32":
        raise OSError("there are no Unix sockets on Windows")
    holder = socket.socket(socket.AF_UNIX)
    try:
        holder.bind(address)
    except BaseException:
        holder.close()
        raise
    return holder


def connect(address: str, gives_up_at_s: float) -> socket.socket:
    """Return a non-blocking connection to the server at `address`: a path, or an abstract name that begins with NUL.

    Raises `OSError` when nothing listens there, `TimeoutError` when the queue stays full until `gives_up_at_s`
    (monotonic), `PermissionError` when another user's program listens.
    """
    if sys.platform == "win32":
        raise OSError("there are no Unix sockets on Windows")
    client = socket.socket(socket.AF_UNIX)
    try:
        # A full queue then raises `BlockingIOError` at once on Linux; elsewhere it looks as if nothing listens.
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
    """Whether any user's server accepts connections at `address`, even if it then refuses to talk."""
    try:
        connect(address, time.monotonic() + ANSWER_LIMIT_S).close()
    except PermissionError:
        # Another user's server, or one this user may not connect to: the address is in use either way.
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
    """Return the id of the user at the other end; None when the system does not report it."""
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
