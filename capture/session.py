"""A recording from beginning to end: the only place that wires.

::

    frame source ─ FrameGrabber ─▶ jobs ─▶ VideoTrack ─┐
                                                       ├─▶ packets ─▶ Muxer ─▶ file
    sound source ─ SoundGrabber ─▶ blocks ─▶ SoundTrack┘
        (several may share one track)

Each arrow is a bounded mailbox, each name between arrows a thread. All stamps come from one clock and count from one
epoch, which is set when every device is open. Commands come in by one queue; events go out by one callable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol

import av

from capture.clock import Clock, MonotonicClock
from capture.device_thread import DeviceThread
from capture.encoder import AudioEncoder, VideoEncoder
from capture.errors import CaptureError, NotReadyError, OutputError, RecordingError, SourceLostError, UsageError
from capture.events import (
    Answer,
    AudioSummary,
    Command,
    Event,
    EventSink,
    Progress,
    Request,
    Send,
    State,
    Summary,
    VideoSummary,
)
from capture.grabbers import FrameGrabber, FrameJob, SoundGrabber
from capture.interfaces import FrameSource, SampleSource
from capture.mailbox import Closed, Mailbox
from capture.media import SAMPLE_RATE, SILENCE_DBFS, Samples, peak_dbfs
from capture.muxer import Muxer
from capture.recordings.check import check
from capture.recordings.folder import candidates
from capture.settings import AudioTrack, RecordSettings, check_writable
from capture.sources.chooser import choose_frames, choose_sounds
from capture.timeline import Timeline
from capture.tracks import SoundTrack, VideoTrack
from capture.worker import Closable, Worker

__all__ = ["Session", "Trigger"]

#: How often the state of things is told.
PROGRESS_INTERVAL_S: Final = 0.2

#: Devices are found and opened within a tenth of a second each; a server that hangs must not make the recorder hang.
PREPARATION_LIMIT_S: Final = 12.0

#: Frames between grabbing and encoding: enough to ride out a hiccup of the encoder, few enough to bound the memory.
FRAMES_QUEUED: Final = 3

#: Blocks between a sound source and its encoder, a minute and more. Sound is never dropped.
BLOCKS_QUEUED: Final = 3_000

#: Frames and tenths of a second of sound between the encoders and the file: ten seconds and more of a stalled disk.
PACKETS_QUEUED: Final = 500

#: Events waiting to be told. A listener that hangs, as a terminal stopped by Ctrl+S does, misses progress and holds up
#: nothing.
EVENTS_QUEUED: Final = 256

#: How long the last events may take to be told, at the end.
EVENTS_END_S: Final = 1.0

#: A device that does not let go by then is left to itself; its thread ends with the process.
DEVICE_END_S: Final = 3.0


class Trigger(Protocol):
    """Something outside that gives commands: signals, keys."""

    def start(self, send: Send) -> None:
        """Begin to give commands. Raises `CaptureError` where that cannot work; the recording goes on without."""
        ...

    def stop(self) -> None:
        """Give no more; may be called twice."""
        ...


@dataclass(frozen=True, slots=True)
class _Failure:
    """The end of a worker, as the control loop hears of it."""

    worker: str
    error: BaseException


class _Prepared:
    """A step of the preparation is over, well or not."""


@dataclass(frozen=True, slots=True)
class _Sound:
    """One audio track: what was wanted, where it comes from, and how it is encoded."""

    wanted: AudioTrack
    sources: list[SampleSource]
    devices: list[DeviceThread]
    encoder: AudioEncoder

    @property
    def channels(self) -> int:
        return max(source.channels for source in self.sources)


class Session:
    """One recording: construct, `run` once; `send` commands from any thread, also before `run`.

    `emit` is called by one thread of its own; it may block or fail without harm to the recording. `on_recording` is
    called once by the thread of `run`, when the recording has begun: what it starts is in the file from the first.
    """

    def __init__(
        self,
        settings: RecordSettings,
        *,
        emit: EventSink = lambda event: None,
        triggers: Sequence[Trigger] = (),
        on_recording: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        self.settings = settings
        self.state = State.IDLE
        #: What ended the recording early, if anything did; what was recorded until then is in the file.
        self.error: CaptureError | None = None
        self._emit_outside = emit
        self._outbox: Mailbox[Event | Progress] = Mailbox(EVENTS_QUEUED)
        self._triggers = triggers
        self._on_recording = on_recording
        self._clock = clock or MonotonicClock()
        self._inbox: SimpleQueue[Request | _Failure | _Prepared] = SimpleQueue()
        self._events: list[Event] = []
        self._troubles: dict[str, str] = {}
        self._packets: Mailbox[tuple[int, list[av.Packet[Any]]]] = Mailbox(PACKETS_QUEUED)
        self._devices: list[DeviceThread] = []
        self._inlets: list[Closable] = []
        self._tracks: list[Worker] = []
        self._sound_tracks: list[SoundTrack] = []
        self._grabber: FrameGrabber | None = None
        self._frames: FrameSource | None = None
        self._screen: DeviceThread | None = None
        self._video: VideoEncoder | None = None
        self._said = ""
        self._sources: list[list[SampleSource]] = []
        self._sound_devices: list[list[DeviceThread]] = []
        self._sounds: list[_Sound] = []
        self._last_progress = (0.0, 0)

    def send(
        self,
        command: Command,
        given_by: str,
        *,
        at_s: float | None = None,
        text: str = "",
        answer: Answer | None = None,
    ) -> None:
        """Give a command; any thread, also a signal handler. `given_by` is what `stopped_by` will say."""
        self._inbox.put(Request(command, given_by, self._clock.now_s() if at_s is None else at_s, text, answer))

    def run(self) -> Summary | None:
        """Record, and return what became of it; None when it was stopped before it began, or discarded.

        Raises `UsageError` and `NotReadyError` before anything is touched, `OutputError` where the file cannot be made.
        A failure while recording raises nothing: the summary is that of what was kept, and `error` says what happened.
        """
        self.settings.check()
        teller = Worker("events", self._tell_outside)
        teller.start()
        try:
            return self._run()
        finally:
            self._outbox.close()
            teller.join(EVENTS_END_S)

    def _run(self) -> Summary | None:
        check_writable(self.settings.output)
        if not (self._attend(self._choose) and self._count_down()):
            return None
        try:
            if not self._attend(self._open):
                self._end_devices()
                return None
            muxer = self._make_muxer()
            try:
                self._begin(muxer)
            except BaseException:
                muxer.discard()
                raise
        except BaseException:
            self._end_devices()
            raise
        if self._said:
            self._tell("cropped", self._said)
        try:
            self._on_recording()
        except BaseException:
            # Nobody is watching what is recorded here, and whoever called hears why.
            self._finish(muxer)
            muxer.discard()
            raise
        stopped_by = self._carry_on(muxer)
        if stopped_by is None or muxer.is_empty:
            self.state = State.DISCARDED
            muxer.discard()
            return None
        if muxer.size_bytes() == 0 and self.error is None:
            self.error = OutputError(f"{muxer.path} is gone", "somebody removed it while it was being recorded")
        muxer.keep()
        self.state = State.FAILED if self.error else State.FINISHED
        return self._summary(muxer, stopped_by)

    # Beginning

    def _count_down(self) -> bool:
        """Wait for `delay_s`, telling how long is left; False when stopped meanwhile."""
        self.state = State.ARMED
        begins_at_s = self._clock.now_s() + self.settings.delay_s
        while (left_s := begins_at_s - self._clock.now_s()) > 0:
            self._emit(Progress(self.state, -left_s, 0))
            message = self._receive(min(left_s, PROGRESS_INTERVAL_S))
            if isinstance(message, Request) and message.command in (Command.STOP, Command.DISCARD):
                return False
        return True

    def _attend(self, step: Callable[[], None]) -> bool:
        """Run a step of the preparation in a thread of its own; False when a stop was asked for meanwhile.

        Raises what the step raised, and `NotReadyError` where a display or a sound server leaves it hanging.
        """
        worker = Worker("preparation", step, on_end=lambda: self._inbox.put(_Prepared()))
        worker.start()
        gives_up_at_s = self._clock.now_s() + PREPARATION_LIMIT_S
        while (left_s := gives_up_at_s - self._clock.now_s()) > 0:
            message = self._receive(left_s)
            if isinstance(message, _Prepared):
                if worker.error is not None:
                    raise worker.error
                return not self._stop_is_waiting()
            if isinstance(message, Request) and message.command in (Command.STOP, Command.DISCARD):
                return False
        raise NotReadyError("the display or the sound server does not answer", "see capture doctor")

    def _stop_is_waiting(self) -> bool:
        while (message := self._receive(0.0)) is not None:
            if isinstance(message, Request) and message.command in (Command.STOP, Command.DISCARD):
                return True
        return False

    def _choose(self) -> None:
        self._frames, self._said = choose_frames(self.settings, self._clock)
        self._sources = choose_sounds(self.settings.audio, self.settings, self._clock)

    def _open(self) -> None:
        """Open every device at once, then the encoders; raises the first failure."""
        if self._frames is not None:
            self._screen = DeviceThread("screen", self._frames, self._hear_failure)
            self._devices.append(self._screen)
        for sources in self._sources:
            devices = [DeviceThread(f"sound {source.name}", source, self._hear_failure) for source in sources]
            self._sound_devices.append(devices)
            self._devices += devices
        for device in self._devices:
            device.open()
        for device in self._devices:
            device.await_opened()
        settings, container = self.settings, self.settings.container
        if self._frames is not None and container.video_codec is not None:
            self._video = VideoEncoder(
                container.video_codec,
                self._frames.width,
                self._frames.height,
                settings.fps,
                scale=settings.scale,
                quality=settings.quality,
                encoder=settings.encoder,
            )
        for wanted, sources, devices in zip(settings.audio, self._sources, self._sound_devices, strict=True):
            encoder = AudioEncoder(container.audio_codec, max(source.channels for source in sources))
            self._sounds.append(_Sound(wanted, sources, devices, encoder))

    def _make_muxer(self) -> Muxer:
        """The file; where its name was not chosen by a person, the next that is free."""
        settings = self.settings
        if not settings.numbered:
            return Muxer(settings.output, settings.container, overwrite=settings.overwrite)
        for path in candidates(settings.output):
            with suppress(UsageError):
                return Muxer(path, settings.container)
        raise AssertionError("candidates never end")

    def _begin(self, muxer: Muxer) -> None:
        """Set the epoch and let every thread go: from here on it is being recorded."""
        audio = [sound.encoder.template for sound in self._sounds]
        muxer.start(audio if self._video is None else [self._video.template, *audio])
        self._timeline = Timeline(self._clock.now_s(), self.settings.duration_s or math.inf)
        if self._video is not None and self._screen is not None and self._frames is not None:
            self._begin_picture(self._screen, self._frames, self._video)
        for sound in self._sounds:
            self._begin_sound(sound)
        self._mux_worker = Worker(
            "muxer", lambda: self._mux(muxer), closes=[self._packets], on_failure=self._hear_failure
        )
        self._mux_worker.start()
        for track in self._tracks:
            track.start()
        self.state = State.RECORDING

    def _begin_picture(self, device: DeviceThread, source: FrameSource, encoder: VideoEncoder) -> None:
        jobs: Mailbox[FrameJob] = Mailbox(FRAMES_QUEUED)
        self._grabber = FrameGrabber(
            source, self._timeline, jobs, self._clock, self.settings.fps, constant=self.settings.constant_fps
        )
        track = VideoTrack(encoder, jobs, self._deliver_to(0), self.settings.fps)
        self._add_track("video encoder", track.run, jobs)
        device.begin(self._timeline.epoch_s, self._grabber)

    def _begin_sound(self, sound: _Sound) -> None:
        blocks: Mailbox[tuple[int, Samples]] = Mailbox(BLOCKS_QUEUED)
        number = len(self._sound_tracks) + (self._video is not None)
        track = SoundTrack(
            sound.wanted.name,
            [source.channels for source in sound.sources],
            sound.encoder,
            self._timeline,
            blocks,
            self._deliver_to(number),
            self._clock,
            self._record_event,
        )
        self._sound_tracks.append(track)
        self._add_track(f"sound encoder {track.name}", track.run, blocks)
        for index, (source, device) in enumerate(zip(sound.sources, sound.devices, strict=True)):
            grabber = SoundGrabber(source, index, self._timeline, blocks, self._clock)
            device.begin(self._timeline.epoch_s, grabber)

    def _add_track(self, name: str, work: Callable[[], None], inlet: Closable) -> None:
        self._inlets.append(inlet)
        self._tracks.append(Worker(name, work, closes=[inlet], on_failure=self._hear_failure))

    def _deliver_to(self, track: int) -> Callable[[list[av.Packet[Any]]], None]:
        def deliver(packets: list[av.Packet[Any]]) -> None:
            if packets:
                self._packets.put((track, packets))

        return deliver

    def _mux(self, muxer: Muxer) -> None:
        """The muxer's thread, the only one that touches the file until it ends."""
        try:
            while True:
                track, packets = self._packets.get()
                for packet in packets:
                    muxer.write(track, packet)
        finally:
            muxer.close()

    def _start_triggers(self) -> None:
        for trigger in self._triggers:
            try:
                trigger.start(self.send)
            except CaptureError as error:
                self._tell("no_hotkeys", str(error))

    # While it goes on

    def _carry_on(self, muxer: Muxer) -> str | None:
        """Record until something ends it, and finish the file; return what ended it, None for a discard."""
        try:
            self._start_triggers()
            return self._control(muxer)
        finally:
            self._finish(muxer)
            for trigger in self._triggers:
                trigger.stop()

    def _control(self, muxer: Muxer) -> str | None:
        """Obey commands and tell how it goes until the end; return what ended it, None for a discard."""
        while True:
            now_s = self._clock.now_s()
            stop_s = self._timeline.stop_s
            if now_s >= stop_s:
                return "duration"
            message = self._receive(max(0.0, min(PROGRESS_INTERVAL_S, stop_s - now_s)))
            if isinstance(message, _Failure):
                self._note_failure(message)
                return "failed"
            if message is None or isinstance(message, _Prepared):
                self._tell_progress(muxer)
            elif message.command is Command.STOP:
                self._timeline.stop(message.at_s)
                return message.given_by
            elif message.command is Command.DISCARD:
                return None
            else:
                self._set_paused(message)

    def _set_paused(self, request: Request) -> None:
        paused = self.state is State.PAUSED
        if request.command is Command.PAUSE or (request.command is Command.TOGGLE_PAUSE and not paused):
            self._timeline.pause(request.at_s)
            self.state = State.PAUSED
        else:
            self._timeline.resume(request.at_s)
            self.state = State.RECORDING
        for device in self._devices:
            device.wake()

    def _receive(self, timeout_s: float) -> Request | _Failure | _Prepared | None:
        with suppress(Empty):
            return self._inbox.get(timeout=timeout_s)
        return None

    def _hear_failure(self, worker: str, error: BaseException) -> None:
        self._inbox.put(_Failure(worker, error))

    def _note_failure(self, failure: _Failure) -> None:
        if self.error is not None:
            return
        error = failure.error
        if isinstance(error, CaptureError):
            self.error = error
        else:
            self.error = RecordingError(f"the {failure.worker} failed ({type(error).__name__}: {error})")
        self.error.__cause__ = error
        self._tell("device_lost" if isinstance(error, SourceLostError) else "failed", str(self.error))

    def _emit(self, event: Event | Progress) -> None:
        with suppress(Closed):
            self._outbox.offer(event)

    def _tell_outside(self) -> None:
        """The thread that tells events; a listener that fails is told nothing more."""
        while True:
            event = self._outbox.get()
            try:
                self._emit_outside(event)
            except Exception:
                self._emit_outside = lambda event: None

    def _tell(self, kind: str, detail: str) -> None:
        self._record_event(Event(kind, self._timeline.media_s(self._clock.now_s()), detail))

    def _record_event(self, event: Event) -> None:
        self._events.append(event)
        self._emit(event)

    def _tell_progress(self, muxer: Muxer) -> None:
        elapsed_s = self._timeline.media_s(self._clock.now_s())
        levels = tuple(track.level() for track in self._sound_tracks)
        for level in levels if self.state is State.RECORDING else ():
            before = self._troubles.get(level.source, "")
            if level.trouble != before:
                self._troubles[level.source] = level.trouble
                self._tell("silent" if level.trouble else "sound", f"{level.source}: {level.trouble or 'heard again'}")
        frames = self._grabber.frames if self._grabber else 0
        before_s, frames_before = self._last_progress
        self._last_progress = (elapsed_s, frames)
        self._emit(
            Progress(
                self.state,
                elapsed_s,
                muxer.size_bytes(),
                self._video.width if self._video else 0,
                self._video.height if self._video else 0,
                (frames - frames_before) / max(elapsed_s - before_s, PROGRESS_INTERVAL_S),
                self._grabber.dropped if self._grabber else 0,
                levels,
            )
        )

    # Ending

    def _end_devices(self) -> None:
        for device in self._devices:
            device.wake()
        for device in self._devices:
            device.join(DEVICE_END_S)

    def _finish(self, muxer: Muxer) -> None:
        """Let what is under way reach the file, stage by stage from the devices on, and close it."""
        self._timeline.stop(self._clock.now_s())
        self.state = State.FINISHING
        self._emit(Progress(self.state, self._timeline.media_s(self._timeline.stop_s), muxer.size_bytes()))
        self._end_devices()
        for inlet in self._inlets:
            inlet.close()
        for track in self._tracks:
            track.join()
        self._packets.close()
        self._mux_worker.join()
        while (message := self._receive(0.0)) is not None:
            if isinstance(message, _Failure):
                self._note_failure(message)

    def _summary(self, muxer: Muxer, stopped_by: str) -> Summary:
        stop_s = self._timeline.stop_s
        report = check(muxer.path, listen=False) if muxer.size_bytes() else None
        found = next(iter(report.problems), "ok") if report else "nothing was recorded"
        return Summary(
            path=str(muxer.path),
            container=self.settings.output.suffix[1:].lower(),
            duration_s=max((stream.duration_s for stream in report.streams), default=0.0) if report else 0.0,
            size_bytes=muxer.size_bytes(),
            video=self._video_summary(),
            audio=tuple(map(self._audio_summary, self._sounds, self._sound_tracks)),
            paused_s=self._timeline.paused_s(stop_s),
            events=tuple(self._events),
            stopped_by=stopped_by,
            check=found,
        )

    def _video_summary(self) -> VideoSummary | None:
        if self._video is None or self._grabber is None:
            return None
        return VideoSummary(
            self._video.codec,
            self._video.encoder,
            self._video.width,
            self._video.height,
            self._grabber.frames,
            self._grabber.unchanged,
            self._grabber.dropped,
        )

    def _audio_summary(self, sound: _Sound, track: SoundTrack) -> AudioSummary:
        level = peak_dbfs(track.peak)
        return AudioSummary(
            source=track.name,
            device="+".join(source.device for source in sound.sources),
            codec=sound.encoder.codec,
            sample_rate=SAMPLE_RATE,
            channels=sound.channels,
            duration_s=sound.encoder.duration_s,
            inserted_silence_s=track.inserted_silence_s,
            drift_ppm=track.drift_ppm,
            peak_dbfs=level,
            silent=level <= SILENCE_DBFS,
        )
