"""Opens a source, runs its grabbers and closes it, all in one thread.

Devices open in parallel, so the slowest one decides when a recording starts, not their sum. And libraries that must be
used from the thread that opened them are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from capture.errors import NotReadyError, SourceLostError
from capture.sources.protocols import IDLE_INTERVAL_S, FrameSource, KeepingSource, SampleSource
from capture.threads.mailbox import Closed, Mailbox
from capture.threads.worker import Worker

__all__ = ["DeviceThread", "Grabber", "before_recording", "wake"]

#: Devices usually open within a tenth of a second. A server that hangs must not make the recorder hang.
OPEN_LIMIT_S: Final = 10.0

#: How often `idle` is called while a picture is kept for a recording that is about to begin. A change of the picture
#: is stamped this much late at most.
_KEEPING_INTERVAL_S: Final = 0.01


def wake(source: FrameSource | SampleSource) -> None:
    """Wake `source`. One that fails at it goes on when its wait is over: nothing is lost, and the others are woken."""
    with suppress(Exception):
        source.wake()


class Grabber(Protocol):
    """Reads a source until its recording ends."""

    def run(self) -> None: ...


class DeviceThread:
    """The thread of one source, called `name`.

    One other thread creates it and calls its methods. The source, the grabbers and `idle` run in the device's thread;
    `idle`, if there is one, is called every `IDLE_INTERVAL_S` while no grabber runs.
    """

    def __init__(
        self,
        name: str,
        source: FrameSource | SampleSource,
        on_failure: Callable[[str, BaseException], None],
        *,
        idle: Callable[[], None] | None = None,
    ) -> None:
        self._source = source
        self._idle = idle
        self._opened = threading.Event()
        # Whether the source keeps the beginning of a recording; set once it has settled.
        self._keeps = False
        self._settled = threading.Event()
        self._failure: BaseException | None = None
        self._requests: Mailbox[_Request] = Mailbox(1)
        self._worker = Worker(name, self._run, closes=[self._requests], on_failure=on_failure)

    def open(self) -> None:
        """Start the thread, which opens the source."""
        self._worker.start()

    @property
    def native_id(self) -> int | None:
        """The system's number of the thread; None before `open`."""
        return self._worker.native_id

    def await_opened(self) -> None:
        """Wait until the source is open.

        Raises the exception of the source's `open`, or `NotReadyError` when the source is lost meanwhile or takes
        longer than `OPEN_LIMIT_S`.
        """
        self._await(self._opened)

    def settle(self) -> None:
        """Make the thread call the source's `settle`, if there is one."""
        self._request(self._settle, self._settled)

    def await_settled(self) -> bool:
        """Wait until it has, and return whether the source keeps everything from now on. Raises as `await_opened`."""
        self._await(self._settled)
        return self._keeps

    def _await(self, step: threading.Event) -> None:
        if not step.wait(OPEN_LIMIT_S):
            raise NotReadyError(f"{self._worker.name} does not answer", "see capture doctor")
        if self._failure is not None:
            raise self._failure

    def begin(self, epoch_s: float, grabber: Grabber) -> threading.Event:
        """Run `grabber` after the previous one, for a recording that starts at `epoch_s`.

        The returned event is set when the grabber has ended.
        """
        return self._request(partial(self._take, epoch_s, grabber), threading.Event())

    def _request(self, work: Callable[[], None], done: threading.Event) -> threading.Event:
        try:
            self._requests.put(_Request(work, done))
        except Closed:
            # The device has failed, and `on_failure` has reported it.
            done.set()
        return done

    def close(self) -> None:
        """Make the thread close its source and end after the current grabber; may be called twice."""
        self._requests.close()
        wake(self._source)

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread to end; return False if it has not after `timeout_s`."""
        return self._worker.join(timeout_s)

    def _run(self) -> None:
        try:
            try:
                self._source.open()
            except BaseException as error:
                self._failure = before_recording(error)
                return
            finally:
                self._opened.set()
            while True:
                # Nothing here keeps the request: its grabber refers to a whole recording.
                self._serve(self._next_request())
        finally:
            self._source.close()

    def _serve(self, request: _Request) -> None:
        try:
            request.work()
        finally:
            request.done.set()

    def _settle(self) -> None:
        try:
            self._keeps = isinstance(self._source, KeepingSource) and self._source.settle()
        except BaseException as error:
            # The waiting thread raises it.
            self._failure = before_recording(error)

    def _take(self, epoch_s: float, grabber: Grabber) -> None:
        self._keeps = False
        self._source.begin(epoch_s)
        grabber.run()

    def _next_request(self) -> _Request:
        while True:
            try:
                return self._requests.get(_KEEPING_INTERVAL_S if self._keeps and self._idle else IDLE_INTERVAL_S)
            except TimeoutError:
                if self._idle is not None:
                    self._idle()


def before_recording(error: BaseException) -> BaseException:
    """Return what `error` means before anything is recorded: a source that is lost then is not ready."""
    if not isinstance(error, SourceLostError):
        return error
    found = NotReadyError(error.message, error.remedy or "see capture doctor")
    found.__cause__ = error
    return found


class _Request:
    """A request to do `work`, after which `done` is set."""

    def __init__(self, work: Callable[[], None], done: threading.Event) -> None:
        self.work = work
        self.done = done
