"""Writes the ledger of a recording to a file beside it: one line of JSON per event, as it happens.

Each line goes to the operating system at once, so a crash loses at most part of the last one, and to the disk within
about a second. An event that lasts gets a line when it starts and another, with its end, when it is over; the later
line replaces the earlier. The last line says `ended`; without it the recorder was killed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from capture.errors import NotReadyError, OutputError, UsageError
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
    stall. The first failure goes to `on_failure`, from that thread or from `end`, and what was written stays. The queue
    has no bound: the caller limits how many events it adds, see `ledger.KEPT`.
    """

    def __init__(self, recording: Path, on_failure: Callable[[OutputError], None], *, overwrite: bool = False) -> None:
        """Raises `OutputError` when the file cannot be created, `NotReadyError` when its thread cannot be started."""
        self._file = _create(ledger_of(recording), overwrite=overwrite)
        self._on_failure = on_failure
        # What the disk reported; it reports each failure once.
        self._sync_error: OSError | None = None
        self._lines: SimpleQueue[Event | None] = SimpleQueue()
        self._worker = Worker("ledger", self._run)
        try:
            self._worker.start()
        except NotReadyError:
            self._file.discard()
            raise
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
            self._file.keep(self._sync_error)
        except OutputError as error:
            self._fail(error)
        self._let_go()

    def discard(self) -> None:
        """Remove the file, and restore the one that it would have replaced. Raises `OutputError`."""
        self._close()
        self._let_go()
        self._file.discard()

    def _close(self) -> None:
        """Wait until all added lines are written, and stop the thread."""
        self._lines.put(None)
        self._worker.join()

    def _fail(self, error: OutputError) -> None:
        on_failure = self._on_failure
        self._let_go()
        on_failure(error)

    def _let_go(self) -> None:
        """Report nothing from now on. Refer to the caller no longer, who may hold this file: that would be a circle."""
        self._on_failure = lambda error: None

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
                self._sync_error = syncer.error
        except OSError as error:
            self._fail(OutputError(f"{self.path} cannot be written ({error.strerror or error})"))
        except NotReadyError as error:
            self._fail(OutputError(f"{self.path} cannot be written ({error.message})", error.remedy))


def _create(wanted: Path, *, overwrite: bool) -> ReservedFile:
    for path in candidates(wanted):
        with suppress(UsageError):
            return ReservedFile(path, overwrite=overwrite)
    raise AssertionError("candidates never end")


def _write(descriptor: int, event: Event) -> None:
    line = memoryview(to_json(event.as_json()).encode() + b"\n")
    while line:
        line = line[os.write(descriptor, line) :]
