"""The signals and the remote control around a recorder: started and stopped here, and nowhere else."""

from __future__ import annotations

import os
import shlex
import string
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from capture.errors import NotReadyError

if TYPE_CHECKING:
    from capture.cli.terminal import Terminal
    from capture.remote.server import RemoteControl
    from capture.session.session import Session
    from capture.settings import RecordSettings

__all__ = ["under_control"]


@contextmanager
def under_control(session: Session, remote: RemoteControl, terminal: Terminal, *, ends_process: bool) -> Iterator[None]:
    """Let signals and other terminals command `session` inside the block.

    Raises `UsageError` when the recorder's name is taken. Where no remote control is possible the session says so and
    records without. With `ends_process` further signals are ignored at the end, because the process is about to exit.
    """
    from capture.triggers.signals import Signals

    signals = Signals()
    signals.start(session.send)
    try:
        try:
            remote.start(session.send)
        except NotReadyError as error:
            session.record_event(remote.unavailable_event, str(error))
        _tell_leftovers(remote, terminal, session.settings)
        yield
    finally:
        remote.stop()
        signals.stop(ignoring=ends_process)


def _tell_leftovers(remote: RemoteControl, terminal: Terminal, settings: RecordSettings) -> None:
    """Name what recorders left that crashed: recordings, and files that these were to replace."""
    from capture.output.replaced_file import left_aside

    paths = remote.interrupted_recordings
    for path in paths:
        if os.path.lexists(path):
            terminal.say(
                f"a recorder that did not end by itself left {path}: capture repair {_as_argument(path)} makes it whole"
            )
    # After a power cut the notes of recorders are gone, and only the name that is wanted again is known.
    again = [str(settings.output)] if settings.overwrite else []
    for path in dict.fromkeys([*paths, *again]):
        for old in left_aside(Path(path)):
            terminal.say(f"the file that {path} was to replace is kept as {old}")


def _as_argument(path: str) -> str:
    """A path as it can be typed into a shell, whatever it is made of."""
    if path.isprintable():
        return shlex.quote(path)
    plain = {ord(char) for char in string.digits + string.ascii_letters + "/._- "}
    return "$'" + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(path)) + "'"
