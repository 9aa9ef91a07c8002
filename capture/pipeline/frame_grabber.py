"""Decides when to grab a frame, and sends it to the encoder's thread, converted if it has to wait there.

A `FrameGrabber` divides the recording into slots of 1/fps and grabs at most one frame in each: at the moment the
picture changes. It runs in the thread of its source. It never waits for a slow encoder; it drops frames and counts
them. Drops are spread: a frame that is encoded later is worth more than one right after the last.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import Final, NamedTuple

from capture.clock import Clock
from capture.events import Event, EventKind
from capture.media import VIDEO_TICKS_PER_S
from capture.pipeline.device_thread import wake
from capture.pipeline.pace import Pace
from capture.pixels.part_converter import PartConverter, PixelPart
from capture.pixels.yuv_part import YuvPart
from capture.sources.protocols import IDLE_INTERVAL_S, FrameSource
from capture.threads.mailbox import Closed, Mailbox
from capture.timing.timeline import FrameTimeline, Timeline, grid_pts

__all__ = ["HEARTBEAT_S", "FrameGrabber", "FrameJob"]

#: How often a still picture is sent again. A frame's duration is only known, and written, when the next frame arrives.
#: WebM writes a cluster only when the one after the next arrives, so a crash can lose twice this.
HEARTBEAT_S: Final = 0.55

#: What was shown longer ago than this when it comes was not on its way: it was there before the recording began, or
#: during a pause. Mutter without a graphics card takes up to 0.26 s.
_LONGEST_LAG_S: Final = 0.3

#: What is left after each frame of the longest lag seen.
_LAG_FADES: Final = 0.9

#: Longest wait for a change at once while the picture is still; the wait grows with the time without changes. Waiting
#: slot by slot would wake this thread every time for nothing. But while the picture changes, the wait must stay short:
#: a slot that passes while this thread does not get to run must not count as unchanged.
STILL_S: Final = 0.5

#: How many times of dropped frames are remembered: minutes of nothing but drops.
DROPS_KEPT: Final = 10_000

#: The most time for which to look at nothing while the encoder is behind. Looking at every slot costs a hundredth of a
#: processor, which on a machine that is too slow is a frame every second.
BEHIND_S: Final = 0.25

#: How long after the stop the only frame of a recording may be from; later, the screen may show what is not meant.
LATEST_S: Final = 0.5

#: Matroska counts milliseconds, so frames less than two of them apart can get the same time.
LEAST_STEP: Final = 2 * VIDEO_TICKS_PER_S // 1000


class FrameJob(NamedTuple):
    """A frame to encode at `pts`, in 1/90000 s. Without `part` it repeats the last one. `duration` is None if unknown.

    `part` may be the whole picture; otherwise the rest of it does not change.

    On a constant grid, `slot` is its place; the encoder's thread fills any slots missing before it with the last
    picture.
    """

    pts: int
    part: YuvPart | PixelPart | None
    duration: int | None
    slot: int | None = None


class FrameGrabber:
    """Grabs the frames of one source from the epoch to the stop; `parts` converts those that have to wait.

    `run` is the work of a thread, which calls `report` for dropped slots. Any thread may call `wake` and `repeat_now`.
    Call `conclude` after stopping the timeline.
    """

    def __init__(
        self,
        source: FrameSource,
        parts: PartConverter,
        timeline: Timeline,
        jobs: Mailbox[FrameJob],
        clock: Clock,
        fps: float,
        *,
        constant: bool = False,
        report: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._source = source
        self._parts = parts
        self._timeline = timeline
        self._report = report
        self._stamps = FrameTimeline(timeline)
        self._jobs = jobs
        self._clock = clock
        self._fps = fps
        self._constant = constant
        self._slot_length = round(VIDEO_TICKS_PER_S / fps)
        self._woken = threading.Event()
        # The first slot that is still open.
        self._slot = 0
        # Slots in which the picture was repeated, and the number of slots since the last change.
        self._repeated: set[int] = set()
        self._still_slots = 0
        # For how many slots not to look at the picture, unless the encoder takes a frame.
        self._skipped = 0
        self._pace = Pace()
        # How much later than it was shown a picture came, at most lately. The first one may have been kept for long.
        self._lag_s = 0.0
        self._beat_wanted = False
        self._drops_s: deque[float] = deque(maxlen=DROPS_KEPT)
        # Held while `run` sends a job, so that the job of `conclude` is the last.
        self._sending = threading.Lock()
        self._concluded = False
        self.frames = 0
        self.unchanged = 0
        self.dropped = 0

    def wake(self) -> None:
        """Make the thread check the timeline again, which was paused, resumed or stopped."""
        self._woken.set()
        wake(self._source)

    def dropped_between(self, from_s: float, to_s: float) -> int:
        """Return how many of the last `DROPS_KEPT` dropped slots are between two media times."""
        return sum(from_s < at_s <= to_s for at_s in tuple(self._drops_s))

    def repeat_now(self) -> None:
        """Send a still picture again now, so that the packets reach up to this moment. Any thread may call this."""
        self._beat_wanted = not self._constant
        self.wake()

    def run(self) -> None:
        # A recording may begin before it is known what encodes it: until then, nothing looks at the screen.
        looks_from = self._reached(self._clock.now_s())
        with closing(self._parts):
            while self._wait_for_slot(self._slot):
                slot = self._pass_skipped()
                slots = 1 if self._constant else max(1, min(self._still_slots, self._slots_in(STILL_S)))
                changed = self._wait_for_change(slots)
                now_s = self._clock.now_s()
                if slots > 1:
                    is_over = now_s >= self._timeline.stop_s
                    slot = self._pass_over(self._last_slot() if is_over else self._reached(now_s))
                if now_s >= self._timeline.stop_s:
                    break
                if not self._timeline.is_recorded(now_s) or (slots > 1 and not changed):
                    continue
                self._fill_slot(slot, changed)
                self._still_slots = 0 if changed else self._still_slots + 1
                # Slots that passed while a frame was grabbed, or while this thread did not get to run.
                now_s = self._clock.now_s()
                reached = max(slot + 1, self._reached(now_s))
                if reached > slot + 1:
                    has_changed = self._source.wait_for_change(now_s)
                    self._pass_unseen(slot + 1, max(slot + 1, looks_from) if has_changed else reached, reached)
                self._slot = reached
                self._repeated = {repeated for repeated in self._repeated if repeated >= reached}
            self._pass_skipped()
            self._grab_late(looks_from)

    def conclude(self) -> None:
        """Extend the picture to the stop, even if `run` failed or still hangs; nothing is sent after that."""
        with self._sending:
            self._concluded = True
        self._end(self._slot)

    def _reached(self, now_s: float) -> int:
        """Return the slot at `now_s`."""
        return int(self._timeline.media_s(min(now_s, self._timeline.stop_s)) * self._fps + 1e-6)

    def _last_slot(self) -> int:
        """Return the slot that contains the stop or ends at it."""
        return math.ceil(self._timeline.media_s(self._timeline.stop_s) * self._fps - 1e-6) - 1

    def _grab_late(self, looks_from: int) -> None:
        """Grab a frame right after the stop if this thread did not get to run before: a picture needs one.

        This thread could have looked at the slots from `looks_from` on.
        """
        stop_s = self._timeline.stop_s
        if self._stamps.last_pts >= 0 or self._clock.now_s() < stop_s:
            return
        # What the screen shows in a pause is not meant to be recorded.
        if self._timeline.media_s(stop_s) <= 0.0 or not self._timeline.is_recorded(stop_s):
            return
        (part, captured_at_s), last = self._grab(), self._last_slot()
        if captured_at_s - stop_s <= LATEST_S:
            self._send(self._grid_pts(0), part, slot=0 if self._constant else None)
            self._pass_unseen(1, max(1, looks_from), last)
            self._slot = max(1, last)

    def _pass_skipped(self) -> int:
        """Count the slots before now that there was no room for; return the first open slot."""
        slot, skipped, self._skipped = self._slot, self._skipped, 0
        reached = max(slot, self._reached(self._clock.now_s())) if skipped else slot
        self._drop(slot, reached)
        self._slot = reached
        return reached

    def _wait_of(self, slot: int) -> float:
        """Return for how many more slots the picture of `slot` has to wait for the encoder."""
        return self._pace.wait(slot, self._jobs.filled()) if self._jobs.has_room() else math.inf

    def _slots_in(self, length_s: float) -> int:
        return max(1, round(length_s * self._fps))

    def _pass_over(self, reached: int) -> int:
        """Count the slots before `reached` as unchanged; return the first open slot."""
        for slot in range(self._slot, reached):
            self.unchanged += slot not in self._repeated
            self._still_slots += 1
        self._slot = max(self._slot, reached)
        return self._slot

    def _slot_start_s(self, slot: int) -> float:
        """Return when `slot` begins on the clock, if the recording is not paused before then."""
        return self._timeline.epoch_s + slot / self._fps + self._timeline.paused_s(self._clock.now_s())

    def _wait_for_slot(self, slot: int) -> bool:
        """Sleep until the slot begins, also through pauses; return False if the recording ends first."""
        while True:
            now_s = self._clock.now_s()
            if now_s >= self._timeline.stop_s:
                return False
            start_s = self._slot_start_s(slot + self._skipped)
            if self._timeline.is_recorded(now_s):
                if now_s >= start_s or self._beat_wanted:
                    return True
                if self._skipped:
                    # Before looking: the encoder may take a frame right after it.
                    self._jobs.set_at_next_get(self._woken)
                    if now_s >= self._slot_start_s(slot) and self._wait_of(self._reached(now_s)) <= 0:
                        return True
            in_pause = not self._timeline.is_recorded(now_s) and now_s >= self._timeline.epoch_s
            if in_pause:
                self._source.idle()
            until_s = now_s + IDLE_INTERVAL_S if in_pause else start_s
            self._clock.wait_until(min(until_s, self._timeline.stop_s, now_s + 3600.0), self._woken)
            self._woken.clear()

    def _wait_for_change(self, slots: int) -> bool:
        """Wait up to `slots` slots for a change; return whether there was one. Repeats a still picture in time."""
        if self._constant:
            return self._source.wait_for_change(self._clock.now_s())
        end_s = min(self._slot_start_s(self._slot + slots), self._timeline.stop_s)
        while self._beat_wanted or not self._source.wait_for_change(min(end_s, self._next_beat_s())):
            now_s = self._clock.now_s()
            if now_s >= min(end_s, self._timeline.stop_s) or not self._timeline.is_recorded(now_s):
                return False
            if now_s < self._next_beat_s() and not self._beat_wanted:
                # Woken: the timeline may have changed.
                return False
            if self._stamps.last_pts < 0:
                # There is no picture to repeat yet.
                self._beat_wanted = False
                return True
            # A picture that was shown just now may still be on its way: the repeat of the one before must not take its
            # place. `repeat_now` asks for packets up to this moment all the same.
            lag_s = 0.0 if self._beat_wanted else self._lag_s
            # Cleared before sending, which may block: a `repeat_now` meanwhile asks for the next one.
            self._beat_wanted = False
            self._send(self._stamps.pts(now_s - lag_s))
            self._repeated.add(max(self._slot, self._reached(now_s)))
        return True

    def _next_beat_s(self) -> float:
        """Return when a still picture is due again."""
        sent_s = self._stamps.last_pts / VIDEO_TICKS_PER_S
        return self._timeline.epoch_s + sent_s + HEARTBEAT_S + self._timeline.paused_s(self._clock.now_s())

    def _fill_slot(self, slot: int, changed: bool) -> None:
        wait = self._wait_of(slot) if changed else 0.0
        if changed and wait <= 0:
            self._pace.admit(slot)
            part, captured_at_s = self._grab()
            if self._constant:
                self._send(self._grid_pts(slot), part, slot=slot)
            else:
                lag_s = self._clock.now_s() - captured_at_s if self._stamps.last_pts >= 0 else 0.0
                self._lag_s = max(lag_s if lag_s <= _LONGEST_LAG_S else 0.0, _LAG_FADES * self._lag_s)
                self._send(self._pts(captured_at_s), part)
        elif changed or self._constant:
            self._miss_slot(slot, changed)
            if changed:
                self._report_dropped(slot, slot + 1)
                self._pace.deny()
                if not self._constant:
                    self._skipped = math.ceil(min(wait, self._slots_in(BEHIND_S))) - 1
        elif slot not in self._repeated:
            self.unchanged += 1

    def _grab(self) -> tuple[YuvPart | PixelPart, float]:
        """Return what has changed, converted unless the encoder waits for its pixels, and when it was on the screen."""
        while True:
            frame = self._source.grab()
            # An encoder that has nothing to do leaves its picture alone until this one comes.
            is_awaited = self._jobs.is_awaited()
            if frame.strips is None:
                part = self._parts.grabbed(frame.pixels, frame.left, frame.top, is_awaited=is_awaited)
                return part, frame.captured_at_s
            strips = self._parts.convert_strips(frame.strips, frame.left, frame.top, in_place=is_awaited)
            if strips is not None:
                return strips, frame.captured_at_s

    def _miss_slot(self, slot: int, changed: bool) -> None:
        """Count a slot without a new picture; on a constant grid, repeat the last one."""
        if changed:
            self.dropped += 1
            self._drops_s.append(self._timeline.media_s(self._clock.now_s()))
        if not self._constant:
            self.unchanged += not changed
            return
        with self._sending:
            self._check_not_concluded()
            self._fill_with_last(slot)

    def _pass_unseen(self, first: int, lost_from: int, end: int) -> None:
        """Count the slots from `first` up to `end`, exclusive, as lost from `lost_from` on and unchanged before."""
        for slot in range(first, min(lost_from, end)):
            self._miss_slot(slot, changed=False)
        self._drop(lost_from, end)

    def _drop(self, first: int, end: int) -> None:
        """Count and report the slots from `first` up to `end`, exclusive, as lost, if there are any."""
        for slot in range(first, end):
            self._miss_slot(slot, changed=True)
        if end > first:
            self._report_dropped(first, end)

    def _report_dropped(self, first: int, end: int) -> None:
        """Report that the slots from `first` up to `end`, exclusive, are lost."""
        why = "the machine was too slow"
        self._report(Event(EventKind.DROPPED, first / self._fps, why, end / self._fps, end - first))

    def _fill_with_last(self, slot: int) -> None:
        # If there is no room, the track fills the slot when the next job arrives.
        self._jobs.offer(FrameJob(self._grid_pts(slot), None, self._slot_length, slot))
        self.frames += 1

    def _send(self, pts: int, part: YuvPart | PixelPart | None = None, slot: int | None = None) -> None:
        duration = self._slot_length if self._constant else None
        with self._sending:
            self._check_not_concluded()
            self._put(FrameJob(pts, part, duration, slot))

    def _put(self, job: FrameJob) -> None:
        self._jobs.put(job)
        self.frames += 1

    def _check_not_concluded(self) -> None:
        if self._concluded:
            raise Closed

    def _pts(self, captured_at_s: float) -> int:
        # The first frame counts from the epoch: it shows what was on the screen then.
        return self._stamps.pts(captured_at_s if self._stamps.last_pts >= 0 else self._timeline.epoch_s)

    def _grid_pts(self, slot: int) -> int:
        self._stamps.last_pts = grid_pts(slot, self._fps)
        return self._stamps.last_pts

    def _end(self, slot: int) -> None:
        """Extend the picture to the stop; `slot` is the first open slot.

        A constant grid is filled up. At a variable rate, the last frame is repeated one slot before the stop.
        """
        if self._stamps.last_pts < 0:
            return
        end_s = self._timeline.media_s(self._timeline.stop_s)
        if self._constant:
            last = self._last_slot()
            for missed in range(slot, last):
                self._fill_with_last(missed)
            if last >= slot:
                self._put(FrameJob(self._grid_pts(last), None, self._slot_length, last))
            return
        end = round(end_s * VIDEO_TICKS_PER_S)
        pts = max(self._stamps.last_pts + LEAST_STEP, end - self._slot_length)
        if pts < end:
            self._put(FrameJob(pts, None, end - pts))
