"""A private X server: Xvfb, reached over a Unix socket with a cookie that only its owner can read.

Xvfb can choose a free display by itself (``-displayfd``), but then it takes no lock and can displace a server that is
running. Here it gets a number and takes the lock that all X servers honour. Numbers in use are skipped.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final

from capture.errors import NotReadyError
from capture.unix_socket import ANSWER_LIMIT_S, connect, listens
from capture.virtual.server import server_error, start_server, write_private
from capture.virtual.supervised_process import SupervisedProcess

__all__ = ["XServer"]

#: Desktop sessions count up from 0, ssh sessions from 10.
FIRST_NUMBER: Final = 99
LAST_NUMBER: Final = 999

#: Parts of the messages with which Xvfb refuses a number: another server uses it, or another user's server left its
#: files behind.
NUMBER_IN_USE_MESSAGES: Final = ("already active", "lock file", "listening sockets")

COOKIE_NAME: Final = b"MIT-MAGIC-COOKIE-1"
FAMILY_LOCAL: Final = 256
FAMILY_WILD: Final = 65535


class XServer:
    """An Xvfb server with one screen. One thread calls `open` and `close`."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self.display = ""
        self.authority = folder / "xauthority"
        self._log = folder / "xvfb.log"
        self._screen = f"{width}x{height}x24"
        self._cookie = secrets.token_bytes(16)
        self._program: SupervisedProcess | None = None

    def open(self, environment: Mapping[str, str], deadline_s: float) -> None:
        """Start the server on a free display and return once it answers.

        Raises `NotReadyError` when it is not installed, when it fails, or when `deadline_s` (monotonic) passes.
        """
        write_private(self.authority, _authority(self._cookie))
        for number in range(FIRST_NUMBER, LAST_NUMBER + 1):
            if _is_taken(number):
                continue
            self._program = self._start(number, environment)
            if self._program.await_answer(partial(_admits, number, self._cookie), deadline_s):
                self.display = f":{number}"
                return
            self.close()
            said = self._log.read_text("utf-8", "replace")
            if not any(words in said for words in NUMBER_IN_USE_MESSAGES):
                raise server_error("Xvfb", self._log, deadline_s)
        raise NotReadyError(f"displays :{FIRST_NUMBER} to :{LAST_NUMBER} are all in use", "end some of those X servers")

    def close(self) -> None:
        """End the server; may be called twice."""
        if self._program is not None:
            self._program.end()

    def _start(self, number: int, environment: Mapping[str, str]) -> SupervisedProcess:
        argv = ["Xvfb", f":{number}", "-screen", "0", self._screen, "-auth", str(self.authority)]
        # The abstract socket stays on, with the same cookie: libraries try it first, and anyone could take a free name.
        argv += ["-nolisten", "tcp"]
        argv += ["-noreset"]  # without it the server resets, losing all state, when its last client disconnects
        argv += ["-s", "0"]  # without it the screen saver blanks the picture after ten minutes
        return start_server(argv, environment, self._log, "xvfb")


def _socket_of(number: int) -> str:
    return f"/tmp/.X11-unix/X{number}"  # noqa: S108  the path is X11's convention


def _is_taken(number: int) -> bool:
    """Whether a server listens at this number. A crashed server's files do not count: Xvfb replaces them."""
    return listens(_socket_of(number)) or listens("\0" + _socket_of(number))


def _admits(number: int, cookie: bytes) -> bool:
    """Whether the server at this number accepts `cookie`, which no other server does."""
    hello = struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(COOKIE_NAME), len(cookie))
    try:
        with connect(_socket_of(number), time.monotonic() + ANSWER_LIMIT_S) as client:
            client.settimeout(ANSWER_LIMIT_S)
            client.sendall(hello + COOKIE_NAME + bytes(-len(COOKIE_NAME) % 4) + cookie)
            return client.recv(1) == b"\x01"
    except OSError:
        return False


def _authority(cookie: bytes) -> bytes:
    """Return an Xauthority file for any display of this host, with a wildcard entry for libraries that support it."""

    def counted(value: bytes) -> bytes:
        return struct.pack(">H", len(value)) + value

    entries = ((FAMILY_LOCAL, socket.gethostname().encode()), (FAMILY_WILD, b""))
    return b"".join(
        struct.pack(">H", family) + counted(address) + counted(b"") + counted(COOKIE_NAME) + counted(cookie)
        for family, address in entries
    )
