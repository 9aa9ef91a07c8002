"""A private X server: Xvfb, reached over a Unix socket with a cookie that only its owner can read.

Xvfb can choose a free display by itself (``-displayfd``), but then it takes no lock and can displace a server that is
running. Here it gets a number and takes the lock that all X servers honour. Numbers in use are skipped.

A program sends the cookie to whatever listens at the display's number, so both addresses of a number must be this
server's: the socket in X11's folder, which must be safe from other users, and the abstract name, which libraries try
first. Every number gets a new cookie, and it reaches no server of another user.
"""

from __future__ import annotations

import os
import secrets
import socket
import stat
import struct
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from capture.errors import NotReadyError
from capture.system.unix_socket import ANSWER_LIMIT_S, connect, hold_name, listens
from capture.virtual.server import server_error, start_server, write_private
from capture.virtual.supervised_process import SupervisedProcess

__all__ = ["XServer"]

#: Desktop sessions count up from 0, ssh sessions from 10.
FIRST_NUMBER: Final = 99
LAST_NUMBER: Final = 999

#: Parts of the messages with which Xvfb refuses a number: another server uses it, or another user's server left its
#: files behind.
NUMBER_IN_USE_MESSAGES: Final = ("already active", "lock file", "listening sockets")

#: X11's convention, which every X program and server has built in.
SOCKET_FOLDER: Final = "/tmp/.X11-unix"  # noqa: S108

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
        # Holds the abstract name if the server does not use it.
        self._placeholder: socket.socket | None = None
        self._program: SupervisedProcess | None = None

    def open(self, environment: Mapping[str, str], deadline_s: float) -> None:
        """Start the server on a free display and return once it answers.

        Raises `NotReadyError` when it is not installed, when it fails, or when `deadline_s` (monotonic) passes.
        """
        _secure_socket_folder()
        for number in range(FIRST_NUMBER, LAST_NUMBER + 1):
            if _is_taken(number):
                continue
            cookie = secrets.token_bytes(16)
            write_private(self.authority, _authority(cookie))
            self._program = self._start(number, environment)
            answers = self._program.await_answer(partial(_admits, number, cookie), deadline_s)
            if answers and self._claim_abstract_name(number):
                self.display = f":{number}"
                return
            self.close()
            said = self._log.read_text("utf-8", "replace")
            if not answers and not any(words in said for words in NUMBER_IN_USE_MESSAGES):
                raise server_error("Xvfb", self._log, deadline_s)
        raise NotReadyError(f"displays :{FIRST_NUMBER} to :{LAST_NUMBER} are all in use", "end some of those X servers")

    def close(self) -> None:
        """End the server; may be called twice."""
        if self._program is not None:
            self._program.end()
        placeholder, self._placeholder = self._placeholder, None
        if placeholder is not None:
            placeholder.close()

    def _claim_abstract_name(self, number: int) -> bool:
        """Whether the abstract name is the server's or, for a server that does not use it, held by this process.

        Libraries that are refused at this name turn to the socket in the folder.
        """
        name = "\0" + _socket_of(number)
        try:
            connect(name, time.monotonic() + ANSWER_LIMIT_S).close()
        except PermissionError:
            return False
        except OSError:
            try:
                self._placeholder = hold_name(name)
            except OSError:
                return False
        return True

    def _start(self, number: int, environment: Mapping[str, str]) -> SupervisedProcess:
        argv = ["Xvfb", f":{number}", "-screen", "0", self._screen, "-auth", str(self.authority)]
        # The abstract socket stays on: libraries try it first, and anyone could take a free name.
        argv += ["-nolisten", "tcp"]
        argv += ["-noreset"]  # without it the server resets, losing all state, when its last client disconnects
        argv += ["-s", "0"]  # without it the screen saver blanks the picture after ten minutes
        return start_server(argv, environment, self._log)


def _socket_of(number: int) -> str:
    return f"{SOCKET_FOLDER}/X{number}"


def _secure_socket_folder() -> None:
    """Make sure that no other user can put a socket in the place of ours. Raises `NotReadyError`.

    The system makes the folder when it starts. Where it does not, as in a container, the first user of it does.
    """
    if sys.platform == "win32":
        return
    folder = Path(SOCKET_FOLDER)
    try:
        with suppress(FileExistsError):
            folder.mkdir()
            # Other users' servers need it too; the sticky bit protects the sockets of each.
            folder.chmod(0o1777)
        found = folder.lstat()
    except OSError as error:
        raise NotReadyError(
            f"cannot make the folder {folder} ({error.strerror})", f"as root: mkdir -m 1777 {folder}"
        ) from error
    if not stat.S_ISDIR(found.st_mode):
        raise NotReadyError(f"{folder}, where X servers put their sockets, is not a folder", "remove it")
    is_shared = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
    if found.st_uid not in (0, os.geteuid()) or is_shared:
        raise NotReadyError(
            f"another user could take over the private desktop: the folder {folder} is not root's alone",
            f"as root: chown root {folder}; chmod 1777 {folder}",
        )


def _is_taken(number: int) -> bool:
    """Whether a server listens at this number, or a socket of another user lies there.

    A crashed server's files do not count: Xvfb replaces this user's, and as root those of any user.
    """
    address = _socket_of(number)
    if sys.platform != "win32" and os.geteuid() != 0:
        with suppress(FileNotFoundError):
            if Path(address).lstat().st_uid != os.geteuid():
                return True
    return listens(address) or listens("\0" + address)


def _admits(number: int, cookie: bytes) -> bool:
    """Whether the server at this number accepts `cookie`, which no other server does.

    The cookie is sent only to a server of this user or of root.
    """
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
