"""Turns blocks of sound from a device into one unbroken run of samples in step with the timeline."""

from __future__ import annotations

import sys
from collections import deque
from typing import Final

import numpy as np

from capture.media import SAMPLE_RATE, SampleArray, Samples
from capture.timing.drift import DriftMeter
from capture.timing.resampler import SlipResampler
from capture.timing.timeline import Timeline

__all__ = ["SampleTimeline"]

#: The first blocks come through a pipeline that is still filling. The earliest origin among the blocks of this long is
#: the true one; with less, a scheduling delay of the first block would stay in the file as an offset.
ANCHOR_S: Final = 0.25


#: A block later than this may mean that sound is missing. Longer and small holes go unmended and add up; shorter and
#: the hiccups of a busy machine are suspected.
HOLE_S: Final = 0.05


#: A suspected hole is believed once sound has come for this long without catching up. A thread that was merely held up
#: finds its backlog waiting and reads it in one burst.
HOLE_DECISION_S: Final = 0.25


#: Drift is the smallest lateness over this long: lateness jitters upwards only.
DRIFT_WINDOW_S: Final = 2.0


#: The offset at which drift is corrected: a tenth of what is noticed between sound and picture, and well above the
#: jitter that survives the minimum over `DRIFT_WINDOW_S`.
DRIFT_TOLERANCE_S: Final = 0.002


#: When nothing came for this long, silence is written so that the file, the players and the other tracks go on. It
#: bounds what a crash can lose, so it has to stay well below a second and a half.
STARVED_S: Final = 0.7


#: That silence ends this far before now: sound that is merely late still finds its place.
STARVED_MARGIN_S: Final = 0.4


#: Silence that is worth telling. A device needs a moment to begin, and what it heard last is on its way at the stop.
TOLD_SILENCE_S: Final = 0.2


class SampleTimeline:
    """Blocks of sound in, one unbroken run of samples out, in step with the timeline.

    `push` what a device delivered, call `starve` when it delivered nothing for a while, and `take` what is ready; when
    all is over `finish`, and take the rest. The run begins `taken` samples into the recording. Used by one thread.
    """

    def __init__(self, timeline: Timeline, channels: int, taken: int = 0) -> None:
        self._timeline = timeline
        self._channels = channels
        self._resampler = SlipResampler(channels)
        self._drift = DriftMeter()
        # Samples since the epoch, pauses included, that were handed to the resampler or written as silence.
        self._placed = 0
        # Blocks that wait for the anchor or for the verdict on a suspected hole.
        self._held: list[Samples] = []
        self._anchored = False
        self._lateness: deque[tuple[float, int]] = deque()
        # Samples the device delivered: its own time, but for the breaks in it.
        self._device_count = 0
        # Placed samples not yet taken, each block with whether it is inserted silence, and the index since the epoch of
        # the first of them.
        self._ready: deque[tuple[SampleArray, bool]] = deque()
        self._ready_index = 0
        # Samples handed out: the media time that the file has reached.
        self._taken = taken
        self._inserted = 0
        self._holes: list[tuple[float, float]] = []
        # Whether sound is expected, and where the silence began, not told yet, that stands for it.
        self._expected = True
        self._silent_from: int | None = None
        self._silence_is_told = False
        self._silences: list[tuple[float, float]] = []

    @property
    def inserted_silence_s(self) -> float:
        """Seconds of silence, of what was taken, that stand where sound is missing."""
        return self._inserted / SAMPLE_RATE

    @property
    def drift_ppm(self) -> float:
        """Parts per million by which the device's clock runs fast; 0 while it is too early to tell."""
        return self._drift.ppm

    def holes(self) -> list[tuple[float, float]]:
        """The holes found since the last call, as (media time, length) in seconds; what a pause cuts out is no hole."""
        found, self._holes = self._holes, []
        return found

    def silences(self) -> list[tuple[float, float]]:
        """The silence since the last call that stands where nothing was delivered, as (begin, end) in media time.

        What goes on was told up to where the next begins. A device that said that its sound ended is not missed.
        """
        found, self._silences = self._silences, []
        return found

    def push(self, samples: Samples) -> None:
        """Place a block: float32 (n, channels), stamped with the moment its first sample was heard."""
        if len(samples.data) == 0:
            return
        self._held.append(samples)
        if not self._anchored:
            if self._held_span_s() >= ANCHOR_S:
                self._anchor()
            return
        late = self._lateness_of_last()
        if late < -HOLE_S * SAMPLE_RATE:
            # No stamp is early by accident: this comes twice, or too late. It has to find its place anew.
            self._anchored = False
        elif late <= HOLE_S * SAMPLE_RATE:
            self._place_held()
        elif self._held_span_s() >= HOLE_DECISION_S:
            self._fill_hole()

    def interrupt(self) -> None:
        """Say that the sound ended, or another one begins: what is pushed next stands where its stamps say, and is no
        continuation that could have a hole before it.
        """
        if self._held:
            self._fill_hole() if self._anchored else self._anchor()
        self._anchored = self._expected = False

    def starve(self, now_s: float) -> None:
        """Write silence if the device fell silent; only to be called when its reader has been waiting in vain."""
        behind_s = now_s - self._timeline.epoch_s - self._placed / SAMPLE_RATE
        if behind_s < STARVED_S:
            return
        if self._held:
            self._fill_hole() if self._anchored else self._anchor()
        self._stand_in(self._index(now_s - STARVED_MARGIN_S) - self._placed)
        self._anchored = False

    def take(self, now_s: float, at_most: int = sys.maxsize) -> SampleArray:
        """The next samples that are ready up to `now_s`, pauses cut out; float32 (n, channels), n may be 0.

        Sound can be placed ahead of now, by as much as the output device delays it; it is held until then so that a
        pause or a stop that comes first still cuts it.

        A command can become known when sound from after its moment is already taken or cut. So that what follows keeps
        to media time, as much is then left out after the pause, or replaced by silence.
        """
        end_s = min(now_s, self._timeline.stop_s)
        end = self._index(end_s)
        pauses = [
            (self._index(min(from_s, end_s)), self._index(min(to_s, end_s))) for from_s, to_s in self._timeline.pauses()
        ]
        parts: list[SampleArray] = []
        room = at_most
        while room > 0:
            reached = min(self._ready_index, end)
            paused = sum(max(0, min(pause_end, reached) - pause_start) for pause_start, pause_end in pauses)
            missing = reached - paused - self._taken
            if missing > 0:
                part, silent = self._zeros(min(missing, room)), True
            elif not self._ready or self._ready_index >= end:
                break
            else:
                # Whether the recording stands still changes at the edges of the pauses only.
                edge = min((at for pause in pauses for at in pause if at > self._ready_index), default=end)
                if any(pause_start <= self._ready_index < pause_end for pause_start, pause_end in pauses):
                    self._pop(edge - self._ready_index)
                    continue
                if missing < 0:
                    self._pop(min(edge - self._ready_index, -missing))
                    continue
                part, silent = self._pop(min(edge - self._ready_index, room))
            parts.append(part)
            room -= len(part)
            self._taken += len(part)
            self._inserted += len(part) if silent else 0
        return np.concatenate(parts) if parts else np.zeros((0, self._channels), np.float32)

    def finish(self) -> None:
        """Place everything up to the timeline's stop, silence where the sound ended before; it remains to be taken."""
        if self._held:
            if not self._anchored:
                self._anchor()
            elif self._lateness_of_last() > HOLE_S * SAMPLE_RATE:
                self._fill_hole()
            else:
                self._place_held()
        self._hand_out(self._resampler.flush())
        self._stand_in(self._index(self._timeline.stop_s) - self._placed)

    def _index(self, at_s: float) -> int:
        return round((at_s - self._timeline.epoch_s) * SAMPLE_RATE)

    def _media_s(self, index: int) -> float:
        """The media time of a sample, at most that of the stop."""
        return self._timeline.media_s(min(self._timeline.epoch_s + index / SAMPLE_RATE, self._timeline.stop_s))

    def _held_span_s(self) -> float:
        """How long blocks have been held, on our clock: a backlog that comes in one burst spans next to nothing."""
        return self._held[-1].captured_at_s - self._held[0].captured_at_s

    def _lateness_of_last(self) -> int:
        """How many samples the newest block is late, were everything held placed where the sound stands now."""
        newest = self._held[-1]
        before = sum(len(block.data) for block in self._held[:-1])
        return self._index(newest.captured_at_s) - (self._placed + before)

    def _earliest_start(self) -> int:
        """Where the held blocks begin, by the stamp that was delayed least."""
        before, starts = 0, []
        for block in self._held:
            starts.append(self._index(block.captured_at_s) - before)
            before += len(block.data)
        return min(starts)

    def _anchor(self) -> None:
        """Begin the sound where it was heard: silence up to there, or a cut where time has passed it already."""
        gap = self._earliest_start() - self._placed
        if gap > 0:
            self._stand_in(gap)
        self._lateness.clear()
        self._drift.interrupt()
        # Sound that lies all in the past does not tell where the rest will stand.
        self._anchored = self._place_held(skip=max(0, -gap)) == 0

    def _fill_hole(self) -> None:
        gap = self._earliest_start() - self._placed
        if gap > 0:
            at_s, end_s = self._media_s(self._placed), self._media_s(self._placed + gap)
            if end_s > at_s:
                self._holes.append((at_s, end_s - at_s))
            self._silence(gap)
        self._lateness.clear()
        self._drift.interrupt()
        self._place_held()

    def _place_held(self, skip: int = 0) -> int:
        """Write what was held without its first `skip` samples; return how many it was too short of."""
        blocks, self._held = self._held, []
        for block in blocks:
            cut = min(skip, len(block.data))
            skip -= cut
            if cut < len(block.data):
                begins_at_s = block.captured_at_s + cut / SAMPLE_RATE
                self._observe(begins_at_s, self._index(begins_at_s) - self._placed)
                self._place(block.data[cut:])
                self._device_count += len(block.data) - cut
        self._correct_drift()
        return skip

    def _observe(self, captured_at_s: float, late: int) -> None:
        device_s = self._device_count / SAMPLE_RATE
        self._drift.observe(device_s, captured_at_s - device_s)
        if late <= HOLE_S * SAMPLE_RATE:
            self._lateness.append((captured_at_s, late - self._resampler.remaining))

    def _correct_drift(self) -> None:
        """Begin a slip when even the least late block of the window is off."""
        if self._resampler.slipping or not self._lateness:
            return
        newest_s = self._lateness[-1][0]
        if newest_s - self._lateness[0][0] < DRIFT_WINDOW_S:
            return
        while newest_s - self._lateness[0][0] > DRIFT_WINDOW_S:
            self._lateness.popleft()
        offset = min(late for _, late in self._lateness)
        if abs(offset) > DRIFT_TOLERANCE_S * SAMPLE_RATE:
            self._resampler.slip(offset)
            self._lateness = deque((at_s, late - offset) for at_s, late in self._lateness)

    def _place(self, data: SampleArray) -> None:
        self._expected, self._silent_from, self._silence_is_told = True, None, False
        self._hand_out(self._resampler.process(data))

    def _stand_in(self, count: int) -> None:
        """Silence where nothing was delivered, which is told when there is enough of it."""
        begin = self._placed
        self._silence(count)
        if count <= 0 or not self._expected:
            return
        if self._silent_from is None:
            self._silent_from = begin
        from_s, to_s = self._media_s(self._silent_from), self._media_s(begin + count)
        if to_s - from_s >= TOLD_SILENCE_S or (self._silence_is_told and to_s > from_s):
            self._silences.append((from_s, to_s))
            self._silent_from, self._silence_is_told = begin + count, True

    def _silence(self, count: int) -> None:
        if count <= 0:
            return
        self._hand_out(self._resampler.flush())
        self._hand_out(self._zeros(count), silent=True)

    def _zeros(self, count: int) -> SampleArray:
        """Silence of any length in the memory of one sample: a machine that slept has hours of it written at once."""
        return np.broadcast_to(np.zeros((1, self._channels), np.float32), (count, self._channels))

    def _hand_out(self, data: SampleArray, *, silent: bool = False) -> None:
        self._ready.append((data, silent))
        # What the resampler holds back is placed as well: it will stand right behind what came out.
        ready = sum(len(block) for block, _ in self._ready)
        self._placed = self._ready_index + ready + self._resampler.pending

    def _pop(self, at_most: int) -> tuple[SampleArray, bool]:
        """Remove the first ready block, or its first `at_most` samples; return them and whether they are silence."""
        block, silent = self._ready.popleft()
        if len(block) > at_most:
            self._ready.appendleft((block[at_most:], silent))
        self._ready_index += min(len(block), at_most)
        return block[:at_most], silent
