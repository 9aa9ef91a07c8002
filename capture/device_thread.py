"""A source's thread: opens it, waits for the common start, runs its grabber, closes it, all in one thread.

Devices open side by side, so that the slowest and not the sum decides when a recording begins; and libraries that want
to be used by the thread that opened them are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from capture.errors import NotReadyError
from capture.interfaces import FrameSource, SampleSource
from capture.worker import Worker

__all__ = ["DeviceThread", "Grabber"]

#: Devices open within a tenth of a second; a server that hangs must not make the recorder hang.
OPEN_LIMIT_S: Final = 10.0


class Grabber(Protocol):
    """Reads a source until the timeline's stop."""

    def run(self) -> None: ...

    def wake(self) -> None: ...


class DeviceThread:
    """Made and told by one thread; what it runs happens in its own, called `name`."""

    def __init__(
        self,
        name: str,
        source: FrameSource | SampleSource,
        on_failure: Callable[[str, BaseException], None],
    ) -> None:
        self._source = source
        self._opened = threading.Event()
        self._failure: BaseException | None = None
        self._go = threading.Event()
        self._grabber: Grabber | None = None
        self._epoch_s = 0.0
        self._worker = Worker(name, self._run, on_failure=on_failure)

    def open(self) -> None:
        """Begin to open the source."""
        self._worker.start()

    def await_opened(self) -> None:
        """Wait until the source is open; raises what opening it raised, `NotReadyError` where it takes too long."""
        if not self._opened.wait(OPEN_LIMIT_S):
            raise NotReadyError(f"{self._worker.name} does not answer", "see capture doctor")
        if self._failure is not None:
            raise self._failure

    def begin(self, epoch_s: float, grabber: Grabber) -> None:
        """Let `grabber` run; the recording begins at `epoch_s`."""
        self._epoch_s, self._grabber = epoch_s, grabber
        self._go.set()

    def wake(self) -> None:
        """Have the grabber look at the timeline; a thread that was not let run closes its source and ends."""
        self._go.set()
        if self._grabber is not None:
            self._grabber.wake()
        else:
            self._source.wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end of the thread and return whether it came."""
        return self._worker.join(timeout_s)

    def _run(self) -> None:
        try:
            try:
                self._source.open()
            except BaseException as error:
                self._failure = error
                return
            finally:
                self._opened.set()
            self._go.wait()
            if self._grabber is not None:
                self._source.begin(self._epoch_s)
                self._grabber.run()
        finally:
            self._source.close()
