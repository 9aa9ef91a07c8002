"""Runs a session from the first command to the last file.

::

              ┌──────────────── Take ────────────────┐
  DeviceSet ─▶│ Pipeline ─▶ packets ─▶ FileWriter    │─▶ file
              │ (timeline, grabbers, tracks)         │
              └──────────────────────────────────────┘

A session opens its devices once and records one take, or several one after the other. Commands come in by one queue,
events go out by one callable, and every timestamp comes from one clock. This package connects the stages.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from capture.clock import Clock, MonotonicClock
from capture.desktop.screen_awake import ScreenAwake
from capture.errors import CaptureError, OutputError
from capture.events import Answer, Command, EventKind, EventSink, Request, State, Summary
from capture.output.disk_space import check_room
from capture.output.naming import check_writable
from capture.pipeline.devices import DeviceSet
from capture.session.core import SessionCore
from capture.session.finishing import STUCK_END_S, Finishing
from capture.session.inbox import PROGRESS_INTERVAL_S
from capture.session.preparation import Preparation, start_triggers
from capture.session.recording import RecordingControl
from capture.session.waiting import Waiting
from capture.settings.record_settings import RecordSettings
from capture.sources.chooser import DeviceSources, Sources
from capture.system.memory import hand_back_memory
from capture.threads.dispatcher import EventDispatcher
from capture.threads.worker import Worker
from capture.triggers.trigger import TakeObserver, Trigger
from capture.triggers.windows import WindowTrigger

if TYPE_CHECKING:
    from capture.pipeline.feed import Feed
    from capture.session.take import Take
    from capture.triggers.sound import SoundTrigger

__all__ = ["Session"]


#: What only recordings with a picture use.
_PICTURE_STAGES: Final = ("codecs.encoder_choice", "pipeline.frame_grabber", "pipeline.video_track")


class Session:
    """A recorder with its devices, for one take or several.

    Call `run` once. Any thread may `send` commands, even before `run`. `sources` chooses what is recorded: the devices
    that `settings` name (default), or the caller's own sources. `emit` is called on a separate thread; it may block or
    raise without harm to the recording. The session starts and stops `triggers`; `observers` are only informed which
    file is being recorded. The thread of `run` calls `on_ready` once, as soon as the session records or waits: a
    program that it starts is in the recording from its first moment. Before that, and before each further recording of
    a standby, it calls `on_loaded`, when all that records is loaded and open. Progress is reported every
    `progress_interval_s`, at most half a second.
    """

    def __init__(
        self,
        settings: RecordSettings,
        *,
        sources: Sources | None = None,
        emit: EventSink = lambda event: None,
        triggers: Sequence[Trigger] = (),
        observers: Sequence[TakeObserver] = (),
        on_ready: Callable[[], None] = lambda: None,
        on_loaded: Callable[[], object] = lambda: None,
        clock: Clock | None = None,
        progress_interval_s: float = PROGRESS_INTERVAL_S,
    ) -> None:
        """Raises `UsageError` when `settings` have a relative path and the current folder was removed.

        Raises `NotReadyError` when they ask for speech and the library is missing that finds it.
        """
        self.settings = settings = settings.made_absolute()
        clock = clock or MonotonicClock()
        self._dispatcher = EventDispatcher(emit)
        self._core = core = SessionCore(settings, clock, self._dispatcher.dispatch)
        if settings.wait_for_window:
            triggers = (*triggers, WindowTrigger(lambda error: core.on_worker_failure("window trigger", error)))
        self._triggers = triggers
        self._on_ready = on_ready
        self._on_loaded = on_loaded
        self._ready = False
        # Whether sound starts or stops recordings: the trigger is then checked with every progress.
        waits = settings.wait_for_sound or settings.stop_after_silence_s is not None
        self._sound = _sound_trigger(settings) if waits else None
        self._devices = DeviceSet(
            settings,
            clock,
            sources or DeviceSources(),
            report=core.record_event,
            on_failure=core.on_worker_failure,
            end=lambda reason: self.send(Command.QUIT, reason),
            listener=self._sound.listener if self._sound is not None else None,
        )
        self._awake = ScreenAwake(core.record_event)
        # Whether what is recorded is on the screen.
        self._needs_screen = settings.wants_video and not settings.pattern and sources is None
        if self._needs_screen:
            observers = (*observers, self._awake)
        self._preparation = Preparation(core.inbox, clock, core.answer)
        self._finishing = Finishing(core)
        self._waiting = Waiting(core)
        self._recording = RecordingControl(
            core,
            self._finishing,
            (*triggers, *observers),
            self._sound,
            self._listen,
            self.send,
            PROGRESS_INTERVAL_S if waits else progress_interval_s,
        )

    @property
    def state(self) -> State:
        return self._core.state

    @property
    def error(self) -> CaptureError | None:
        """The error that ended a recording early, or None; what was recorded until then is in the file."""
        return self._core.error

    @property
    def summaries(self) -> Sequence[Summary]:
        """The summary of every recording that was kept."""
        return self._core.summaries

    @property
    def clips(self) -> Sequence[Summary]:
        """The summary of every clip that was saved."""
        return self._core.clips.saved if self._core.clips is not None else ()

    @property
    def is_stuck(self) -> bool:
        """True once the session has given up on a thread that is blocked on the disk."""
        return self._core.is_stuck

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
        """Send a command. Any thread or signal handler may call it. `given_by` becomes the summary's `stopped_by`."""
        moment_s = self._core.clock.now_s() if at_s is None else at_s
        self._core.inbox.put(Request(command, given_by, moment_s, text, answer, options))

    def record_event(self, kind: EventKind, detail: str) -> None:
        """Record an event that happens now; any thread. While there is no take, the next one gets it."""
        self._core.record_event(kind, detail)

    def run(self) -> Summary | None:
        """Record, and return the summary of the last recording; None when none was started, or it was discarded.

        Raises `UsageError` and `NotReadyError` before anything is touched, and `OutputError` when the file cannot be
        created. A failure while recording raises nothing: the summary describes what was kept, and `error` is the
        failure. Any other exception raised into this call, such as Ctrl+C, stops the recording and finishes its file
        first; its summary is then in `summaries`. That can fail while the session starts or ends one of its threads:
        `capture.recorder` runs a session where nothing is raised into it.
        """
        # One that fails to end keeps no other from ending.
        with ExitStack() as closing:
            closing.callback(self._dispatcher.close)
            self._dispatcher.start()
            closing.callback(self._core.inbox.refuse_all, "the recorder has ended")
            for trigger in self._triggers:
                closing.callback(trigger.stop)
            closing.callback(self._devices.close)
            closing.callback(self._awake.close)
            self.settings.check()
            check_writable(self.settings.output)
            if not self.settings.standby:
                check_room(self.settings.output.parent)
            return self._run()

    def _run(self) -> Summary | None:
        chosen = self._preparation.run(self._devices.choose, lambda: self._devices.waits_for, self._core.emit)
        if not (chosen and self._count_down()):
            return None
        if not self._preparation.run(self._open):
            return None
        # This takes longer than everything before, so the recording has begun by now. Not while the devices open: they
        # would wait for the interpreter after each answer of their server.
        self._load_stages()
        if self._devices.size_note:
            self._core.record_event(EventKind.CROPPED, self._devices.size_note)
        shared = self._make_feed() if self.settings.waits and self.settings.replay_s is not None else None
        try:
            if self.settings.waits:
                self._begin_waiting(shared)
            self._listen()
            return self._record_takes(shared)
        finally:
            clips = self._core.clips
            if clips is not None and not self._finishing.await_clips(clips.close):
                self._core.abandon(OutputError("a clip was left unfinished", "the disk does not answer"))
            if shared is not None and shared.pipeline.has_begun:
                self._end_feed(shared)
            self._finishing.raise_interrupt()

    def _open(self) -> None:
        self._devices.open()
        self._devices.settle(for_picture=not self.settings.waits)

    def _load_stages(self) -> None:
        """Import what encodes and writes a recording, which the functions below use."""
        modules = ["numpy", "capture.pipeline.feed", "capture.session.take"]
        if self.settings.wants_video:
            modules += [f"capture.{name}" for name in _PICTURE_STAGES]
        for module in modules:
            importlib.import_module(module)

    def _count_down(self) -> bool:
        if self.settings.delay_s:
            self._core.state = State.ARMED
        if not self._preparation.count_down(self.settings, self._core.emit):
            return False
        self._core.state = State.IDLE
        return True

    def _begin_waiting(self, shared: Feed | None) -> None:
        """Start the devices, and fill the replay buffer of `shared`, if one is kept."""
        now_s = self._core.clock.now_s()
        if shared is None:
            self._devices.begin(now_s)
        else:
            shared.pipeline.begin(now_s)
            if self._needs_screen:
                self._awake.hold()

    def _end_feed(self, feed: Feed) -> None:
        feed.pipeline.timeline.stop(self._core.clock.now_s())
        worker = Worker("ending", feed.pipeline.finish)
        worker.start_or_run()
        # The encoder may be blocked on a disk that does not answer.
        worker.join(STUCK_END_S if self.is_stuck else None)
        if worker.error is not None:
            raise worker.error

    def _make_feed(self) -> Feed:
        from capture.pipeline.feed import Feed

        feed = Feed(
            self._devices,
            self.settings,
            self._core.clock,
            on_failure=self._core.on_worker_failure,
            record_event=self._core.record_of_feed,
        )
        self._on_loaded()
        return feed

    def _record_takes(self, shared: Feed | None) -> Summary | None:
        summary = None
        while not self._core.over:
            self._core.release()
            self._core.feed = shared or self._make_feed()
            if shared is None and self._core.summaries:
                # The next recording waits, and has taken what it needs.
                hand_back_memory()
            try:
                summary = self._record_take(self._core.feed, summary)
            finally:
                self._core.feed.pipeline.close()
            self._core.over |= not self._core.settings.records_several
        return summary

    def _record_take(self, feed: Feed, last: Summary | None) -> Summary | None:
        """Record one take and return its summary; `last`, that of the recording before, when none was begun."""
        take = self._prepare_take(feed)
        try:
            begin = self._await_begin() if self.settings.waits else self._begin_now()
            if begin is not None:
                return self._recording.record(take, begin, self._get_ready)
            take.discard()
            self._core.over = True
        except BaseException:
            # A take that has become a recording stays.
            take.discard()
            raise
        return last

    def _listen(self) -> None:
        """Let sound start the next recording, even while the last one is being finished."""
        if self._sound is not None and self.settings.wait_for_sound:
            self._sound.start(self.send)
            self._sound.arm()

    def _prepare_take(self, feed: Feed) -> Take:
        from capture.session.take import Take

        take = Take(
            feed,
            self.settings,
            self._core.clock,
            settled_at_s=lambda: math.inf if self._sound is None else self._sound.settled_until_s,
            on_failure=self._core.on_worker_failure,
            emit=self._core.emit,
        )
        self._core.adopt(take)
        return take

    def _await_begin(self) -> Request | None:
        self._core.state = State.STANDBY if self.settings.standby else State.ARMED
        self._get_ready()
        return self._waiting.await_begin()

    def _get_ready(self) -> None:
        """Call `on_ready` and start the triggers, the first time the session records or waits."""
        if not self._ready:
            self._ready = True
            self._on_ready()
            start_triggers(self._triggers, self.send, self._core.record_event)

    def _begin_now(self) -> Request:
        kept_since_s = self._devices.kept_since_s
        return Request(Command.START, "session", self._core.clock.now_s() if kept_since_s is None else kept_since_s)


def _sound_trigger(settings: RecordSettings) -> SoundTrigger:
    make_detector = None
    if settings.speech:
        # It loads an optional library.
        from capture.triggers.speech import speech_detectors

        make_detector = speech_detectors(settings.sound_threshold_dbfs)
    from capture.triggers.sound import SoundTrigger

    return SoundTrigger(settings.sound_threshold_dbfs, settings.stop_after_silence_s, make_detector)
