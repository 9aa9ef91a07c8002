"""The threads between the grabbers and the muxer: each turns what one track is made of into packets.

A `VideoTrack` converts and encodes frames. A `SoundTrack` puts the blocks of one or several sources onto the timeline,
mixes them, meters them and encodes the result. Their `run` is the work of a worker; the counters may be read by any
thread while it goes on.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from capture.clock import Clock
from capture.events import Event, Level
from capture.grabbers import FrameJob
from capture.ledger import HOLE, NO_DATA
from capture.mailbox import Closed, Mailbox
from capture.media import SAMPLE_RATE, SILENCE_DBFS, SampleArray, Samples, peak_dbfs
from capture.timeline import SampleTimeline, Timeline, grid_pts

if TYPE_CHECKING:
    import av

    from capture.encoder import VideoEncoder
    from capture.sound_encoder import AudioEncoder

__all__ = ["SoundTrack", "VideoTrack"]

#: Takes packets to the muxer, several at once: each handing over wakes a thread.
PacketSink = Callable[[list["av.Packet[Any]"]], None]

#: How often a track looks whether one of its sources delivers nothing.
_TICK_S: Final = 0.3

#: A tick this late means that this process did not run either (it was stopped, or the machine slept), and that sound
#: may be waiting: it is no proof of a silent device.
_LATE_TICK_S: Final = 0.6

#: Above this a mix is bent instead of clipped, so that two loud sources add up without crackling.
_KNEE: Final = 0.8

#: How many samples are mixed and encoded at once: a gap of hours must not need the memory of hours.
_PIECE: Final = SAMPLE_RATE

#: How long a track may be silent before it is said, pauses not counted.
SILENT_AFTER_S: Final = 5.0


class VideoTrack:
    """Encodes the frames of one picture; on a constant grid of `fps`, also those that nobody had the time to grab."""

    def __init__(self, encoder: VideoEncoder, jobs: Mailbox[FrameJob], deliver: PacketSink, fps: float) -> None:
        self._encoder = encoder
        self._jobs = jobs
        self._deliver = deliver
        self._fps = fps
        self._next_slot = 0

    def run(self) -> None:
        while True:
            try:
                job = self._jobs.get()
            except Closed:
                break
            if job.slot is not None:
                for slot in range(self._next_slot, job.slot):
                    self._encode(FrameJob(grid_pts(slot, self._fps), None, job.duration))
                self._next_slot = job.slot + 1
            self._encode(job)
        self._deliver(self._encoder.finish())

    def _encode(self, job: FrameJob) -> None:
        encoder, pixels = self._encoder, job.pixels
        packets = encoder.repeat(job.pts) if pixels is None else encoder.encode(pixels, job.pts, job.left, job.top)
        if job.duration is not None:
            for packet in packets:
                packet.duration = job.duration
        self._deliver(packets)


class SoundTrack:
    """Encodes the sound of one track, mixed from the sources that send into `blocks` under their number."""

    def __init__(
        self,
        name: str,
        channels: Sequence[int],
        encoder: AudioEncoder,
        timeline: Timeline,
        blocks: Mailbox[tuple[int, Samples]],
        deliver: PacketSink,
        clock: Clock,
        emit: Callable[[Event], None],
        *,
        history_s: float = 0.0,
    ) -> None:
        self.name = name
        self._history_s = history_s
        self._history: deque[_Piece] = deque()
        self._remembered_s = 0.0
        self._channels = max(channels)
        self._encoder = encoder
        self._timeline = timeline
        self._blocks = blocks
        self._deliver = deliver
        self._clock = clock
        self._emit = emit
        self._channels_of = tuple(channels)
        # By the number of the source and the lane. One of each source is there from the beginning.
        self._lanes = {(number, 0): _Lane(timeline, count) for number, count in enumerate(channels)}
        # Samples sent to the encoder.
        self._sent = 0
        # Silence inserted before counting began.
        self._uncounted_s = 0.0
        self._meter = _Meter(timeline.epoch_s)

    @property
    def inserted_silence_s(self) -> float:
        """Seconds of silence standing in for missing sound since counting began, in the source that misses most.

        Of a source with several lanes it is what is left when each has sounded alone: less, where they overlap.
        """
        return max(0.0, self._missing_s() - self._uncounted_s)

    def _missing_s(self) -> float:
        """The same since the beginning."""
        lanes, sent_s = tuple(self._lanes.items()), self._sent / SAMPLE_RATE
        missing_s = []
        for number in range(len(self._channels_of)):
            own = [lane for (source, _), lane in lanes if source == number]
            heard_s = sum(lane.heard_s for lane in own)
            missing_s.append(own[0].part.inserted_silence_s if len(own) == 1 else max(0.0, sent_s - heard_s))
        return max(missing_s)

    @property
    def drift_ppm(self) -> float:
        """The drift of the source that drifts most."""
        return max((lane.part.drift_ppm for lane in tuple(self._lanes.values())), key=abs)

    @property
    def peak(self) -> float:
        """The largest absolute sample since counting began."""
        return self._meter.peak

    def begin_count(self, from_s: float) -> None:
        """Count inserted silence, and look for the peak, from `from_s` in media time on, as far as is remembered."""
        peak, inserted_s = self.between(from_s, math.inf)
        self._uncounted_s = self._missing_s() - inserted_s
        self._meter.begin_again(peak, self._clock.now_s())

    def between(self, from_s: float, to_s: float) -> tuple[float, float]:
        """The largest absolute sample, and the seconds of inserted silence, between two moments of media time.

        Only as far back as `history_s` reaches.
        """
        # A copy, made at once: the track goes on meanwhile.
        pieces = [piece for piece in tuple(self._history) if from_s < piece.end_s <= to_s]
        inserted_s = sum(piece.inserted_s for piece in pieces)
        return max((piece.peak for piece in pieces), default=0.0), max(0.0, inserted_s)

    def level(self) -> Level:
        """How loud the track was since the last call, and what is the matter with it. For one caller."""
        trouble = ""
        if self._recorded_s_since(self._meter.sound_at_s) >= SILENT_AFTER_S:
            heard_at_s = max(lane.heard_at_s for lane in tuple(self._lanes.values()))
            delivering = self._recorded_s_since(heard_at_s) < SILENT_AFTER_S
            trouble = "nothing is playing" if delivering else "no data"
        return Level(self.name, peak_dbfs(self._meter.take_recent()), trouble)

    def _recorded_s_since(self, at_s: float) -> float:
        return self._timeline.media_s(self._clock.now_s()) - self._timeline.media_s(at_s)

    def run(self) -> None:
        ticked_at_s = waiting_since_s = self._clock.now_s()
        while True:
            try:
                number, samples = self._blocks.get(_TICK_S)
            except TimeoutError:
                now_s = self._clock.now_s()
            except Closed:
                break
            else:
                now_s = self._clock.now_s()
                self._lane(number, samples.lane).take_in(samples, now_s)
            # Also while blocks come: they may all be another source's.
            if now_s - ticked_at_s >= _TICK_S:
                if now_s - ticked_at_s > _LATE_TICK_S:
                    waiting_since_s = now_s
                ticked_at_s = now_s
                self._starve(now_s, waiting_since_s)
            self._encode(now_s)
        self._finish()

    def _lane(self, number: int, lane: int) -> _Lane:
        """The lane of a source; a new one has no part in what was sent already."""
        found = self._lanes.get((number, lane))
        if found is None:
            found = self._lanes[number, lane] = _Lane(self._timeline, self._channels_of[number], self._sent)
        return found

    def _starve(self, now_s: float, waiting_since_s: float) -> None:
        """Write silence for the lanes that have delivered nothing for a while."""
        for lane in self._lanes.values():
            if now_s - max(lane.heard_at_s, waiting_since_s) >= 2 * _TICK_S:
                lane.part.starve(now_s)

    def _encode(self, now_s: float) -> None:
        self._tell_gaps()
        self._send_ready(now_s, min)

    def _tell_gaps(self) -> None:
        for (_, number), lane in self._lanes.items():
            for at_s, length_s in lane.part.holes():
                detail = f"{self.name}: {length_s:.3f} s of sound were missing"
                self._emit(Event(HOLE, at_s, detail, at_s + length_s))
            # The other lanes come and go.
            for from_s, to_s in lane.part.silences() if number == 0 else ():
                self._emit(Event(NO_DATA, from_s, f"{self.name}: nothing was delivered", to_s))

    def _finish(self) -> None:
        for lane in self._lanes.values():
            lane.part.finish()
        self._tell_gaps()
        self._send_ready(math.inf, max)
        self._deliver(self._encoder.finish())

    def _send_ready(self, until_s: float, choose: Callable[[Iterable[int]], int]) -> None:
        """Send what is ready, piece by piece, as far as the shortest or the longest part goes, as `choose` has it."""
        while True:
            for lane in self._lanes.values():
                lane.fill(until_s)
            count = choose(len(lane.waiting) for lane in self._lanes.values())
            if count == 0:
                return
            self._send(count)

    def _send(self, count: int) -> None:
        mixed = _mix([lane.give(count) for lane in self._lanes.values()], count, self._channels)
        self._sent += count
        peak = self._meter.observe(mixed, self._clock.now_s())
        if self._history_s:
            missing_s = self._missing_s()
            self._remember(_Piece(self._sent / SAMPLE_RATE, peak, missing_s - self._remembered_s))
            self._remembered_s = missing_s
        self._deliver(self._encoder.encode(mixed))

    def _remember(self, piece: _Piece) -> None:
        self._history.append(piece)
        while self._history[0].end_s < piece.end_s - self._history_s:
            self._history.popleft()


class _Piece(NamedTuple):
    """A stretch of the track: where it ends, its peak, and the silence inserted in it."""

    end_s: float
    peak: float
    inserted_s: float


class _Lane:
    """One of the things that a source hears, and how much of it waits to be mixed."""

    def __init__(self, timeline: Timeline, channels: int, taken: int = 0) -> None:
        self.part = SampleTimeline(timeline, channels, taken)
        self.waiting: SampleArray = np.zeros((0, channels), np.float32)
        self.heard_at_s = timeline.epoch_s
        self._filled = 0

    @property
    def heard_s(self) -> float:
        """Seconds of what was taken that the source delivered."""
        return self._filled / SAMPLE_RATE - self.part.inserted_silence_s

    def take_in(self, samples: Samples, now_s: float) -> None:
        """Put a block in its place; one without samples says that the next begins anew."""
        self.heard_at_s = now_s
        if len(samples.data):
            self.part.push(samples)
        else:
            self.part.interrupt()

    def fill(self, until_s: float) -> None:
        """Have what is ready up to `until_s` wait, at most a piece."""
        samples = self.part.take(until_s, _PIECE - len(self.waiting))
        if len(samples):
            self.waiting = np.concatenate((self.waiting, samples))
            self._filled += len(samples)

    def give(self, count: int) -> SampleArray:
        """The first `count` samples that wait, or as many as there are."""
        given, self.waiting = self.waiting[:count], self.waiting[count:]
        return given


def _mix(parts: Sequence[SampleArray], count: int, channels: int) -> SampleArray:
    """The sum of the parts as float32 (count, channels); mono sounds in every channel, a short part ends early."""
    if len(parts) == 1:
        return parts[0]
    total = np.zeros((count, channels), np.float32)
    sounding = [part for part in parts if part.any()]
    for part in sounding:
        total[: len(part)] += part
    if len(sounding) < 2:
        return total
    loud = np.abs(total) > _KNEE
    if loud.any():
        room = 1.0 - _KNEE
        total[loud] = np.sign(total[loud]) * (_KNEE + room * np.tanh((np.abs(total[loud]) - _KNEE) / room))
    return total


class _Meter:
    """The peak of a track, overall and since somebody last looked."""

    def __init__(self, epoch_s: float) -> None:
        self.peak = 0.0
        self.sound_at_s = epoch_s
        # Since somebody last looked, None where nothing came; and what was seen then.
        self._recent: float | None = None
        self._seen = 0.0
        self._lock = threading.Lock()

    def observe(self, samples: SampleArray, now_s: float) -> float:
        """Take the next samples in, and return their peak."""
        peak = max(float(samples.max()), -float(samples.min()))
        with self._lock:
            self.peak = max(self.peak, peak)
            self._recent = max(self._recent or 0.0, peak)
        if peak_dbfs(peak) > SILENCE_DBFS:
            self.sound_at_s = now_s
        return peak

    def begin_again(self, peak: float, now_s: float) -> None:
        with self._lock:
            self.peak = peak
        self.sound_at_s = max(self.sound_at_s, now_s)

    def take_recent(self) -> float:
        """The peak since the last call; where nothing has come since, once more what it was then, but only once.

        Blocks come about as often as somebody looks, and now and then a look falls between two.
        """
        with self._lock:
            recent, self._recent = self._recent, None
            shown = self._seen if recent is None else recent
            self._seen = recent or 0.0
        return shown
