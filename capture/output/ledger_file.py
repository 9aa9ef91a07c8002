"""Writes the ledger of a recording to a file beside it: one line of JSON per event, as it happens.

Each line goes to the operating system at once, so a crash loses at most part of the last one, and to the disk within
about a second. An event that lasts gets
a line when it starts and another, with its end, when it is over; the later line replaces the earlier. The last line
says `ended`; without it the recorder was killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from capture.errors import OutputError, UsageError
from capture.events import Event, EventKind
from capture.output.naming import candidates, ledger_of
from capture.output.reserved_file import ReservedFile
from capture.output.syncer import Syncer
from capture.strict_json import to_json
from capture.threads.worker import Worker

__all__ = ["LedgerFile"]


class LedgerFile:
    """Writes the ledger of `recording` beside it, under the next free name, or with `overwrite` in place of an old one.

    One thread creates, ends and discards it; any thread may call `add`. A separate thread writes, as the disk may
    stall; it calls `on_failure` once when writing fails, and what was written stays. The queue has no bound: the caller
    limits how many events it adds, see `ledger.KEPT`.
    """

    def __init__(self, recording: Path, on_failure: Callable[[OutputError], None], *, overwrite: bool = False) -> None:
        """Raises `OutputError` when the file cannot be created."""
        self._file = _create(ledger_of(recording), overwrite=overwrite)
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
        """Write the final line, wait until the file is on the disk, and remove the one that it replaces for good."""
        self.add(Event(EventKind.ENDED, at_s, stopped_by))
        self._close()
        try:
            self._file.keep()
        except OutputError as error:
            self._on_failure(error)

    def discard(self) -> None:
        """Remove the file, and restore the one that it would have replaced."""
        self._close()
        self._file.discard()

    def _close(self) -> None:
        """Wait until all added lines are written, and stop the thread."""
        self._lines.put(None)
        self._worker.join()

    def _run(self) -> None:
        try:
            # Not opened again by its name: in a folder that others may write to, the name may be a link by now.
            syncer = Syncer(self._file.descriptor, self.path)
            try:
                while (event := self._lines.get()) is not None:
                    _write(self._file.descriptor, event)
                    syncer.note_write()
            finally:
                syncer.close()
        except OSError as error:
            self._on_failure(OutputError(f"{self.path} cannot be written ({error.strerror or error})"))
        finally:
            # The caller may be what holds this file.
            self._on_failure = lambda error: None


def _create(wanted: Path, *, overwrite: bool) -> ReservedFile:
    for path in candidates(wanted):
        with suppress(UsageError):
            return ReservedFile(path, overwrite=overwrite)
    raise AssertionError("candidates never end")


def _write(descriptor: int, event: Event) -> None:
    line = memoryview(to_json(event.as_json()).encode() + b"\n")
    while line:
        line = line[os.write(descriptor, line) :]
