"""Named threads that keep their exception and close their neighbours' queues when they end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from capture.threads.mailbox import Closed

__all__ = ["Closable", "Worker"]


class Closable(Protocol):
    """Anything with a `close` method, such as a mailbox."""

    def close(self) -> None: ...


class Worker:
    """Runs `work` in a daemon thread called `name`.

    When `work` returns or raises, the worker closes everything in `closes`, so that the stages before and after it end
    too. `Closed` is a normal end; any other exception is kept in `error` and passed to `on_failure`, before the
    neighbours are closed. `on_end` runs last. Both callbacks run in the worker's thread and must return quickly.
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
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the thread to end; return False if it has not after `timeout_s`.

        Returns True at once in the worker's own thread and before `start`.
        """
        if self._thread is threading.current_thread() or self._thread.ident is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

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
            self.has_ended = True
            self._on_end()
