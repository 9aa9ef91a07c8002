"""A session's inbox: requests, failures of its threads and finished steps, in the order they came."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, TypeAlias

from capture.events import Request
from capture.threads.worker import Worker

__all__ = ["PROGRESS_INTERVAL_S", "WAITING_INTERVAL_S", "Inbox", "Message", "StepDone", "WorkerFailure", "refuse"]

#: How long the session's thread waits for a message before it reports progress, and before it does so while waiting.
PROGRESS_INTERVAL_S: Final = 0.2
WAITING_INTERVAL_S: Final = 1.0


class WorkerFailure(NamedTuple):
    """A thread of the recording failed."""

    worker: str
    error: BaseException


class StepDone(NamedTuple):
    """A step that ran on a thread of its own has returned or raised."""

    worker: Worker


Message: TypeAlias = Request | WorkerFailure | StepDone


class Inbox:
    """Any thread may put, a signal handler too; the session's thread receives."""

    def __init__(self) -> None:
        self._messages: SimpleQueue[Message] = SimpleQueue()

    def put(self, message: Message) -> None:
        self._messages.put(message)

    def put_back(self, requests: Iterable[Request]) -> None:
        """Queue requests again, behind what has come since."""
        for request in requests:
            self._messages.put(request)

    def receive(self, timeout_s: float) -> Message | None:
        """The next message; None when none comes within `timeout_s`, which may be negative."""
        with suppress(Empty):
            return self._messages.get(timeout=max(0.0, timeout_s))
        return None

    def run_aside(self, name: str, step: Callable[[], None]) -> Worker:
        """Run `step` on a thread of its own; its `StepDone` comes in when it ends, well or not."""
        worker = Worker(name, step, on_end=lambda: self.put(StepDone(worker)))
        worker.start()
        return worker

    def refuse_all(self, why: str) -> None:
        """Refuse every request that waits, so that nobody who asked is left without an answer."""
        while (message := self.receive(0.0)) is not None:
            if isinstance(message, Request):
                refuse(message, why)


def refuse(request: Request, why: str) -> None:
    if request.answer is not None:
        request.answer({"ok": False, "error": why})
