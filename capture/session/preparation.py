"""Prepares a session for recording: opens the devices, counts down, starts triggers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from capture.clock import Clock
from capture.desktop.countdowns import show_countdown
from capture.errors import CaptureError, NotReadyError
from capture.events import Event, EventKind, EventSink, Progress, Request, Send, State
from capture.pipeline.device_thread import before_recording
from capture.session.commands import Action, Phase, action_of
from capture.session.inbox import PROGRESS_INTERVAL_S, Inbox, Message, StepDone, WorkerFailure, refuse
from capture.settings.record_settings import RecordSettings
from capture.threads.worker import Worker
from capture.triggers.trigger import Trigger

__all__ = ["Preparation", "start_triggers"]

#: How long finding or opening devices may take; 0.1 s is normal. A server that hangs must not make the recorder hang.
PREPARATION_LIMIT_S: Final = 12.0

#: How long the start of a trigger may take. Hotkeys take 0.1 s; on a display that hangs they never start, and the
#: session must not wait for them.
TRIGGER_LIMIT_S: Final = 2.0

#: In how many parts. Each counts as one, however long it took: while a machine stands still, nothing can start.
_PARTS: Final = 20


class Preparation:
    """Runs the steps before the first recording, and obeys commands meanwhile. Used by the session's thread.

    `answer` answers a request with the state of the session.
    """

    def __init__(self, inbox: Inbox, clock: Clock, answer: Callable[[Request], None]) -> None:
        self._inbox = inbox
        self._clock = clock
        self._answer = answer

    def run(
        self,
        step: Callable[[], None],
        waits_for: Callable[[], str] = lambda: "",
        emit: EventSink = lambda event: None,
    ) -> bool:
        """Run `step` on another thread. Return False when a request ended the session.

        As long as `waits_for` returns what the user has to do, the step may take any time; `emit` gets an event that
        says so. Raises what the step raises, and `NotReadyError` when the display or the sound server does not
        answer, or a device that was open is lost meanwhile.
        """
        said = ""
        worker = self._inbox.run_aside("preparation", step)
        gives_up_at_s = self._clock.now_s() + PREPARATION_LIMIT_S
        while (left_s := gives_up_at_s - self._clock.now_s()) > 0:
            message = self._inbox.receive(min(left_s, PROGRESS_INTERVAL_S))
            if wanted := waits_for():
                gives_up_at_s = self._clock.now_s() + PREPARATION_LIMIT_S
                if wanted != said:
                    said = wanted
                    emit(Event(EventKind.WAITING, 0.0, said))
            if message == StepDone(worker):
                if worker.error is not None:
                    raise worker.error
                return not self._end_is_waiting()
            if message is not None and self._is_ended_by(message):
                return False
        raise NotReadyError("the display or the sound server does not answer", "see capture doctor")

    def count_down(self, settings: RecordSettings, emit: EventSink) -> bool:
        """Wait for `settings.delay_s` and report the time left. Return False when a request ended the session."""
        shown = show_countdown(settings)
        try:
            begins_at_s = self._clock.now_s() + settings.delay_s
            while (left_s := begins_at_s - self._clock.now_s()) > 0:
                emit(Progress(State.ARMED, -left_s, 0))
                message = self._inbox.receive(min(left_s, PROGRESS_INTERVAL_S))
                if message is not None and self._is_ended_by(message):
                    return False
            return True
        finally:
            if shown is not None:
                # Removed before the first frame is grabbed.
                shown.end()

    def _end_is_waiting(self) -> bool:
        while (message := self._inbox.receive(0.0)) is not None:
            if self._is_ended_by(message):
                return True
        return False

    def _is_ended_by(self, message: Message) -> bool:
        """Answer a request; return whether it ends the session before anything is recorded.

        Raises the failure of a device that was open already: what is recorded would lack it without a word.
        """
        if isinstance(message, WorkerFailure):
            raise before_recording(message.error)
        if isinstance(message, StepDone):
            return False
        action = action_of(Phase.PREPARING, message.command)
        if isinstance(action, Action):
            self._answer(message)
        else:
            refuse(message, action)
        return action is Action.END


def start_triggers(triggers: Sequence[Trigger], send: Send, record_event: Callable[[EventKind, str], None]) -> None:
    """Start every trigger and report its notes. One that does not work here, or hangs, becomes an event.

    Raises its other errors.
    """
    for trigger in triggers:
        worker = Worker("trigger", partial(trigger.start, send))
        worker.start()
        if not any(worker.join(TRIGGER_LIMIT_S / _PARTS) for _ in range(_PARTS)):
            record_event(trigger.unavailable_event, "the display does not answer: stop with Ctrl+C")
        elif isinstance(worker.error, CaptureError):
            record_event(trigger.unavailable_event, str(worker.error))
        elif worker.error is not None:
            raise worker.error
        else:
            for kind, detail in trigger.notes:
                record_event(kind, detail)
