"""Turns the stamped blocks of a device into continuous samples that stay in step with the timeline.

Late starts and holes become silence, drift is resampled away too gently to hear, and pauses are cut to the sample.
"""

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

#: The first blocks come through a pipeline that is still filling, so the start is the earliest origin among the blocks
#: of this long. With less, a scheduling delay of the first block would stay in the file as an offset.
ANCHOR_S: Final = 0.25

#: A block later than this suggests that sound is missing. If the value is too high, small holes go unnoticed and add
#: up; if it is too low, the hiccups of a busy machine look like holes.
HOLE_S: Final = 0.05

#: A suspected hole counts as one once sound has arrived for this long without catching up. A thread that was only
#: delayed finds its backlog waiting and reads it in one burst.
HOLE_DECISION_S: Final = 0.25

#: Drift is the smallest lateness within this window, because jitter only ever makes blocks later.
DRIFT_WINDOW_S: Final = 2.0

#: Drift is corrected from this offset on: a tenth of the offset between sound and picture that people notice, and well
#: above the jitter that survives the minimum over `DRIFT_WINDOW_S`.
DRIFT_TOLERANCE_S: Final = 0.002

#: If nothing arrives for this long, silence is written so that the file, players and the other tracks can go on. This
#: bounds what a crash can lose, so it has to stay well below a second and a half.
STARVED_S: Final = 0.7

#: That silence ends this long before now, so that sound that is only late still finds its place.
STARVED_MARGIN_S: Final = 0.4

#: Shorter silence is not reported: a device needs a moment to start, and its last sound is still on its way at the
#: stop.
REPORTED_SILENCE_S: Final = 0.2


class SampleTimeline:
    """Takes blocks of sound and returns continuous samples in step with the timeline.

    Call `push` with each block of the device, `starve` when it has delivered nothing for a while, and `take` to get the
    samples that are ready. At the end call `finish`, then `take` the rest. The output starts `taken` samples into the
    recording. Used by one thread.
    """

    def __init__(self, timeline: Timeline, channels: int, taken: int = 0) -> None:
        self._timeline = timeline
        self._channels = channels
        self._resampler = SlipResampler(channels)
        self._drift = DriftMeter()
        # Samples since the epoch, pauses included, that went to the resampler or were written as silence.
        self._placed = 0
        # Blocks that wait for the anchor, or for the decision on a suspected hole.
        self._held: list[Samples] = []
        self._anchored = False
        self._lateness: deque[tuple[float, int]] = deque()
        # Samples the device delivered: its own time, except for its gaps.
        self._device_count = 0
        # Placed blocks not yet taken, each with whether it is inserted silence; and the index of their first sample,
        # counted from the epoch.
        self._ready: deque[tuple[SampleArray, bool]] = deque()
        self._ready_index = 0
        # Samples taken: the media time that the file has reached.
        self._taken = taken
        self._inserted = 0
        self._holes: list[tuple[float, float]] = []
        # Whether the device should be delivering sound, and the sample index where unreported silence began.
        self._expected = True
        self._silent_from: int | None = None
        self._silence_is_reported = False
        self._silences: list[tuple[float, float]] = []

    @property
    def inserted_silence_s(self) -> float:
        """Seconds of the taken samples that are silence in place of missing sound."""
        return self._inserted / SAMPLE_RATE

    @property
    def drift_ppm(self) -> float:
        """Parts per million by which the device's clock runs fast; 0 while it is too early to say."""
        return self._drift.ppm

    def holes(self) -> list[tuple[float, float]]:
        """Return the holes found since the last call as (media time, length) in seconds, without what pauses cut."""
        found, self._holes = self._holes, []
        return found

    def silences(self) -> list[tuple[float, float]]:
        """Return the silence inserted since the last call because the device delivered nothing.

        Each item is (begin, end) in media time; longer silence comes as several items, end to begin. After `interrupt`
        no sound is expected, so the silence that follows it is not included.
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
            # Jitter cannot make a stamp early. This sound was already written, or silence took its place: anchor again.
            self._anchored = False
        elif late <= HOLE_S * SAMPLE_RATE:
            self._place_held()
        elif self._held_span_s() >= HOLE_DECISION_S:
            self._fill_hole()

    def interrupt(self) -> None:
        """End the current sound: the next block starts where its stamp says, and the gap before it is not a hole."""
        if self._held:
            self._fill_hole() if self._anchored else self._anchor()
        self._anchored = self._expected = False

    def starve(self, now_s: float) -> None:
        """Write silence if the device has fallen behind. Call this only while its reader is waiting for data."""
        behind_s = now_s - self._timeline.epoch_s - self._placed / SAMPLE_RATE
        if behind_s < STARVED_S:
            return
        if self._held:
            self._fill_hole() if self._anchored else self._anchor()
        self._replace_with_silence(self._index(now_s - STARVED_MARGIN_S) - self._placed)
        self._anchored = False

    def take(self, now_s: float, at_most: int = sys.maxsize) -> SampleArray:
        """Return the next samples that are ready up to `now_s`, without pauses: float32 (n, channels), n may be 0.

        Sound can be stamped ahead of now, by the delay of the output device. It is held until its time comes, so that
        an earlier pause or stop still cuts it.

        A command can arrive after sound from beyond its moment was already taken or cut. The same amount is then cut
        after the pause, or replaced by silence, so that the rest stays at its media time.
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
                # Between two edges of pauses, all samples are either in a pause or outside.
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
        if not parts:
            return np.zeros((0, self._channels), np.float32)
        # Silence lies in the memory of one sample.
        return parts[0] if len(parts) == 1 and not silent else np.concatenate(parts)

    def finish(self) -> None:
        """Place everything up to the timeline's stop, ending in silence if the sound ends earlier; then `take` it."""
        if self._held:
            if not self._anchored:
                self._anchor()
            elif self._lateness_of_last() > HOLE_S * SAMPLE_RATE:
                self._fill_hole()
            else:
                self._place_held()
        self._append(self._resampler.flush())
        self._replace_with_silence(self._index(self._timeline.stop_s) - self._placed)

    def _index(self, at_s: float) -> int:
        return round((at_s - self._timeline.epoch_s) * SAMPLE_RATE)

    def _media_s(self, index: int) -> float:
        """Return the media time of a sample, at most that of the stop."""
        return self._timeline.media_s(min(self._timeline.epoch_s + index / SAMPLE_RATE, self._timeline.stop_s))

    def _held_span_s(self) -> float:
        """Return how long blocks have been held, by their stamps; a backlog read in one burst spans almost 0."""
        return self._held[-1].captured_at_s - self._held[0].captured_at_s

    def _lateness_of_last(self) -> int:
        """Return how many samples late the newest block would be if all held blocks were placed now."""
        newest = self._held[-1]
        before = sum(len(block.data) for block in self._held[:-1])
        return self._index(newest.captured_at_s) - (self._placed + before)

    def _earliest_start(self) -> int:
        """Return the sample index where the held blocks begin, by the least delayed stamp."""
        before, starts = 0, []
        for block in self._held:
            starts.append(self._index(block.captured_at_s) - before)
            before += len(block.data)
        return min(starts)

    def _anchor(self) -> None:
        """Start the sound at its stamp: insert silence before it, or cut the part whose place is already written."""
        gap = self._earliest_start() - self._placed
        if gap > 0:
            self._replace_with_silence(gap)
        self._lateness.clear()
        self._drift.interrupt()
        # If all held sound was cut, it does not settle where the rest belongs.
        self._anchored = self._place_held(skip=max(0, -gap)) == 0

    def _fill_hole(self) -> None:
        """Insert silence for the missing sound, report the hole, and place the held blocks after it."""
        gap = self._earliest_start() - self._placed
        if gap > 0:
            at_s, end_s = self._media_s(self._placed), self._media_s(self._placed + gap)
            if end_s > at_s:
                self._holes.append((at_s, end_s - at_s))
            self._write_silence(gap)
        self._lateness.clear()
        self._drift.interrupt()
        self._place_held()

    def _place_held(self, skip: int = 0) -> int:
        """Place the held blocks without their first `skip` samples; return how many of those they did not contain."""
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
        """Start a slip if even the least late block of the window is off."""
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
        self._expected, self._silent_from, self._silence_is_reported = True, None, False
        self._append(self._resampler.process(data))

    def _replace_with_silence(self, count: int) -> None:
        """Write `count` samples of silence because nothing was delivered; report it once there is enough of it."""
        begin = self._placed
        self._write_silence(count)
        if count <= 0 or not self._expected:
            return
        if self._silent_from is None:
            self._silent_from = begin
        from_s, to_s = self._media_s(self._silent_from), self._media_s(begin + count)
        if to_s - from_s >= REPORTED_SILENCE_S or (self._silence_is_reported and to_s > from_s):
            self._silences.append((from_s, to_s))
            self._silent_from, self._silence_is_reported = begin + count, True

    def _write_silence(self, count: int) -> None:
        if count <= 0:
            return
        self._append(self._resampler.flush())
        self._append(self._zeros(count), silent=True)

    def _zeros(self, count: int) -> SampleArray:
        """Return `count` samples of silence in the memory of one: after a suspend, hours are written at once."""
        return np.broadcast_to(np.zeros((1, self._channels), np.float32), (count, self._channels))

    def _append(self, data: SampleArray, *, silent: bool = False) -> None:
        self._ready.append((data, silent))
        # Samples that the resampler holds back count as placed: they follow directly.
        ready = sum(len(block) for block, _ in self._ready)
        self._placed = self._ready_index + ready + self._resampler.pending

    def _pop(self, at_most: int) -> tuple[SampleArray, bool]:
        """Remove up to `at_most` samples from the first ready block; return them and whether they are silence."""
        block, silent = self._ready.popleft()
        if len(block) > at_most:
            self._ready.appendleft((block[at_most:], silent))
        self._ready_index += min(len(block), at_most)
        return block[:at_most], silent
