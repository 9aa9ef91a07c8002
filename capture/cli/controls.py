"""Connects a recorder to signals and to the remote control while it runs."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from capture.cli.text import as_argument
from capture.errors import NotReadyError

if TYPE_CHECKING:
    from capture.cli.terminal import Terminal
    from capture.remote.server import RemoteControl
    from capture.session.session import Session
    from capture.settings.record_settings import RecordSettings

__all__ = ["under_control"]

#: How long to wait at the end for the look at what crashed recorders left: an hour of recording takes 0.1 s.
_LEFTOVERS_END_S: Final = 2.0


@contextmanager
def under_control(session: Session, remote: RemoteControl, terminal: Terminal, *, ends_process: bool) -> Iterator[None]:
    """Let signals and other terminals control `session` inside the block, and name recordings that crashes cut off.

    Raises `UsageError` when the recorder's name is taken. When remote control does not work here, the session gets an
    event and records without it. With `ends_process`, signals that come after the block are ignored, because the
    process is about to exit.
    """
    from capture.threads.worker import Worker
    from capture.triggers.signals import Signals

    signals = Signals()
    # Beside the recording, whose start does not wait for it.
    leftovers = Worker("leftovers", lambda: _report_cut_off(remote.interrupted_recordings, session.settings, terminal))
    signals.start(session.send)
    try:
        try:
            remote.start(session.send)
        except NotReadyError as error:
            session.record_event(remote.unavailable_event, f"commands from other terminals do not work here: {error}")
        if remote.interrupted_recordings or session.settings.overwrite:
            leftovers.start()
        yield
    finally:
        leftovers.join(_LEFTOVERS_END_S)
        remote.stop()
        signals.stop(ignoring=ends_process)


def _report_cut_off(paths: Sequence[str], settings: RecordSettings, terminal: Terminal) -> None:
    """Name the recordings of crashed recorders that still need repair, with the command that repairs each."""
    for path in paths:
        is_replaced = path == str(settings.output) and not settings.is_numbered
        if not is_replaced and _is_unfinished(Path(path)):
            terminal.say(f"a crash cut off {path}. To fix it: capture repair {as_argument(path)}")
    _report_set_aside(paths, settings, terminal)


def _is_unfinished(path: Path) -> bool:
    """Whether there is a file at `path` that still needs repair, and that no recorder is writing."""
    from capture.output.locked_file import is_being_recorded
    from capture.recordings.structure import Ending, read_structure

    # That of Path raises where a folder may not be looked into.
    if not os.path.isfile(path) or is_being_recorded(path):  # noqa: PTH113
        return False
    try:
        return read_structure(path).ending is not Ending.WHOLE
    except OSError:
        # Not readable: `repair` says why.
        return True


def _report_set_aside(paths: Sequence[str], settings: RecordSettings, terminal: Terminal) -> None:
    """Name the files that crashed recorders were to replace, and that are kept under another name."""
    from capture.output.replaced_file import left_aside

    # After a power cut the notes of recorders are gone, and only the name that is wanted again is known.
    again = [str(settings.output)] if settings.overwrite else []
    for path in dict.fromkeys([*paths, *again]):
        for old in left_aside(Path(path)):
            terminal.say(f"the file that {path} was to replace is kept as {old}")
