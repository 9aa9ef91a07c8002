"""Connects a recorder to signals and to the remote control while it runs."""

from __future__ import annotations

import os
import shlex
import string
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from capture.errors import NotReadyError

if TYPE_CHECKING:
    from capture.cli.terminal import Terminal
    from capture.remote.server import RemoteControl
    from capture.session.session import Session

__all__ = ["under_control"]


@contextmanager
def under_control(session: Session, remote: RemoteControl, terminal: Terminal, *, ends_process: bool) -> Iterator[None]:
    """Let signals and other terminals control `session` inside the block, and name recordings that crashes cut off.

    Raises `UsageError` when the recorder's name is taken. When remote control does not work here, the session gets an
    event and records without it. With `ends_process`, signals that come after the block are ignored, because the
    process is about to exit.
    """
    from capture.triggers.signals import Signals

    signals = Signals()
    signals.start(session.send)
    try:
        try:
            remote.start(session.send)
        except NotReadyError as error:
            session.record_event(remote.unavailable_event, str(error))
        _report_cut_off(remote, terminal)
        yield
    finally:
        remote.stop()
        signals.stop(ignoring=ends_process)


def _report_cut_off(remote: RemoteControl, terminal: Terminal) -> None:
    """Name the recordings of crashed recorders that still exist, with the command that repairs each."""
    for path in remote.interrupted_recordings:
        if os.path.lexists(path):
            terminal.say(f"a crash cut off {path}. To fix it: capture repair {_as_argument(path)}")


def _as_argument(path: str) -> str:
    """Return `path` quoted for a shell; unprintable bytes become escapes, in a form that bash and zsh read."""
    if path.isprintable():
        return shlex.quote(path)
    plain = {ord(char) for char in string.digits + string.ascii_letters + "/._- "}
    return "$'" + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(path)) + "'"
