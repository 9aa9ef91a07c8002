"""A session from beginning to end: the only place that wires.

::

              ┌──────────────── Take ────────────────┐
    DeviceSet ─▶ │ Pipeline ─▶ packets ─▶ FileWriter    │ ─▶ file
    (devices) │ (timeline, grabbers, tracks)         │
              └──────────────────────────────────────┘

A session opens its devices once and records one take, or with `each` one after the other. Commands come in by one queue
from whatever triggers there are; events go out by one callable. All stamps come from one clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from queue import Empty, SimpleQueue
from types import MappingProxyType
from typing import Any, Final

from capture.clock import Clock, MonotonicClock
from capture.errors import CaptureError, DiskFullError, FileGoneError, NotReadyError, OutputError, RecordingError
from capture.event_kinds import EventKind
from capture.events import Answer, Command, Event, EventSink, Progress, Request, State, Summary
from capture.output.disk_space import check_room
from capture.output.naming import check_writable
from capture.pipeline.devices import DeviceSet
from capture.pipeline.feed import Feed
from capture.session.clip_saver import ClipSaver
from capture.session.force_stop import Impatience, StopEscalation
from capture.session.inbox import ENDINGS, PROGRESS_INTERVAL_S, WAITING_INTERVAL_S, StepDone, WorkerFailure, refuse
from capture.session.take import Take
from capture.settings import RecordSettings
from capture.sources.chooser import begin_countdown
from capture.threads.dispatcher import EventDispatcher
from capture.threads.worker import Worker
from capture.triggers.sound import SoundTrigger
from capture.triggers.trigger import TakeObserver, Trigger

__all__ = ["Session"]


#: Devices are found and opened within a tenth of a second each; a server that hangs must not make the recorder hang.
PREPARATION_LIMIT_S: Final = 12.0

#: Keys are listened to within a tenth of a second. With a display that hangs they are not, and no order waits for them.
TRIGGER_LIMIT_S: Final = 2.0

#: How long the devices may take to end where nothing is waited for any more.
STUCK_END_S: Final = 1.0


class Session:
    """Construct, `run` once; `send` commands from any thread, also before `run`.

    `emit` is called by one thread of its own; it may block or fail without harm to the recording. `on_ready` is called
    once by the thread of `run`, when it records or waits for what begins a recording: what it starts is in the file
    from the first. How a recording goes is told every `progress_interval_s`, at most half a second.
    """

    def __init__(
        self,
        settings: RecordSettings,
        *,
        emit: EventSink = lambda event: None,
        triggers: Sequence[Trigger] = (),
        observers: Sequence[TakeObserver] = (),
        on_ready: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
        progress_interval_s: float = PROGRESS_INTERVAL_S,
    ) -> None:
        self.settings = settings
        # Who waits for sound or for silence has to look as often as ever.
        waits = settings.wait_for_sound or settings.stop_after_silence_s is not None
        self._progress_interval_s = PROGRESS_INTERVAL_S if waits else progress_interval_s
        self.state = State.IDLE
        #: What ended a recording early, if anything did; what was recorded until then is in the file.
        self.error: CaptureError | None = None
        # The same of the recording at hand: another may follow it.
        self._failure: CaptureError | None = None
        #: Whether a thread still waits for a disk that does not answer, and nobody for it.
        self.is_stuck = False
        #: What became of every recording that was kept.
        self.summaries: list[Summary] = []
        self._teller = EventDispatcher(emit)
        self._emit = self._teller.tell
        self._triggers = triggers
        self._observers: Sequence[TakeObserver] = (*triggers, *observers)
        self._on_ready = on_ready
        self._clock = clock or MonotonicClock()
        self._inbox: SimpleQueue[Request | WorkerFailure | StepDone] = SimpleQueue()
        self._sound: SoundTrigger | None = None
        if waits:
            self._sound = SoundTrigger(settings.sound_threshold_dbfs, settings.stop_after_silence_s)
        self._inputs = DeviceSet(
            settings,
            self._clock,
            tell=self.record_event,
            on_failure=self._hear_failure,
            end=lambda reason: self.send(Command.QUIT, reason),
            listener=self._sound.listener if self._sound is not None else None,
        )
        self._clips = ClipSaver(settings, self._emit)
        self._feed: Feed | None = None
        self._take: Take | None = None
        # Who asked for the end of the recording, to be told when the file is finished.
        self._ending: list[Request] = []
        self._early: list[Event] = []
        self._ready = False
        self._over = False
        self._ended_at_s = -math.inf
        self._patience = StopEscalation(math.inf)

    def send(
        self,
        command: Command,
        given_by: str,
        *,
        at_s: float | None = None,
        text: str = "",
        answer: Answer | None = None,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        """Give a command; any thread, also a signal handler. `given_by` is what `stopped_by` will say."""
        moment_s = self._clock.now_s() if at_s is None else at_s
        self._inbox.put(Request(command, given_by, moment_s, text, answer, options))

    def run(self) -> Summary | None:
        """Record, and return what became of the last recording; None when there was none, or it was discarded.

        Raises `UsageError` and `NotReadyError` before anything is touched, `OutputError` where the file cannot be made.
        A failure while recording raises nothing: the summary is that of what was kept, and `error` says what happened.
        """
        self._teller.start()
        try:
            self.settings.check()
            check_writable(self.settings.output)
            if not self.settings.standby:
                check_room(self.settings.output.parent)
            return self._run()
        finally:
            self._inputs.close()
            for trigger in self._triggers:
                trigger.stop()
            self._refuse_what_waits()
            self._teller.close()

    def _run(self) -> Summary | None:
        if not (self._attend(self._inputs.choose) and self._count_down() and self._attend(self._inputs.open)):
            return None
        if self._inputs.said:
            self.record_event(EventKind.CROPPED, self._inputs.said)
        shared = self._begin_waiting() if self.settings.waits else None
        self._listen()
        try:
            return self._record_takes(shared)
        finally:
            self._await_clips()
            if shared is not None:
                self._end_feed(shared)

    def _begin_waiting(self) -> Feed | None:
        """Let the devices run; where a replay buffer is kept meanwhile, what fills it."""
        now_s = self._clock.now_s()
        if self.settings.replay_s is None:
            self._inputs.begin(now_s)
            return None
        feed = self._make_feed()
        feed.pipeline.begin(now_s)
        return feed

    def _end_feed(self, feed: Feed) -> None:
        feed.pipeline.timeline.stop(self._clock.now_s())
        worker = Worker("ending", feed.pipeline.finish)
        worker.start()
        # What encodes may itself wait for a disk that does not answer.
        worker.join(STUCK_END_S if self.is_stuck else None)
        if worker.error is not None:
            raise worker.error

    def _make_feed(self) -> Feed:
        return Feed(
            self._inputs,
            self.settings,
            self._clock,
            on_failure=self._hear_failure,
            record_event=self._record_of_feed,
        )

    def _record_takes(self, shared: Feed | None) -> Summary | None:
        summary = None
        while not self._over:
            self._feed = shared or self._make_feed()
            take = self._prepare_take(self._feed)
            try:
                begin = self._await_begin() if self.settings.waits else self._begin_now()
                if begin is None:
                    take.discard()
                    break
                summary = self._record(take, begin)
            except BaseException:
                take.discard()
                raise
            self._over |= not self._repeats
        return summary

    def _await_clips(self) -> None:
        """Let the clips that are being saved be finished; who asks meanwhile is told."""
        self._patience = StopEscalation(self._clock.now_s())
        worker = self._aside("clips", self._clips.close)
        while not worker.join(0.0):
            message = self._receive(PROGRESS_INTERVAL_S)
            if not isinstance(message, Request):
                continue
            if message.command is Command.STATUS:
                self._answer(message)
            else:
                refuse(message, "the recorder is ending")
            if self._is_to_be_left(message, "a clip is still being saved"):
                self._leave(OutputError("a clip was left unfinished", "the disk does not answer"))
                return

    @property
    def _repeats(self) -> bool:
        """Whether one recording follows the other."""
        return self.settings.each or self.settings.standby

    def _listen(self) -> None:
        """Let sound begin the next recording; also while the last one is being finished."""
        if self._sound is not None and self.settings.wait_for_sound:
            self._sound.start(self.send)
            self._sound.arm()

    # Beginning

    def _attend(self, step: Callable[[], None]) -> bool:
        """Run a step of the preparation in a thread of its own; False when a stop was asked for meanwhile.

        Raises what the step raised, and `NotReadyError` where a display or a sound server leaves it hanging.
        """
        worker = self._aside("preparation", step)
        gives_up_at_s = self._clock.now_s() + PREPARATION_LIMIT_S
        while (left_s := gives_up_at_s - self._clock.now_s()) > 0:
            message = self._receive(left_s)
            if isinstance(message, StepDone) and message.step == step:
                if worker.error is not None:
                    raise worker.error
                return not self._end_is_waiting()
            if isinstance(message, Request) and self._ends_preparation(message):
                return False
        raise NotReadyError("the display or the sound server does not answer", "see capture doctor")

    def _aside(self, name: str, step: Callable[[], None]) -> Worker:
        """Run `step` in a thread of its own, whose end comes in as a message."""
        worker = Worker(name, step, on_end=lambda: self._inbox.put(StepDone(step)))
        worker.start()
        return worker

    def _end_is_waiting(self) -> bool:
        while (message := self._receive(0.0)) is not None:
            if isinstance(message, Request) and self._ends_preparation(message):
                return True
        return False

    def _ends_preparation(self, request: Request) -> bool:
        """Whether a request that comes before anything can be recorded ends the session; it is answered."""
        ends = request.command in (*ENDINGS, Command.TOGGLE)
        if ends or request.command is Command.STATUS:
            self._answer(request)
        else:
            refuse(request, "nothing is being recorded yet")
        return ends

    def _count_down(self) -> bool:
        """Wait for `delay_s`, telling how long is left; False when stopped meanwhile."""
        shown = begin_countdown(self.settings)
        try:
            return self._await_delay()
        finally:
            if shown is not None:
                # It is not to be in the recording.
                shown.end()

    def _await_delay(self) -> bool:
        begins_at_s = self._clock.now_s() + self.settings.delay_s
        while (left_s := begins_at_s - self._clock.now_s()) > 0:
            self.state = State.ARMED
            self._emit(Progress(self.state, -left_s, 0))
            message = self._receive(min(left_s, PROGRESS_INTERVAL_S))
            if isinstance(message, Request) and self._ends_preparation(message):
                return False
        self.state = State.IDLE
        return True

    def _prepare_take(self, feed: Feed) -> Take:
        self._failure = None
        take = Take(
            feed,
            self.settings,
            self._clock,
            settled_at_s=lambda: math.inf if self._sound is None else self._sound.settled_until_s,
            on_failure=self._hear_failure,
            emit=self._emit,
        )
        early, self._early, self._take = self._early, [], take
        for event in early:
            take.record_event(event)
        return take

    def _get_ready(self) -> None:
        """Once, when it records or waits: begin to hear commands, and let in whoever waited for this."""
        if self._ready:
            return
        self._ready = True
        self._on_ready()
        for trigger in self._triggers:
            worker = Worker("trigger", partial(trigger.start, self.send))
            worker.start()
            if not worker.join(TRIGGER_LIMIT_S):
                self.record_event(trigger.absence, "the display does not answer: stop with Ctrl+C")
            elif isinstance(worker.error, CaptureError):
                self.record_event(trigger.absence, str(worker.error))
            elif worker.error is not None:
                raise worker.error

    def _begin_now(self) -> Request:
        return Request(Command.START, "session", self._clock.now_s())

    def _await_begin(self) -> Request | None:
        """Wait for what makes a recording begin, which is still to be answered; None when the session is to end."""
        self.state = State.STANDBY if self.settings.standby else State.ARMED
        self._get_ready()
        while True:
            kept_s, kept_bytes = self._kept
            self._emit(
                Progress(self.state, 0.0, 0, waiting_for=self._waiting_for, buffer_s=kept_s, buffer_bytes=kept_bytes)
            )
            message = self._receive(WAITING_INTERVAL_S)
            if isinstance(message, WorkerFailure):
                self._note_failure(message)
                if kept_s:
                    # Nobody asked for a file of it, and a desktop that its user leaves ends like this every day.
                    self.record_event(
                        EventKind.BUFFER_LOST, f"the last {kept_s:.0f} s, which the replay buffer held, were not saved"
                    )
                self.state = State.FAILED
                return None
            if not isinstance(message, Request):
                continue
            if message.command in self._beginnings:
                if self._can_begin(message):
                    return message
                continue
            if message.command is Command.STOP and message.given_by == "hotkey":
                # A key is let go that was held longer than the last recording was to last.
                continue
            if message.command is Command.DISCARD and self.state is State.STANDBY:
                # Nobody means to throw away what is kept, and to wait no more.
                refuse(message, "nothing is being recorded yet")
                continue
            if message.command in ENDINGS:
                self._answer(message)
                return None
            if message.command is Command.STATUS:
                self._answer(message)
            elif message.command is Command.CLIP:
                self._save_clip(message)
            elif message.command is Command.MARK and self._feed is not None and self._feed.keeps:
                # For the clips that it falls into.
                self._emit(replace(self._feed.mark(message.at_s, message.text), at_s=0.0))
                self._answer(message)
            else:
                refuse(message, "nothing is being recorded yet")

    def _can_begin(self, beginning: Request) -> bool:
        """Whether there is a place for a recording; who asks for one is told if not, and it goes on waiting."""
        try:
            if self.settings.is_numbered:
                check_writable(self.settings.output)
            check_room(self.settings.output.parent)
        except (NotReadyError, OutputError) as error:
            refuse(beginning, str(error))
            self._emit(Event(EventKind.NOT_BEGUN, 0.0, f"nothing is recorded: {error}"))
            return False
        return True

    @property
    def _beginnings(self) -> tuple[Command, ...]:
        """What begins a recording. In standby one order for all has to do: a desktop's key may be bound to it."""
        more = (Command.TOGGLE_PAUSE,) if self.settings.standby else ()
        return (Command.START, Command.TOGGLE, *more)

    @property
    def _waiting_for(self) -> str:
        key = self.settings.hold or ("a key" if self.settings.standby else "")
        return " or ".join(filter(None, ("sound" if self.settings.wait_for_sound else "", key)))

    @property
    def _kept(self) -> tuple[float, int]:
        """Seconds and bytes in the replay buffer."""
        buffer = self._feed.buffer if self._feed is not None else None
        return (buffer.seconds, buffer.size_bytes) if buffer is not None else (0.0, 0)

    def _save_clip(self, request: Request) -> None:
        """Have what the replay buffer holds up to the request saved, aside."""
        feed = self._feed
        if feed is None or not feed.keeps:
            refuse(request, "no replay buffer is kept: start one with capture replay --last 60s")
            return
        self._clips.save(feed, request)

    # While it goes on

    def _record(self, take: Take, begin: Request) -> Summary | None:
        """One take from its beginning to its finished file; None where nothing was kept."""
        # What the last take holds is not recorded twice.
        begins_at_s = max(begin.at_s, self._ended_at_s)
        try:
            take.begin(begins_at_s)
        except BaseException as error:
            refuse(begin, str(error))
            raise
        if self._sound is not None:
            self._sound.start(self.send)
            self._sound.begin(begins_at_s)
        self.state = State.RECORDING
        self._answer(begin)
        self._tell_encoder()
        self._ending = []
        stopped_by: str | None = None
        try:
            for observer in self._observers:
                observer.take_began(str(take.path))
            self._get_ready()
            stopped_by = self._control(take)
        finally:
            self._end(take)
        try:
            summary = self._conclude(take, stopped_by)
        except BaseException as error:
            for request in self._ending:
                refuse(request, f"{take.path} could not be finished ({error})")
            raise
        for observer in self._observers:
            observer.take_ended()
        for request in self._ending:
            self._answer_ending(request, take, summary)
        return summary

    def _control(self, take: Take) -> str | None:
        """Obey commands and tell how it goes until the end; return what ended it, None for a discard."""
        look_at_s = self._clock.now_s() + self._progress_interval_s
        while True:
            now_s, stop_s = self._clock.now_s(), take.stop_s
            if now_s >= stop_s:
                return "duration"
            if now_s >= look_at_s:
                look_at_s = now_s + self._progress_interval_s
                self._emit(take.progress(self.state))
                if self._sound is not None and self.state is State.RECORDING:
                    self._sound.tick(now_s)
            message = self._receive(min(look_at_s, stop_s) - now_s)
            if isinstance(message, WorkerFailure):
                return self._note_failure(message).stopped_by
            if not isinstance(message, Request):
                continue
            if message.command in (*ENDINGS, Command.TOGGLE):
                self._over |= message.command is Command.QUIT
                take.stop(message.at_s)
                self._ending.append(message)
                return None if message.command is Command.DISCARD else message.given_by
            self._obey(take, message)

    def _obey(self, take: Take, request: Request) -> None:
        """Do what is asked while it goes on, and answer."""
        paused = self.state is State.PAUSED
        match request.command:
            case Command.PREVIEW if not paused:
                refuse(request, "pause first: what is played while recording would be recorded")
                return
            case Command.PREVIEW:
                take.play()
            case Command.CLIP:
                self._save_clip(request)
                return
            case Command.MARK:
                take.mark(request.at_s, request.text)
            case Command.PAUSE:
                self._pause(take, request.at_s)
            case Command.RESUME:
                self._resume(take, request.at_s)
            case Command.TOGGLE_PAUSE if paused:
                self._resume(take, request.at_s)
            case Command.TOGGLE_PAUSE:
                self._pause(take, request.at_s)
            case _:
                pass
        self._answer(request)

    def _pause(self, take: Take, at_s: float) -> None:
        if self.state is State.RECORDING:
            take.pause(at_s)
            self.state = State.PAUSED
            self._emit(take.progress(self.state))

    def _resume(self, take: Take, at_s: float) -> None:
        if self.state is State.PAUSED:
            resumed_at_s = take.resume(at_s)
            if self._sound is not None:
                self._sound.resume(resumed_at_s)
            self.state = State.RECORDING
            self._emit(take.progress(self.state))

    # Ending

    def _end(self, take: Take) -> None:
        """Let what is under way reach the file, stage by stage from the devices on."""
        take.stop(self._clock.now_s())
        self._ended_at_s = take.stop_s
        self.state = State.FINISHING
        self._emit(take.progress(self.state))
        if self.settings.each and not self._over:
            self._listen()
        self._patience = StopEscalation(self._clock.now_s())
        if not self._await_finishing(take.end, take):
            take.leave()

    def _conclude(self, take: Take, stopped_by: str | None) -> Summary | None:
        """See what became of an ended take; None where nothing is kept."""
        if take.is_left:
            return self._keep(take.describe_left(stopped_by or "discard"))
        if stopped_by is None or take.is_empty:
            path = take.path
            take.discard()
            self.state = State.DISCARDED
            self.record_event(EventKind.DISCARDED, f"{path} is gone" if stopped_by is None else "nothing was recorded")
            return None
        if take.is_gone and self._failure is None:
            self._fail(FileGoneError(f"{take.path} is gone", "somebody removed it while it was being recorded"))
        if isinstance(self._failure, DiskFullError):
            # Also where that showed only while the file was being finished.
            stopped_by = self._failure.stopped_by
        found: list[Summary] = []
        if not self._await_finishing(
            lambda: found.append(take.conclude(stopped_by, failed=self._failure is not None)), take
        ):
            return self._keep(take.describe_left(stopped_by))
        return self._keep(found[0])

    def _keep(self, summary: Summary) -> Summary:
        """A recording stands."""
        self.summaries.append(summary)
        self.state = State.FAILED if self._failure else State.FINISHED
        self._emit(summary)
        return summary

    def _await_finishing(self, step: Callable[[], None], take: Take) -> bool:
        """Run a step of the end aside; commands that come meanwhile are answered. Raises what the step raised.

        What begins the next recording, and ends it, is kept until that is waited for: a key may be held again already.
        False where somebody insists so much on the end that it is waited for no longer.
        """
        later: list[Request] = []
        worker = self._aside("finishing", step)
        while True:
            message = self._receive(PROGRESS_INTERVAL_S)
            if message is None:
                self._emit(take.progress(self.state))
            if isinstance(message, StepDone) and message.step == step:
                break
            if isinstance(message, WorkerFailure):
                self._note_failure(message)
            elif isinstance(message, Request):
                self._over |= message.command is Command.QUIT
                if self._is_to_be_left(message, f"{take.path} is still being finished"):
                    self._ending.append(message)
                    self._leave(OutputError(f"{take.path} was left unfinished", "capture repair makes it whole"))
                    return False
                if message.command is Command.CLIP:
                    self._save_clip(message)
                elif self._repeats and (
                    message.command in (Command.START, Command.TOGGLE) or (later and message.command is Command.STOP)
                ):
                    later.append(message)
                elif message.command is Command.STATUS:
                    self._answer(message)
                elif message.command in (Command.STOP, Command.QUIT, Command.TOGGLE):
                    self._ending.append(message)
                else:
                    refuse(message, "the recording is being finished")
        for request in later:
            self._inbox.put(request)
        if worker.error is not None:
            raise worker.error
        return True

    def _is_to_be_left(self, request: Request, what: str) -> bool:
        """Whether `request` is the one too many of those who want the end, who are told when they come near it."""
        if request.command is not Command.QUIT:
            return False
        impatience = self._patience.ask(request.at_s)
        if impatience is Impatience.WARNED:
            self._emit(Event(EventKind.UNFINISHED, 0.0, f"{what}: once more, and it is left as it is"))
        return impatience is Impatience.LEFT

    def _leave(self, error: CaptureError) -> None:
        """Wait no longer for what hangs."""
        self._over = self.is_stuck = True
        self._fail(error)

    # Talking

    def _receive(self, timeout_s: float | None) -> Request | WorkerFailure | StepDone | None:
        with suppress(Empty):
            return self._inbox.get(timeout=None if timeout_s is None else max(0.0, timeout_s))
        return None

    def _answer(self, request: Request) -> None:
        """Tell whoever asked how things stand."""
        if request.answer is not None:
            status = self._take.status() if self._take is not None else {"path": None, "elapsed_s": 0.0}
            kept_s, kept_bytes = self._kept
            kept = {"buffer_s": round(kept_s, 3), "buffer_bytes": kept_bytes}
            request.answer({"ok": True, "state": self.state.value, **status, **kept})

    def _answer_ending(self, request: Request, take: Take, summary: Summary | None) -> None:
        """Tell whoever ended a recording what became of it."""
        if request.answer is None:
            return
        if self._failure is not None:
            refuse(request, f"{self._failure}; {take.path} has what was recorded until then")
        elif summary is None:
            request.answer({"ok": True, "state": self.state.value, "path": None, "discarded": take.path})
        else:
            request.answer({"ok": True, "state": self.state.value, **summary.as_json()})

    def _refuse_what_waits(self) -> None:
        """Nobody who asked is left without an answer."""
        while (message := self._receive(0.0)) is not None:
            if isinstance(message, Request):
                refuse(message, "the recorder has ended")

    def _hear_failure(self, worker: str, error: BaseException) -> None:
        self._inbox.put(WorkerFailure(worker, error))

    def _note_failure(self, failure: WorkerFailure) -> CaptureError:
        """Let the session end with it, unless something failed before; what it ends with."""
        error = failure.error
        # A full disk ends a recording, but not what is kept in memory.
        goes_on = self.settings.standby and isinstance(error, DiskFullError)
        self._over |= not goes_on
        if self._failure is not None:
            return self._failure
        if not isinstance(error, CaptureError):
            cause, error = error, RecordingError(f"the {failure.worker} failed ({type(error).__name__}: {error})")
            error.__cause__ = cause
        self._fail(error)
        self.record_event(error.event_kind, str(error))
        return error

    def _fail(self, error: CaptureError) -> None:
        """The recording at hand ends with `error`; the session keeps the first of all."""
        self._failure = error
        self.error = self.error or error

    def _tell_encoder(self) -> None:
        """Which encoder is used for the picture, and why, once: no event of a recording, whose summary says which."""
        choice = self._feed.pipeline.encoder_choice if self._feed is not None else ""
        if choice and not self.summaries:
            self._emit(Event(EventKind.ENCODER, 0.0, choice))

    def _record_of_feed(self, event: Event) -> None:
        """What happens to picture and sound belongs to the recording that is made; between two nobody wants to know."""
        if self._take is not None and self.state in (State.RECORDING, State.PAUSED, State.FINISHING):
            self._take.record_of_feed(event)

    def record_event(self, kind: EventKind, detail: str) -> None:
        """Record an event that happens now; any thread. Before there is a take, the first one gets it."""
        if self._take is not None:
            self._take.tell(kind, detail)
        else:
            self._early.append(Event(kind, 0.0, detail))
