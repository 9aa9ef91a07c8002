"""Finishes the file of a recording and the last clips, while the session keeps obeying commands."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from capture.events import Command, Event, EventKind, Progress, Request
from capture.session.commands import Action, Phase, action_of
from capture.session.core import SessionCore
from capture.session.force_stop import Impatience, StopEscalation
from capture.session.inbox import PROGRESS_INTERVAL_S, Message, StepDone, WorkerFailure, refuse
from capture.threads.worker import Worker

__all__ = ["Finishing"]

#: How long the pipeline may take to end once a thread that is blocked on the disk has been given up.
STUCK_END_S: Final = 1.0


class Finishing:
    """Runs the steps after a recording on other threads, and handles the messages that arrive meanwhile.

    Used by the session's thread. If another recording follows, it queues the requests that start and stop that one
    until the session waits again, because the user may already hold the key. It treats Ctrl+C as a request to quit;
    `raise_interrupt` raises it afterwards.
    """

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._inbox = core.inbox
        self._escalation = StopEscalation(math.inf)
        self._interrupt: BaseException | None = None
        #: The requests that ended the recording, to be answered when its file is finished.
        self.ending: list[Request] = []

    def begin(self) -> None:
        """Note the end of a recording: repeated requests to quit count from now on."""
        self._escalation = StopEscalation(self._core.clock.now_s())

    def run(self, step: Callable[[], None], progress: Callable[[], Progress], path: str | None) -> bool:
        """Run one step of finishing the file at `path`. Raises what the step raises.

        Returns False when the user asked to quit often enough to abandon the file.
        """
        next_requests: list[Request] = []

        def handle(message: Message | None) -> bool:
            if message is None:
                self._core.emit(progress())
            elif isinstance(message, WorkerFailure):
                self._core.note_failure(message)
            elif isinstance(message, Request):
                self._core.over |= message.command is Command.QUIT
                if self._abandons(message, f"{path} is still being finished"):
                    self.ending.append(message)
                    return False
                self._obey(message, next_requests)
            return True

        worker = self._inbox.run_aside("finishing", step)
        finished = self._await(worker, handle)
        # Also when the file was abandoned: the end of the session answers them.
        self._inbox.put_back(next_requests)
        if finished and worker.error is not None:
            raise worker.error
        return finished

    def _await(self, worker: Worker, handle: Callable[[Message | None], bool]) -> bool:
        """Hand what comes in to `handle`, and None now and then, until `worker` has ended or `handle` returns False."""
        while True:
            try:
                message = self._inbox.receive(0.0 if worker.has_ended else PROGRESS_INTERVAL_S)
                if message == StepDone(worker) or (message is None and worker.has_ended):
                    return True
                if not handle(message):
                    return False
            except BaseException as interrupt:
                self._interrupt = interrupt
                self._inbox.put(Request(Command.QUIT, "interrupt", self._core.clock.now_s()))

    def _obey(self, request: Request, next_requests: list[Request]) -> None:
        action = action_of(Phase.FINISHING, request.command)
        if action is Action.NEXT and not self._core.settings.records_several:
            # No recording follows this one.
            action = Action.AWAIT_FILE if request.command is Command.TOGGLE else "the recording is being finished"
        if action is Action.NEXT or (next_requests and request.command is Command.STOP):
            next_requests.append(request)
        elif action is Action.CLIP:
            self._core.save_clip(request)
        elif action is Action.AWAIT_FILE:
            self.ending.append(request)
        elif action is Action.ANSWER:
            self._core.answer(request)
        else:
            refuse(request, str(action))

    def await_clips(self, close: Callable[[], None]) -> bool:
        """Wait until all clips are saved. Return False when the user asked to quit often enough to abandon them."""
        self.begin()

        def handle(message: Message | None) -> bool:
            if not isinstance(message, Request):
                return True
            action = action_of(Phase.CLOSING, message.command)
            if action is Action.ANSWER:
                self._core.answer(message)
            else:
                refuse(message, str(action))
            return not self._abandons(message, "a clip is still being saved")

        return self._await(self._inbox.run_aside("clips", close), handle)

    def raise_interrupt(self) -> None:
        """Raise the Ctrl+C, or whatever else was raised while something was being finished, if anything was."""
        interrupt, self._interrupt = self._interrupt, None
        if interrupt is not None:
            raise interrupt

    def _abandons(self, request: Request, what: str) -> bool:
        """Whether this request means "abandon the file"; the one before it only warns."""
        if request.command is not Command.QUIT:
            return False
        impatience = self._escalation.ask(request.at_s)
        if impatience is Impatience.WARNED:
            self._core.emit(Event(EventKind.UNFINISHED, 0.0, f"{what}: stop once more to abandon it as it is"))
        return impatience is Impatience.ABANDONED
