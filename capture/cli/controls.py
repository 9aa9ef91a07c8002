"""The signals and the remote control around a recorder: started and stopped here, and nowhere else."""

from __future__ import annotations

import os
import shlex
import string
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from capture.errors import NotReadyError

if TYPE_CHECKING:
    from capture.cli.terminal import Terminal
    from capture.remote.server import RemoteControl
    from capture.session.session import Session
    from capture.settings import RecordSettings

__all__ = ["under_control"]

#: How long to wait at the end for the look at what crashed recorders left: an hour of recording takes 0.1 s.
_LEFTOVERS_END_S: Final = 2.0


@contextmanager
def under_control(session: Session, remote: RemoteControl, terminal: Terminal, *, ends_process: bool) -> Iterator[None]:
    """Let signals and other terminals command `session` inside the block.

    Raises `UsageError` when the recorder's name is taken. Where no remote control is possible the session says so and
    records without. With `ends_process` further signals are ignored at the end, because the process is about to exit.
    """
    from capture.threads.worker import Worker
    from capture.triggers.signals import Signals

    signals = Signals()
    # Beside the recording, whose start does not wait for it.
    leftovers = Worker("leftovers", lambda: _tell_leftovers(remote.interrupted_recordings, session.settings, terminal))
    signals.start(session.send)
    try:
        try:
            remote.start(session.send)
        except NotReadyError as error:
            session.record_event(remote.unavailable_event, str(error))
        if remote.interrupted_recordings:
            leftovers.start()
        yield
    finally:
        leftovers.join(_LEFTOVERS_END_S)
        remote.stop()
        signals.stop(ignoring=ends_process)


def _tell_leftovers(paths: Sequence[str], settings: RecordSettings, terminal: Terminal) -> None:
    """Name what recorders left that crashed, as far as it is there still."""
    for path in paths:
        is_replaced = path == str(settings.output) and not settings.is_numbered
        if not is_replaced and _is_unfinished(Path(path)):
            terminal.say(
                f"a recorder that did not end by itself left {path}: capture repair {_as_argument(path)} makes it whole"
            )


def _is_unfinished(path: Path) -> bool:
    """Whether there is a file at `path` that still needs repair, and that no recorder is writing."""
    from capture.output.reserved_file import is_being_recorded
    from capture.recordings.structure import Ending, read_structure

    if not path.is_file() or is_being_recorded(path):
        return False
    try:
        return read_structure(path).ending is not Ending.WHOLE
    except OSError:
        # Not readable: `repair` says why.
        return True


def _as_argument(path: str) -> str:
    """A path as it can be typed into a shell, whatever it is made of."""
    if path.isprintable():
        return shlex.quote(path)
    plain = {ord(char) for char in string.digits + string.ascii_letters + "/._- "}
    return "$'" + "".join(chr(byte) if byte in plain else f"\\x{byte:02x}" for byte in os.fsencode(path)) + "'"
