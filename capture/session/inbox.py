"""What comes in to a session: requests, failures of workers, steps that are done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from capture.events import Command, Request

__all__ = ["ENDINGS", "PROGRESS_INTERVAL_S", "WAITING_INTERVAL_S", "StepDone", "WorkerFailure", "refuse"]

#: How often the state of things is told, and while nothing but waiting goes on.
PROGRESS_INTERVAL_S: Final = 0.2


WAITING_INTERVAL_S: Final = 1.0


#: What ends a take; QUIT ends the session as well.
ENDINGS: Final = (Command.STOP, Command.QUIT, Command.DISCARD)


class WorkerFailure:
    """The end of a worker, as the control loop hears of it."""

    def __init__(self, worker: str, error: BaseException) -> None:
        self.worker = worker
        self.error = error


class StepDone:
    """A step that runs aside is over, well or not."""

    def __init__(self, step: Callable[[], object]) -> None:
        self.step = step


def refuse(request: Request, why: str) -> None:
    if request.answer is not None:
        request.answer({"ok": False, "error": why})
