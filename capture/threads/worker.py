"""Named threads that keep their exception and close their neighbours' queues when they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from capture.errors import NotReadyError
from capture.threads.mailbox import Closed

__all__ = ["Closable", "Worker", "start_thread"]


class Closable(Protocol):
    """Anything with a `close` method, such as a mailbox."""

    def close(self) -> None: ...


class Worker:
    """Runs `work` in a daemon thread called `name`.

    When `work` returns or raises, the worker closes everything in `closes`, so that the stages before and after it end
    too. `Closed` is a normal end; any other exception is kept in `error` and passed to `on_failure`, before the
    neighbours are closed. `on_end` runs last. Both callbacks run in the worker's thread and must return quickly.

    A worker that has ended refers to nothing that it worked with: the owner of a worker is usually part of its work,
    and a circle would keep the encoders and buffers of a recording until Python next looks for circles.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        *,
        closes: Iterable[Closable] = (),
        on_failure: Callable[[str, BaseException], None] = lambda name, error: None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self.error: BaseException | None = None
        #: Whether the work is done, well or not; set before `on_end` is called.
        self.has_ended = False
        self._work = work
        self._closes = tuple(closes)
        self._on_failure = on_failure
        self._on_end = on_end
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread. Raises `NotReadyError` when it is refused, and `RuntimeError` the second time."""
        if self._thread is not None:
            raise RuntimeError(f"{self.name} was started before")
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        start_thread(self._thread)

    def start_or_run(self) -> None:
        """Start the thread. If that is refused, do the work in the caller's thread, so it has to end by itself."""
        try:
            self.start()
        except NotReadyError:
            self._run()

    @property
    def native_id(self) -> int | None:
        """The system's number of the thread; None before `start`."""
        return self._thread.native_id if self._thread is not None else None

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread to end; return False if it has not after `timeout_s`.

        Returns True at once in the worker's own thread and before `start`.
        """
        thread = self._thread
        if thread is None or thread.ident is None or thread is threading.current_thread():
            return True
        thread.join(timeout_s)
        return not thread.is_alive()

    def _run(self) -> None:
        try:
            self._work()
        except Closed:
            pass
        except BaseException as error:
            self.error = error
            self._on_failure(self.name, error)
        finally:
            for neighbour in self._closes:
                neighbour.close()
            on_end = self._on_end
            self._release()
            self.has_ended = True
            on_end()
            # The traceback of `error` keeps this frame.
            del self

    def _release(self) -> None:
        self._work, self._closes = lambda: None, ()
        self._on_failure, self._on_end = lambda name, error: None, lambda: None
        if self.error is not None:
            _clear_frames(self.error)


def start_thread(thread: threading.Thread) -> None:
    """Start `thread`. Raises `NotReadyError` when the system or Python refuses.

    From version 3.12 on, Python starts no threads once the main thread has ended, although it waits for the others.
    """
    try:
        thread.start()
    except RuntimeError as error:
        remedy = "end other programs, or raise the limit that ulimit -u shows"
        if not threading.main_thread().is_alive():
            remedy = "begin before the main thread ends"
        raise NotReadyError(f"the thread {thread.name!r} could not be started ({error})", remedy) from error


def _clear_frames(error: BaseException) -> None:
    """Release the local variables of the frames in the traceback of `error` and of what caused it."""
    # Imported here: what records loads this module before it begins, and few threads fail.
    import traceback

    found: list[BaseException] = [error]
    for each in found:
        traceback.clear_frames(each.__traceback__)
        found += [cause for cause in (each.__cause__, each.__context__) if cause is not None and cause not in found]
