"""Encodes one audio track: places the blocks of its sources on the timeline, mixes, meters and encodes them."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from capture.clock import Clock
from capture.events import Event, EventKind, Level
from capture.media import SAMPLE_RATE, Samples, peak_dbfs
from capture.pipeline.mixer import Lane, LevelMeter, mix
from capture.pipeline.sound_grabber import Heard, Quiet
from capture.pipeline.tee import PacketSink
from capture.threads.mailbox import Closed, Mailbox
from capture.timing.timeline import Timeline

if TYPE_CHECKING:
    from capture.codecs.audio_encoder import AudioEncoder

__all__ = ["SoundTrack"]

#: How often a track checks whether one of its sources delivers nothing.
_TICK_S: Final = 0.3

#: A source that does not even say that it hears nothing hangs in a call to its device, or does not get to run. What
#: waits for it is kept for longer than this, see `streams.RING_S`; after this long, silence is written.
_HUNG_S: Final = 5.0

#: A tick this late means that this process did not run either (it was stopped, or the machine slept). Sound may be
#: waiting then, so it does not prove that the device is silent.
_LATE_TICK_S: Final = 0.6

#: How long a track may be silent before the user is warned, without pauses.
SILENT_AFTER_S: Final = 5.0


#: The same words for every block, so that the ledger makes one run of them.
_REPLACED: Final = "invalid samples (not finite, or above +18 dBFS) were replaced"


class _Chunk(NamedTuple):
    """One encoded chunk of the track: its end in media time, its peak, and the silence inserted in it."""

    end_s: float
    peak: float
    inserted_s: float


class SoundTrack:
    """Encodes one track, mixed from the sources that put their number and what they hear into `blocks`.

    `channels` has the number of channels of each source. `run` is the work of a thread; any thread may read the
    counters meanwhile. With `history_s`, peaks and inserted silence of the last seconds are remembered for `between`.
    """

    def __init__(
        self,
        name: str,
        channels: Sequence[int],
        encoder: AudioEncoder,
        timeline: Timeline,
        blocks: Mailbox[tuple[int, Heard]],
        deliver: PacketSink,
        clock: Clock,
        emit: Callable[[Event], None],
        *,
        history_s: float = 0.0,
    ) -> None:
        self.name = name
        self._history_s = history_s
        self._history: deque[_Chunk] = deque()
        self._remembered_s = 0.0
        self._channels = max(channels)
        self._encoder = encoder
        self._timeline = timeline
        self._blocks = blocks
        self._deliver = deliver
        self._clock = clock
        self._emit = emit
        self._channels_of = tuple(channels)
        # By source number and lane number. Lane 0 of each source exists from the start.
        self._lanes = {(number, 0): Lane(timeline, count) for number, count in enumerate(channels)}
        # Samples sent to the encoder.
        self._sent = 0
        # Seconds of silence inserted before counting began.
        self._uncounted_s = 0.0
        self._meter = LevelMeter(timeline.epoch_s)
        # For each source, up to when everything that its device delivered has come, and when anything came last.
        self._read_until_s = [timeline.epoch_s] * len(channels)
        self._came_at_s = [timeline.epoch_s] * len(channels)
        # Up to when it is known what there was to hear. On a busy machine, later sound may be waiting.
        self._known_until_s = timeline.epoch_s

    @property
    def inserted_silence_s(self) -> float:
        """Seconds of silence in place of missing sound since counting began, for the source that misses most.

        For a source with several lanes, it is the time left over if the lanes had played one after another, so overlaps
        make it smaller.
        """
        return max(0.0, self._missing_s() - self._uncounted_s)

    def _missing_s(self) -> float:
        """Return the same since the start of the track."""
        lanes, sent_s = tuple(self._lanes.items()), self._sent / SAMPLE_RATE
        missing_s = []
        for number in range(len(self._channels_of)):
            own = [lane for (source, _), lane in lanes if source == number]
            heard_s = sum(lane.heard_s for lane in own)
            missing_s.append(own[0].samples.inserted_silence_s if len(own) == 1 else max(0.0, sent_s - heard_s))
        return max(missing_s)

    @property
    def drift_ppm(self) -> float:
        """Drift of the source that drifts most, in parts per million."""
        return max((lane.samples.drift_ppm for lane in tuple(self._lanes.values())), key=abs)

    @property
    def peak(self) -> float:
        """Largest absolute sample since counting began."""
        return self._meter.peak

    def begin_count(self, from_s: float) -> None:
        """Count inserted silence and the peak from the media time `from_s` on, as far back as `history_s` reaches."""
        peak, inserted_s = self.between(from_s, math.inf)
        self._uncounted_s = self._missing_s() - inserted_s
        self._meter.restart(peak, self._clock.now_s())

    def between(self, from_s: float, to_s: float) -> tuple[float, float]:
        """Return the largest absolute sample and the seconds of inserted silence between two media times.

        Covers only the last `history_s` seconds.
        """
        # Copy the history first: the track goes on meanwhile.
        chunks = [chunk for chunk in tuple(self._history) if from_s < chunk.end_s <= to_s]
        inserted_s = sum(chunk.inserted_s for chunk in chunks)
        return max((chunk.peak for chunk in chunks), default=0.0), max(0.0, inserted_s)

    def level(self) -> Level:
        """Return the level since the last call, and any trouble with the sound. Only one thread may call this."""
        trouble = ""
        if self._known_s_since(self._meter.sound_at_s) >= SILENT_AFTER_S:
            heard_at_s = max(lane.heard_at_s for lane in tuple(self._lanes.values()))
            delivering = self._known_s_since(heard_at_s) < SILENT_AFTER_S
            trouble = (self.muffled_by or "nothing is playing") if delivering else "no data"
        return Level(self.name, peak_dbfs(self._meter.take_recent()), trouble)

    @property
    def muffled_by(self) -> str:
        """What is muted, or else turned down, in the track's sources, as in "Speakers is muted"; "" if nothing is."""
        found = [lane.attenuation for lane in tuple(self._lanes.values()) if lane.attenuation.is_low]
        worst = [attenuation for attenuation in found if attenuation.is_muted] or found
        return " and ".join(dict.fromkeys(attenuation.reason for attenuation in worst))

    def _known_s_since(self, at_s: float) -> float:
        """Return for how long after `at_s`, without pauses, it is known what there was to hear."""
        return self._timeline.media_s(self._known_until_s) - self._timeline.media_s(at_s)

    def run(self) -> None:
        try:
            self._encode_until_closed()
            self._finish()
        finally:
            self._encoder.close()

    def _encode_until_closed(self) -> None:
        ticked_at_s = waiting_since_s = self._clock.now_s()
        while True:
            try:
                number, heard = self._blocks.get(_TICK_S)
            except TimeoutError:
                now_s = self._clock.now_s()
            except Closed:
                return
            else:
                now_s = self._clock.now_s()
                self._take_in(number, heard, now_s)
            # Check even while blocks arrive: they may all come from one source.
            if now_s - ticked_at_s >= _TICK_S:
                if now_s - ticked_at_s > _LATE_TICK_S:
                    waiting_since_s = now_s
                ticked_at_s = now_s
                self._starve(now_s, waiting_since_s)
            self._encode(now_s)

    def _take_in(self, number: int, heard: Heard, now_s: float) -> None:
        self._came_at_s[number] = now_s
        if isinstance(heard, Quiet):
            read_until_s = heard.until_s
        else:
            self._lane(number, heard.lane).push(heard, now_s)
            self._report_replaced(heard)
            # Later sound of the source's other lanes may still wait behind this block.
            read_until_s = min(now_s, heard.ends_at_s)
        self._read_until_s[number] = max(self._read_until_s[number], read_until_s)
        self._known_until_s = max(self._known_until_s, read_until_s)

    def _lane(self, number: int, lane: int) -> Lane:
        """Return a lane of a source; a new one starts after the samples already sent."""
        found = self._lanes.get((number, lane))
        if found is None:
            found = self._lanes[number, lane] = Lane(self._timeline, self._channels_of[number], self._sent)
        return found

    def _starve(self, now_s: float, waiting_since_s: float) -> None:
        """Write silence for the lanes that have delivered nothing for a while."""
        for (number, _), lane in self._lanes.items():
            until_s = self._read_until_s[number]
            if now_s - max(self._came_at_s[number], waiting_since_s) >= _HUNG_S:
                until_s = now_s
                self._known_until_s = now_s
            if until_s - lane.heard_at_s >= 2 * _TICK_S:
                lane.samples.starve(until_s)

    def _report_replaced(self, samples: Samples) -> None:
        """Report samples that the grabber replaced, if any of their block is recorded."""
        if not samples.replaced:
            return
        ends_at_s = min(samples.ends_at_s, self._timeline.stop_s)
        from_s, to_s = self._timeline.media_s(samples.captured_at_s), self._timeline.media_s(ends_at_s)
        if to_s > from_s:
            self._emit(Event(EventKind.BAD_SAMPLES, from_s, f"{self.name}: {_REPLACED}", to_s, samples.replaced))

    def _encode(self, now_s: float) -> None:
        self._report_gaps()
        self._send_ready(now_s, min)

    def _report_gaps(self) -> None:
        for (_, number), lane in self._lanes.items():
            for at_s, length_s in lane.samples.holes():
                detail = f"{self.name}: {length_s:.3f} s of sound missing"
                self._emit(Event(EventKind.HOLE, at_s, detail, at_s + length_s))
            # Silence in the other lanes is normal: they come and go.
            for from_s, to_s in lane.samples.silences() if number == 0 else ():
                self._emit(Event(EventKind.NO_DATA, from_s, f"{self.name}: no data", to_s))

    def _finish(self) -> None:
        for lane in self._lanes.values():
            lane.samples.finish()
        self._report_gaps()
        self._send_ready(math.inf, max)
        self._deliver(self._encoder.finish())

    def _send_ready(self, until_s: float, choose: Callable[[Iterable[int]], int]) -> None:
        """Send the samples that are ready, in chunks.

        `choose` is `min` to stop at the shortest lane, or `max` to go on to the end of the longest.
        """
        while True:
            for lane in self._lanes.values():
                lane.fill(until_s)
            count = choose(len(lane.waiting) for lane in self._lanes.values())
            if count == 0:
                return
            self._send(count)

    def _send(self, count: int) -> None:
        mixed = mix([lane.pop(count) for lane in self._lanes.values()], count, self._channels)
        self._sent += count
        peak = self._meter.observe(mixed, self._clock.now_s())
        if self._history_s:
            missing_s = self._missing_s()
            self._remember(_Chunk(self._sent / SAMPLE_RATE, peak, missing_s - self._remembered_s))
            self._remembered_s = missing_s
        self._deliver(self._encoder.encode(mixed))

    def _remember(self, chunk: _Chunk) -> None:
        self._history.append(chunk)
        while self._history[0].end_s < chunk.end_s - self._history_s:
            self._history.popleft()
