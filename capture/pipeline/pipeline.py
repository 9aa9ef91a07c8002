"""Connects the threads of one recording: grabbers, tracks and encoders on one timeline.

::

    frame source ─ FrameGrabber ─▶ jobs ─▶ VideoTrack ─┐
                                                       ├─▶ packets
    sound source ─ SoundGrabber ─▶ blocks ─▶ SoundTrack┘
        (several may share one track)

Each arrow is a bounded mailbox, and each class name is a thread. All timestamps are on one clock and count from one
epoch.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from capture.clock import Clock
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.null_container import StreamCopy
from capture.events import AudioSummary, Event, Level, VideoSummary
from capture.media import SILENCE_DBFS, peak_dbfs
from capture.pipeline.devices import DeviceSet, SoundInput
from capture.pipeline.sound_grabber import Heard, SoundGrabber
from capture.pipeline.sound_track import SoundTrack
from capture.settings.audio_tracks import AudioTrack
from capture.settings.bounds import MIN_PICTURE_SIDE
from capture.settings.record_settings import RecordSettings
from capture.sources.protocols import FrameSource
from capture.threads.mailbox import Closed, Mailbox
from capture.threads.worker import Closable, Worker
from capture.timing.timeline import Timeline

if TYPE_CHECKING:
    import av
    from av.stream import Stream

    from capture.codecs.video_encoder import VideoEncoder
    from capture.pipeline.frame_grabber import FrameGrabber, FrameJob

__all__ = ["Pipeline"]

#: Frames queued for the encoder, at least and at most: enough to spread the frames over the time when the encoder stops
#: for a while. Between the two, memory decides: a frame takes 3 MB at 1080p, so there are 7.
LEAST_FRAMES_QUEUED: Final = 2
MOST_FRAMES_QUEUED: Final = 8
BYTES_QUEUED: Final = 24_000_000

#: Blocks queued for a sound encoder, more than a minute. Sound is never dropped.
BLOCKS_QUEUED: Final = 3_000

#: How long to wait for sound devices that hang, and for the screen, to end their take. If the display hangs, nothing is
#: lost: the last picture is extended.
TAKE_END_S: Final = 5.0
PICTURE_END_S: Final = 1.0


class _Sound(NamedTuple):
    """One audio track: its settings, its inputs and its encoder."""

    wanted: AudioTrack
    inputs: list[SoundInput]
    encoder: AudioEncoder


class _Slots(NamedTuple):
    """How many slots of the picture got a frame, were unchanged, and were dropped."""

    frames: int = 0
    unchanged: int = 0
    dropped: int = 0


class Pipeline:
    """The stages of one recording of `inputs`, which must be open. The constructor opens the encoders; `begin` starts.

    `deliver` gets the number of a track, its index in `templates`, and packets; each track calls it from its own
    thread. Any of the threads calls `record_event`, with events in media time, and `on_failure`.
    """

    def __init__(
        self,
        inputs: DeviceSet,
        settings: RecordSettings,
        clock: Clock,
        deliver: Callable[[int, list[av.Packet[Any]]], None],
        *,
        on_failure: Callable[[str, BaseException], None],
        record_event: Callable[[Event], None],
    ) -> None:
        """Raises `NotReadyError` when an encoder cannot be opened."""
        self._inputs = inputs
        self._settings = settings
        self._clock = clock
        self._deliver = deliver
        self._on_failure = on_failure
        self._record_event = record_event
        container = settings.container
        self._video: VideoEncoder | None = None
        #: The video encoder in use and why it was chosen; "" without a choice.
        self.encoder_choice = ""
        if inputs.frames is not None and container.video_codec is not None:
            self._video = self._video_encoder(inputs.frames, container.video_codec)
        self._sounds = [
            _Sound(wanted, track, _audio_encoder(settings, track))
            for wanted, track in zip(settings.audio, inputs.sounds, strict=True)
        ]
        self._grabber: FrameGrabber | None = None
        self.has_begun = False
        # The slots before counting began.
        self._uncounted = _Slots()
        self._sound_tracks: list[SoundTrack] = []
        self._inlets: list[Closable] = []
        self._tracks: list[Worker] = []
        self._picture_ended = threading.Event()
        self._takes: list[tuple[threading.Event, SoundGrabber]] = []

    def _video_encoder(self, source: FrameSource, codec: str) -> VideoEncoder:
        # Imported here: sound alone does without what records a picture, which takes 4 ms to load.
        from capture.codecs.encoder_choice import choose_encoder
        from capture.codecs.video_encoder import VideoEncoder

        settings = self._settings
        scale = settings.scale
        if scale is not None and not settings.stretch:
            scale = _fitted(scale, source.width, source.height)
        size = scale or (source.width, source.height)
        name, self.encoder_choice = choose_encoder(codec, settings.encoder, *size, settings.fps)
        return VideoEncoder(
            codec,
            source.width,
            source.height,
            settings.fps,
            scale=scale,
            quality=settings.quality,
            encoder=name,
            cuttable=settings.replay_s is not None,
            constant_fps=settings.constant_fps,
        )

    @property
    def templates(self) -> list[Stream]:
        """The streams from which a muxer makes its tracks: the picture first, if there is one, then the sound."""
        audio: list[Stream] = [sound.encoder.template for sound in self._sounds]
        return audio if self._video is None else [self._video.template, *audio]

    @property
    def stream_copies(self) -> list[StreamCopy]:
        """Copies of the `templates` that can be used after the encoders are closed."""
        audio = [StreamCopy(sound.encoder.template) for sound in self._sounds]
        return audio if self._video is None else [self._video.stream_copy, *audio]

    @property
    def has_picture(self) -> bool:
        return self._video is not None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the encoded picture; (0, 0) without one."""
        return (self._video.width, self._video.height) if self._video is not None else (0, 0)

    @property
    def frames(self) -> int:
        """Frames taken since counting began."""
        return self._slots().frames - self._uncounted.frames

    @property
    def dropped(self) -> int:
        """Slots dropped since counting began because the machine was too slow."""
        return self._slots().dropped - self._uncounted.dropped

    def _slots(self) -> _Slots:
        grabber = self._grabber
        return _Slots() if grabber is None else _Slots(grabber.frames, grabber.unchanged, grabber.dropped)

    def levels(self) -> tuple[Level, ...]:
        """Return the level of each audio track since the last call. Only one thread may call this."""
        return tuple(track.level() for track in self._sound_tracks)

    def begin(self, epoch_s: float, duration_s: float = math.inf) -> None:
        """Set the epoch and start every thread. The epoch may be in the past, as far back as the sound was kept."""
        self.timeline = Timeline(epoch_s, duration_s)
        self.has_begun = True
        try:
            if self._video is not None:
                self._begin_picture(self._video)
            for sound in self._sounds:
                self._begin_sound(sound)
            self._inputs.begin(epoch_s)
            for track in self._tracks:
                track.start()
        except BaseException:
            # As when the system starts no more threads: those that were started end.
            for inlet in self._inlets:
                inlet.close()
            for track in self._tracks:
                track.join()
            self._close_encoders()
            raise

    def _begin_picture(self, encoder: VideoEncoder) -> None:
        from capture.pipeline.frame_grabber import FrameGrabber
        from capture.pipeline.video_track import VideoTrack

        source, device = self._inputs.frames, self._inputs.screen
        assert source is not None  # noqa: S101 - there is an encoder for it
        assert device is not None  # noqa: S101
        jobs: Mailbox[FrameJob] = Mailbox(_frames_queued(source))
        self._grabber = FrameGrabber(
            source,
            encoder.parts,
            self.timeline,
            jobs,
            self._clock,
            self._settings.fps,
            constant=self._settings.constant_fps,
            report=self._record_event,
        )
        track = VideoTrack(encoder, jobs, self._deliver_to(0), self._settings.fps)
        self._add_track("video encoder", track.run, jobs)
        self._picture_ended = device.begin(self.timeline.epoch_s, self._grabber)

    def _begin_sound(self, sound: _Sound) -> None:
        blocks: Mailbox[tuple[int, Heard]] = Mailbox(BLOCKS_QUEUED)
        number = len(self._sound_tracks) + (self._video is not None)
        track = SoundTrack(
            sound.wanted.name,
            [item.source.channels for item in sound.inputs],
            sound.encoder,
            self.timeline,
            blocks,
            self._deliver_to(number),
            self._clock,
            self._record_event,
            history_s=self._settings.replay_s or 0.0,
        )
        self._sound_tracks.append(track)
        self._add_track(f"sound encoder {track.name}", track.run, blocks)
        for index, item in enumerate(sound.inputs):
            self._takes.append((item.grabber.begin_take(self.timeline, _labelled(blocks, index)), item.grabber))

    def _add_track(self, name: str, work: Callable[[], None], inlet: Closable) -> None:
        self._inlets.append(inlet)
        self._tracks.append(Worker(name, work, closes=[inlet], on_failure=self._on_failure))

    def _deliver_to(self, track: int) -> Callable[[list[av.Packet[Any]]], None]:
        return partial(self._deliver, track)

    def wake(self) -> None:
        """Make every thread check the timeline again, which was paused, resumed or stopped."""
        if self._grabber is not None:
            self._grabber.wake()
        self._wake_sounds()

    def _wake_sounds(self) -> None:
        for sound in self._sounds:
            for item in sound.inputs:
                item.grabber.wake()

    def flush(self) -> None:
        """Make everything captured so far come out soon: repeat a still picture, and deliver partly filled blocks."""
        if self._grabber is not None:
            self._grabber.repeat_now()
        self._wake_sounds()

    def begin_count(self, from_s: float) -> None:
        """Count frames from now on, and inserted silence and peaks from the media time `from_s` on."""
        self._uncounted = self._slots()
        for track in self._sound_tracks:
            track.begin_count(from_s)

    def finish(self) -> None:
        """Encode everything captured before the timeline's stop, then end the tracks."""
        self.wake()
        for ended, grabber in self._takes:
            _await_end(ended, grabber)
        if self._grabber is not None:
            self._picture_ended.wait(PICTURE_END_S)
            # The encoder's thread may have failed and closed its mailbox.
            with suppress(Closed):
                self._grabber.conclude()
        for inlet in self._inlets:
            inlet.close()
        for track in self._tracks:
            track.join()

    def close(self) -> None:
        """Close the encoders of a pipeline that never began; the tracks of one that did close theirs."""
        if not self.has_begun:
            self._close_encoders()

    def _close_encoders(self) -> None:
        for encoder in (self._video, *(sound.encoder for sound in self._sounds)):
            if encoder is not None:
                encoder.close()

    def video_summary(self) -> VideoSummary | None:
        if self._video is None or self._grabber is None:
            return None
        return VideoSummary(
            codec=self._video.codec,
            encoder=self._video.encoder,
            width=self._video.width,
            height=self._video.height,
            frames=self.frames,
            unchanged=self._grabber.unchanged - self._uncounted.unchanged,
            dropped=self.dropped,
            encoder_choice=self.encoder_choice or None,
        )

    def video_between(self, from_s: float, to_s: float, frames: int) -> VideoSummary | None:
        """Summarise the picture between two media times, with that many frames."""
        whole = self.video_summary()
        if whole is None:
            return None
        lost = self._grabber.dropped_between(from_s, to_s) if self._grabber is not None else 0
        unchanged = max(0, round((to_s - from_s) * self._settings.fps) - frames - lost)
        return replace(whole, frames=frames, unchanged=unchanged, dropped=lost)

    def audio_between(self, from_s: float, to_s: float) -> tuple[AudioSummary, ...]:
        """Summarise the sound between two media times."""
        found = []
        for summary, track in zip(self.audio_summaries(to_s - from_s), self._sound_tracks, strict=True):
            peak, inserted_s = track.between(from_s, to_s)
            level = peak_dbfs(peak)
            silent = level <= SILENCE_DBFS
            found.append(
                replace(
                    summary,
                    peak_dbfs=level,
                    silent=silent,
                    inserted_silence_s=inserted_s,
                    silent_because=(track.muffled_by or None) if silent else None,
                )
            )
        return tuple(found)

    def audio_summaries(self, duration_s: float) -> tuple[AudioSummary, ...]:
        """Summarise each audio track; reports at most `duration_s` as its duration."""
        tracks = zip(self._sounds, self._sound_tracks, strict=True)
        return tuple(self._audio_summary(sound, track, duration_s) for sound, track in tracks)

    def _audio_summary(self, sound: _Sound, track: SoundTrack, duration_s: float) -> AudioSummary:
        level = peak_dbfs(track.peak)
        return AudioSummary(
            source=track.name,
            device="+".join(item.source.device for item in sound.inputs),
            codec=sound.encoder.codec,
            sample_rate=sound.encoder.sample_rate,
            channels=sound.encoder.channels,
            duration_s=min(sound.encoder.duration_s, duration_s),
            inserted_silence_s=track.inserted_silence_s,
            drift_ppm=track.drift_ppm,
            peak_dbfs=level,
            silent=level <= SILENCE_DBFS,
            silent_because=(track.muffled_by or None) if level <= SILENCE_DBFS else None,
        )


def _frames_queued(source: FrameSource) -> int:
    fitting = 2 * BYTES_QUEUED // (3 * source.width * source.height)
    return max(LEAST_FRAMES_QUEUED, min(fitting, MOST_FRAMES_QUEUED))


def _audio_encoder(settings: RecordSettings, track: list[SoundInput]) -> AudioEncoder:
    channels = max(item.source.channels for item in track)
    return AudioEncoder(settings.container.audio_codec, channels, voice=settings.voice)


def _await_end(ended: threading.Event, grabber: SoundGrabber) -> None:
    """Wait until a source has delivered the sound from before the stop, for as long as it is still being read.

    A machine that is too slow may be seconds behind.
    """
    before = -1
    while not ended.wait(TAKE_END_S) and grabber.reads != before:
        before = grabber.reads


def _labelled(blocks: Mailbox[tuple[int, Heard]], number: int) -> Callable[[Heard], None]:
    """Return a function that passes on what a source hears with its number in the track."""
    return lambda heard: blocks.put((number, heard))


def _fitted(scale: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Return the largest size within `scale` that has the shape of the picture, in even numbers."""
    factor = min(scale[0] / width, scale[1] / height)
    return _even(width * factor), _even(height * factor)


def _even(side: float) -> int:
    return max(MIN_PICTURE_SIDE, 2 * round(side / 2))
