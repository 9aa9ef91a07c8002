"""Runs one recording from its first sample to its checked file, and obeys commands meanwhile."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from capture.errors import CaptureError, FileGoneError, NoRoomError, OutputError, RecordingError
from capture.events import Command, Event, EventKind, Request, Send, State, Summary
from capture.session.commands import Action, Phase, action_of
from capture.session.core import SessionCore
from capture.session.finishing import Finishing
from capture.session.inbox import WorkerFailure, refuse
from capture.triggers.trigger import TakeObserver

if TYPE_CHECKING:
    from capture.session.take import Take
    from capture.triggers.sound import SoundTrigger

__all__ = ["RecordingControl"]


class RecordingControl:
    """Records takes, one after the other. Used by the session's thread.

    `listen` lets sound start the next recording, even while the last one is being finished.
    """

    def __init__(
        self,
        core: SessionCore,
        finishing: Finishing,
        observers: Sequence[TakeObserver],
        sound: SoundTrigger | None,
        listen: Callable[[], None],
        send: Send,
        progress_interval_s: float,
    ) -> None:
        self._core = core
        self._finishing = finishing
        self._observers = observers
        self._sound = sound
        self._listen = listen
        self._send = send
        self._progress_interval_s = progress_interval_s
        self._ended_at_s = -math.inf

    def record(self, take: Take, begin: Request, on_begun: Callable[[], None]) -> Summary | None:
        """Record one take up to its finished file, and return its summary; None when nothing was kept.

        `on_begun` is called when the take has started. An exception raised into this call, such as Ctrl+C, stops the
        recording; it propagates when the file is finished.
        """
        # Do not record again what the last take contains.
        begins_at_s = max(begin.at_s, self._ended_at_s)
        try:
            take.begin(begins_at_s)
        except BaseException as error:
            refuse(begin, str(error))
            raise
        self._core.state = State.RECORDING
        self._finishing.ending = []
        try:
            if self._sound is not None:
                self._sound.start(self._send)
                self._sound.begin(begins_at_s)
            self._core.answer(begin)
            self._report_encoder()
            for observer in self._observers:
                observer.take_began(str(take.path))
            try:
                on_begun()
            except CaptureError:
                # The program to record did not start: there is nothing to keep.
                self._end(take)
                take.discard()
                raise
            self._core.emit(Event(EventKind.BEGUN, 0.0, str(take.path)))
            stopped_by = self._control(take)
        except BaseException:
            self._core.over = True
            if not take.is_discarded:
                self._finish_file(take, "interrupt")
            raise
        return self._finish_file(take, stopped_by)

    def _finish_file(self, take: Take, stopped_by: str | None) -> Summary | None:
        try:
            self._end(take)
            summary = self._conclude(take, stopped_by)
        except BaseException as error:
            if stopped_by is not None:
                # Keep what was recorded, even if the file is not finished.
                take.leave()
            for request in self._finishing.ending:
                refuse(request, f"{take.path} could not be finished ({error})")
            raise
        for observer in self._observers:
            observer.take_ended()
        for request in self._finishing.ending:
            self._answer_ending(request, take, summary)
        self._finishing.raise_interrupt()
        return summary

    def _control(self, take: Take) -> str | None:
        """Obey commands and report progress until the end; return the `stopped_by`, None for a discard."""
        # Starting the triggers may have taken seconds.
        take.expect_progress()
        look_at_s = self._core.clock.now_s() + self._progress_interval_s
        while True:
            now_s, stop_s = self._core.clock.now_s(), take.stop_s
            if now_s >= look_at_s:
                look_at_s = now_s + self._progress_interval_s
                self._core.emit(take.progress(self._core.state))
                if self._sound is not None and self._core.state is State.RECORDING:
                    self._sound.tick(now_s)
            message = self._core.inbox.receive(min(look_at_s, stop_s) - now_s)
            if isinstance(message, WorkerFailure):
                return self._core.note_failure(message).stopped_by
            if message is None and now_s >= stop_s:
                return "duration"
            if not isinstance(message, Request):
                continue
            if message.at_s >= stop_s:
                # It comes after the end. One given before it, such as a pause, moves the end, however late it is read.
                self._core.inbox.put_back([message])
                return "duration"
            action = action_of(Phase(self._core.state.value), message.command)
            if action is Action.END:
                self._core.over |= message.command is Command.QUIT
                take.stop(message.at_s)
                self._finishing.ending.append(message)
                return None if message.command is Command.DISCARD else message.given_by
            self._obey(take, message, action)

    def _obey(self, take: Take, request: Request, action: Action | str) -> None:
        """Carry out a command that does not end the recording, and answer it."""
        match action:
            case Action.CLIP:
                self._core.save_clip(request)
                return
            case Action.PREVIEW:
                take.play()
            case Action.MARK:
                take.mark(request.at_s, request.text)
            case Action.PAUSE:
                take.pause(request.at_s)
                self._enter(take, State.PAUSED)
            case Action.RESUME:
                resumed_at_s = take.resume(request.at_s)
                if self._sound is not None:
                    self._sound.resume(resumed_at_s)
                self._enter(take, State.RECORDING)
            case Action.ANSWER:
                pass
            case refusal:
                refuse(request, str(refusal))
                return
        self._core.answer(request)

    def _enter(self, take: Take, state: State) -> None:
        self._core.state = state
        self._core.emit(take.progress(state))

    def _end(self, take: Take) -> None:
        """Stop the take, and flush the pipeline stage by stage, from the devices to the file."""
        take.stop(self._core.clock.now_s())
        self._ended_at_s = take.stop_s
        self._core.state = State.FINISHING
        self._core.emit(take.progress(self._core.state))
        if self._core.settings.repeat and not self._core.over:
            self._listen()
        self._finishing.begin()
        try:
            finished = self._finish(take.end, take)
        except Exception as error:
            # What was written until then is kept all the same.
            self._core.note_failure(WorkerFailure("end", error))
            return
        if not finished:
            take.leave()

    def _finish(self, step: Callable[[], None], take: Take) -> bool:
        """Run one step of finishing the file; return False when it was abandoned."""
        finished = self._finishing.run(step, lambda: take.progress(self._core.state), take.path)
        if not finished:
            self._core.abandon(OutputError(f"{take.path} was left unfinished", "to fix it, run capture repair"))
        return finished

    def _conclude(self, take: Take, stopped_by: str | None) -> Summary | None:
        """Check the file of an ended take and return its summary; None when nothing is kept."""
        if take.is_left:
            return self._keep(take.describe_left(stopped_by or "discard"))
        if stopped_by is None or take.is_empty:
            path = take.path
            take.discard()
            self._core.state = State.DISCARDED
            self._core.record_event(
                EventKind.DISCARDED, f"{path} was discarded" if stopped_by is None else "nothing was recorded"
            )
            if stopped_by is not None and self._core.failure is None and not self._core.settings.records_several:
                # A script must not take this for a recording.
                self._core.fail(RecordingError("nothing was recorded", "record for longer"))
            return None
        if take.is_gone and self._core.failure is None:
            self._core.fail(FileGoneError(f"{take.path} is gone", "something removed it while it was being recorded"))
        if isinstance(self._core.failure, NoRoomError):
            # There may have been no room left only while the file was being finished.
            stopped_by = self._core.failure.stopped_by
        found: list[Summary] = []
        if not self._finish(
            lambda: found.append(take.conclude(stopped_by, failed=self._core.failure is not None)), take
        ):
            return self._keep(take.describe_left(stopped_by))
        return self._keep(found[0])

    def _keep(self, summary: Summary) -> Summary:
        self._core.summaries.append(summary)
        if self._core.failure is not None:
            self._core.failure.summary = summary
        self._core.state = State.FAILED if self._core.failure else State.FINISHED
        self._core.emit(summary)
        return summary

    def _answer_ending(self, request: Request, take: Take, summary: Summary | None) -> None:
        """Answer the request that ended a recording with its result."""
        if request.answer is None:
            return
        if self._core.failure is not None:
            kept = "" if summary is None else f"; what was recorded until then is in {take.path}"
            refuse(request, f"{self._core.failure}{kept}")
        elif summary is None:
            request.answer({"ok": True, "state": self._core.state.value, "path": None, "discarded": take.path})
        else:
            request.answer({"ok": True, "state": self._core.state.value, **summary.as_json()})

    def _report_encoder(self) -> None:
        """Report once which video encoder is used and why. The summary has it too, so it is not an event."""
        choice = self._core.feed.pipeline.encoder_choice if self._core.feed is not None else ""
        if choice and not self._core.summaries:
            self._core.emit(Event(EventKind.ENCODER, 0.0, choice))
