"""The ledger of a recording as a file beside it: a line of JSON for everything that happened, as it happens.

Each line is handed to the system at once, so that a crash leaves all of them, but for the rest of one that was being
written. What lasts has a line when it begins and, with its end, one when it is over: the later one takes the place of
the first. The last line says `ended`; without it the recorder was killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from capture.errors import OutputError, UsageError
from capture.event_kinds import EventKind
from capture.events import Event
from capture.output.naming import candidates, ledger_of
from capture.output.reserved_file import ReservedFile
from capture.threads.worker import Worker

__all__ = ["LedgerFile"]


class LedgerFile:
    """The ledger of `recording`, beside it under a name that is free, or with `overwrite` in the place of another one.

    Made, ended and discarded by one thread; `add` is for any. A thread of its own writes: a disk may stall.
    `on_failure` is told by that thread, once, when nothing can be written any more; what is there stays. Whoever adds
    sees to it that there is an end to it, see `ledger.KEPT`.
    """

    def __init__(self, recording: Path, on_failure: Callable[[OutputError], None], *, overwrite: bool = False) -> None:
        """Raises `OutputError` where the file cannot be made."""
        self._file = _made(ledger_of(recording), overwrite=overwrite)
        self._on_failure = on_failure
        self._lines: SimpleQueue[Event | None] = SimpleQueue()
        self._worker = Worker("ledger", self._run)
        self._worker.start()
        self.add(Event(EventKind.BEGUN, 0.0, str(recording)))

    @property
    def path(self) -> Path:
        return self._file.path

    def add(self, event: Event) -> None:
        self._lines.put(event)

    def end(self, at_s: float, stopped_by: str) -> None:
        """The recording stands, and ended so; what the file replaces is gone for good."""
        self.add(Event(EventKind.ENDED, at_s, stopped_by))
        self._close()
        self._file.keep()

    def discard(self) -> None:
        """Remove the file, and put back what it would have replaced."""
        self._close()
        self._file.discard()

    def _close(self) -> None:
        """Let what was added be written, and nothing more."""
        self._lines.put(None)
        self._worker.join()

    def _run(self) -> None:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            try:
                while (event := self._lines.get()) is not None:
                    _write(descriptor, event)
            finally:
                os.close(descriptor)
        except OSError as error:
            self._on_failure(OutputError(f"{self.path} cannot be written on ({error.strerror or error})"))


def _made(wanted: Path, *, overwrite: bool) -> ReservedFile:
    for path in candidates(wanted):
        with suppress(UsageError):
            return ReservedFile(path, overwrite=overwrite)
    raise AssertionError("candidates never end")


def _write(descriptor: int, event: Event) -> None:
    line = memoryview(json.dumps(event.as_json()).encode() + b"\n")
    while line:
        line = line[os.write(descriptor, line) :]
