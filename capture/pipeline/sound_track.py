"""The threads between the grabbers and the muxer: each turns what one track is made of into packets.

A `VideoTrack` converts and encodes frames. A `SoundTrack` puts the blocks of one or several sources onto the timeline,
mixes them, meters them and encodes the result. Their `run` is the work of a worker; the counters may be read by any
thread while it goes on.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from capture.clock import Clock
from capture.event_kinds import EventKind
from capture.events import Event, Level
from capture.media import SAMPLE_RATE, Samples, peak_dbfs
from capture.pipeline.mixer import Lane, LevelMeter, Piece, mix
from capture.pipeline.tee import PacketSink
from capture.threads.mailbox import Closed, Mailbox
from capture.timing.timeline import Timeline

if TYPE_CHECKING:
    from capture.codecs.audio_encoder import AudioEncoder

__all__ = ["SoundTrack"]

#: How often a track looks whether one of its sources delivers nothing.
_TICK_S: Final = 0.3

#: A tick this late means that this process did not run either (it was stopped, or the machine slept), and that sound
#: may be waiting: it is no proof of a silent device.
_LATE_TICK_S: Final = 0.6


#: How long a track may be silent before it is said, pauses not counted.
SILENT_AFTER_S: Final = 5.0


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
        self._history: deque[Piece] = deque()
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
        self._lanes = {(number, 0): Lane(timeline, count) for number, count in enumerate(channels)}
        # Samples sent to the encoder.
        self._sent = 0
        # Silence inserted before counting began.
        self._uncounted_s = 0.0
        self._meter = LevelMeter(timeline.epoch_s)

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

    def _lane(self, number: int, lane: int) -> Lane:
        """The lane of a source; a new one has no part in what was sent already."""
        found = self._lanes.get((number, lane))
        if found is None:
            found = self._lanes[number, lane] = Lane(self._timeline, self._channels_of[number], self._sent)
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
                self._emit(Event(EventKind.HOLE, at_s, detail, at_s + length_s))
            # The other lanes come and go.
            for from_s, to_s in lane.part.silences() if number == 0 else ():
                self._emit(Event(EventKind.NO_DATA, from_s, f"{self.name}: nothing was delivered", to_s))

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
        mixed = mix([lane.give(count) for lane in self._lanes.values()], count, self._channels)
        self._sent += count
        peak = self._meter.observe(mixed, self._clock.now_s())
        if self._history_s:
            missing_s = self._missing_s()
            self._remember(Piece(self._sent / SAMPLE_RATE, peak, missing_s - self._remembered_s))
            self._remembered_s = missing_s
        self._deliver(self._encoder.encode(mixed))

    def _remember(self, piece: Piece) -> None:
        self._history.append(piece)
        while self._history[0].end_s < piece.end_s - self._history_s:
            self._history.popleft()
