"""A source's thread: opens it, waits for the common start, runs its grabbers, closes it, all in one thread.

Devices open side by side, so that the slowest and not the sum decides when a recording begins; and libraries that want
to be used by the thread that opened them are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from capture.errors import NotReadyError
from capture.sources.protocols import IDLE_INTERVAL_S, FrameSource, SampleSource
from capture.threads.mailbox import Closed, Mailbox
from capture.threads.worker import Worker

__all__ = ["DeviceThread", "Grabber"]

#: Devices open within a tenth of a second; a server that hangs must not make the recorder hang.
OPEN_LIMIT_S: Final = 10.0


class Grabber(Protocol):
    """Reads a source until it has what it was made for."""

    def run(self) -> None: ...


class DeviceThread:
    """Made and told by one thread; what it runs happens in its own, called `name`.

    `idle` is called there now and then while no grabber runs.
    """

    def __init__(
        self,
        name: str,
        source: FrameSource | SampleSource,
        on_failure: Callable[[str, BaseException], None],
        *,
        idle: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._idle = idle
        self._opened = threading.Event()
        self._failure: BaseException | None = None
        self._orders: Mailbox[_Order] = Mailbox(1)
        self._worker = Worker(name, self._run, closes=[self._orders], on_failure=on_failure)

    def open(self) -> None:
        """Begin to open the source."""
        self._worker.start()

    def await_opened(self) -> None:
        """Wait until the source is open; raises what opening it raised, `NotReadyError` where it takes too long."""
        if not self._opened.wait(OPEN_LIMIT_S):
            raise NotReadyError(f"{self._worker.name} does not answer", "see capture doctor")
        if self._failure is not None:
            raise self._failure

    def begin(self, epoch_s: float, grabber: Grabber) -> threading.Event:
        """Let `grabber` run, after the one before it; what it grabs begins at `epoch_s`.

        The event that is returned is set when it has ended.
        """
        order = _Order(epoch_s, grabber)
        try:
            self._orders.put(order)
        except Closed:
            # The device is gone, and whoever listens for failures knows.
            order.done.set()
        return order.done

    def close(self) -> None:
        """Have the thread close its source and end, after the grabber that runs; may be called twice."""
        self._orders.close()
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
            while True:
                order = self._next_order()
                try:
                    self._source.begin(order.epoch_s)
                    order.grabber.run()
                finally:
                    order.done.set()
        finally:
            self._source.close()

    def _next_order(self) -> _Order:
        while True:
            try:
                return self._orders.get(IDLE_INTERVAL_S)
            except TimeoutError:
                self._idle()


class _Order:
    """A grabber that is to be run."""

    def __init__(self, epoch_s: float, grabber: Grabber) -> None:
        self.epoch_s = epoch_s
        self.grabber = grabber
        self.done = threading.Event()
