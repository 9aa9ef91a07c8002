"""The inbox of a session: requests, failures of its threads and finished steps, in order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, TypeAlias

from capture.events import Request
from capture.threads.worker import Worker

__all__ = ["PROGRESS_INTERVAL_S", "WAITING_INTERVAL_S", "Inbox", "Message", "StepDone", "WorkerFailure", "refuse"]

#: How often the session reports progress while it records, and while it waits for a recording to start.
PROGRESS_INTERVAL_S: Final = 0.2
WAITING_INTERVAL_S: Final = 1.0


class WorkerFailure(NamedTuple):
    """A thread of the recording failed."""

    worker: str
    error: BaseException


class StepDone(NamedTuple):
    """A step that ran on another thread has returned or raised."""

    worker: Worker


Message: TypeAlias = Request | WorkerFailure | StepDone


class Inbox:
    """A queue of messages. Any thread and any signal handler may put; the session's thread receives."""

    def __init__(self) -> None:
        self._messages: SimpleQueue[Message] = SimpleQueue()

    def put(self, message: Message) -> None:
        self._messages.put(message)

    def put_back(self, requests: Iterable[Request]) -> None:
        """Queue requests again, behind the messages that have arrived since."""
        for request in requests:
            self._messages.put(request)

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message; None when none arrives within `timeout_s`. A negative timeout counts as 0."""
        with suppress(Empty):
            return self._messages.get(timeout=max(0.0, timeout_s))
        return None

    def run_aside(self, name: str, step: Callable[[], None]) -> Worker:
        """Run `step` on another thread, if one can be started; its `StepDone` arrives when it returns or raises."""
        worker = Worker(name, step, on_end=lambda: self.put(StepDone(worker)))
        worker.start_or_run()
        return worker

    def refuse_all(self, why: str) -> None:
        """Refuse all queued requests, so that each gets an answer."""
        while (message := self.receive(0.0)) is not None:
            if isinstance(message, Request):
                refuse(message, why)


def refuse(request: Request, why: str, exit_code: int = 1) -> None:
    """Answer a request, if it wants an answer, with the reason why it is refused."""
    if request.answer is not None:
        more = {} if exit_code == 1 else {"exit_code": exit_code}
        request.answer({"ok": False, "error": why, **more})
