"""A private X server: Xvfb, reached by a Unix socket and with a cookie that only its owner can read.

Xvfb can choose a free display by itself (``-displayfd``), but it takes no lock then, and can take the place of a server
that is running. Here it is given a number and takes the lock that all X servers honour; a number in use is passed over.
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
from capture.virtual.server import not_serving, start_server
from capture.virtual.supervised_process import SupervisedProcess

__all__ = ["XServer"]

#: Sessions of people and of ssh count up from 0 and 10.
FIRST_NUMBER: Final = 99
LAST_NUMBER: Final = 999

#: What Xvfb says of a number that another server, or what another user's server left behind, keeps from it.
OF_A_NUMBER_IN_USE: Final = ("already active", "lock file", "listening sockets")

COOKIE_NAME: Final = b"MIT-MAGIC-COOKIE-1"
FAMILY_LOCAL: Final = 256
FAMILY_WILD: Final = 65535


class XServer:
    """An Xvfb with one screen. `open` and `close` are called by one thread."""

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self.display = ""
        self.authority = folder / "xauthority"
        self._log = folder / "xvfb.log"
        self._screen = f"{width}x{height}x24"
        self._cookie = secrets.token_bytes(16)
        self._program: SupervisedProcess | None = None

    def open(self, environment: Mapping[str, str], deadline_s: float) -> None:
        """Return once the server answers; `NotReadyError` where it is not installed, fails, or `deadline_s` passes."""
        self.authority.touch(0o600)
        self.authority.write_bytes(_authority(self._cookie))
        for number in range(FIRST_NUMBER, LAST_NUMBER + 1):
            if _is_taken(number):
                continue
            self._program = self._start(number, environment)
            if self._program.await_answer(partial(_admits, number, self._cookie), deadline_s):
                self.display = f":{number}"
                return
            self.close()
            said = self._log.read_text("utf-8", "replace")
            if not any(words in said for words in OF_A_NUMBER_IN_USE):
                raise not_serving("Xvfb", self._log, deadline_s)
        raise NotReadyError(f"the displays :{FIRST_NUMBER} to :{LAST_NUMBER} are all in use", "end some of them")

    def close(self) -> None:
        """End the server; may be called twice."""
        if self._program is not None:
            self._program.end()

    def _start(self, number: int, environment: Mapping[str, str]) -> SupervisedProcess:
        argv = ["Xvfb", f":{number}", "-screen", "0", self._screen, "-auth", str(self.authority)]
        # The abstract socket stays on, under the same cookie: libraries try it first, and a free name is anyone's.
        argv += ["-nolisten", "tcp"]
        argv += ["-noreset"]  # or everything is lost whenever the last program leaves
        argv += ["-s", "0"]  # or the screen saver blanks the picture after ten minutes
        return start_server(argv, environment, self._log, "xvfb")


def _socket_of(number: int) -> str:
    return f"/tmp/.X11-unix/X{number}"  # noqa: S108  the place is X11's convention


def _is_taken(number: int) -> bool:
    """Whether a server listens at this number. What a crashed one left behind does not count: Xvfb replaces it."""
    return listens(_socket_of(number)) or listens("\0" + _socket_of(number))


def _admits(number: int, cookie: bytes) -> bool:
    """Whether the server at this number lets in whoever has the cookie, which no other server does."""
    hello = struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(COOKIE_NAME), len(cookie))
    try:
        with connect(_socket_of(number), time.monotonic() + ANSWER_LIMIT_S) as client:
            client.settimeout(ANSWER_LIMIT_S)
            client.sendall(hello + COOKIE_NAME + bytes(-len(COOKIE_NAME) % 4) + cookie)
            return client.recv(1) == b"\x01"
    except OSError:
        return False


def _authority(cookie: bytes) -> bytes:
    """An Xauthority file for any display: by this machine's name, and for libraries that know it, by any name."""

    def counted(value: bytes) -> bytes:
        return struct.pack(">H", len(value)) + value

    entries = ((FAMILY_LOCAL, socket.gethostname().encode()), (FAMILY_WILD, b""))
    return b"".join(
        struct.pack(">H", family) + counted(address) + counted(b"") + counted(COOKIE_NAME) + counted(cookie)
        for family, address in entries
    )
