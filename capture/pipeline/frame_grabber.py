"""The threads that read the devices: when to grab, and what to do with what came.

A `FrameGrabber` divides the recording into slots of 1/fps and takes at most one frame in each: when something has
changed, at the moment it changed. A `SoundGrabber` hands on every block that its source delivers. Both run in a worker
of their own and never wait for an encoder that is behind: a frame is left out and counted, sound is queued.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from capture.clock import Clock
from capture.event_kinds import EventKind
from capture.events import Event
from capture.media import VIDEO_TICKS_PER_S, Frame, Pixels
from capture.sources.protocols import IDLE_INTERVAL_S, FrameSource
from capture.threads.mailbox import Closed, Mailbox
from capture.timing.timeline import FrameTimeline, Timeline, grid_pts

__all__ = ["HEARTBEAT_S", "FrameGrabber", "FrameJob"]

#: A picture that stands still is sent once more after this long. A frame's length is only known, and written, when the
#: next one comes. WebM writes a cluster only when the one after the next comes, so a crash can lose twice this.
HEARTBEAT_S: Final = 0.55

#: Where nothing has changed for a while a change is waited for by as much at once, up to this. Slot by slot each would
#: wake this thread only to find that nothing has changed; and yet, while there is something to lose, a slot that goes
#: by while this thread is not let run must not pass for one in which nothing changed.
STILL_S: Final = 0.5

#: How many moments of loss are remembered: minutes in which nothing but losses happened.
DROPS_KEPT: Final = 10_000

#: Matroska counts milliseconds: frames closer than two of them can come out with one and the same time.
LEAST_STEP: Final = 2 * VIDEO_TICKS_PER_S // 1000


class FrameJob(NamedTuple):
    """A frame to encode at `pts`, in 1/90000 s; without pixels the last one again. `duration`, where it is known.

    `pixels` may be a part of the picture that lies at `left`, `top`; the rest is as it was.

    On a constant grid `slot` is its place; slots that were left out before it get the last picture again.
    """

    pts: int
    pixels: Pixels | None
    duration: int | None
    slot: int | None = None
    left: int = 0
    top: int = 0


class FrameGrabber:
    """Grabs one source's frames from the epoch to the stop. `run` is the work of a thread; `wake` comes from any.

    `tell` is called by that thread for slots that are lost. `conclude` is called after it, by whoever stopped the
    timeline.
    """

    def __init__(
        self,
        source: FrameSource,
        timeline: Timeline,
        jobs: Mailbox[FrameJob],
        clock: Clock,
        fps: float,
        *,
        constant: bool = False,
        tell: Callable[[Event], None] = lambda event: None,
    ) -> None:
        self._source = source
        self._timeline = timeline
        self._tell = tell
        self._stamps = FrameTimeline(timeline)
        self._jobs = jobs
        self._clock = clock
        self._fps = fps
        self._constant = constant
        self._slot_length = round(VIDEO_TICKS_PER_S / fps)
        self._woken = threading.Event()
        # The first slot that is still open.
        self._slot = 0
        # Those in which a picture was sent again, and how many there were since the last in which something changed.
        self._repeated: set[int] = set()
        self._still_slots = 0
        self._beat_wanted = False
        self._drops_s: deque[float] = deque(maxlen=DROPS_KEPT)
        # Held while `run` sends a job: what ends the picture is the last.
        self._sending = threading.Lock()
        self._concluded = False
        self.frames = 0
        self.unchanged = 0
        self.dropped = 0

    def wake(self) -> None:
        """Look at the timeline again: it was paused, resumed or stopped."""
        self._woken.set()
        self._source.wake()

    def dropped_between(self, from_s: float, to_s: float) -> int:
        """The slots lost between two moments of media time, of the last `DROPS_KEPT`."""
        return sum(from_s < at_s <= to_s for at_s in tuple(self._drops_s))

    def beat(self) -> None:
        """Send a picture that stands still once more, now: somebody wants to know that it still does. Any thread."""
        self._beat_wanted = not self._constant
        self.wake()

    def run(self) -> None:
        while self._wait_for_slot(slot := self._slot):
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
            # Slots that went by while a frame was grabbed, or while this thread was not let run.
            now_s = self._clock.now_s()
            reached = max(slot + 1, self._reached(now_s))
            if reached > slot + 1:
                changed = self._source.wait_for_change(now_s)
                for missed in range(slot + 1, reached):
                    self._miss_slot(missed, changed)
                if changed:
                    self._tell_dropped(slot + 1, reached)
            self._slot = reached
            self._repeated = {repeated for repeated in self._repeated if repeated >= reached}

    def conclude(self) -> None:
        """Let the picture last until the stop, also where `run` failed, or still hangs; nothing is sent after it."""
        with self._sending:
            self._concluded = True
        self._end(self._slot)

    def _reached(self, now_s: float) -> int:
        """The slot that it is."""
        return int(self._timeline.media_s(min(now_s, self._timeline.stop_s)) * self._fps + 1e-6)

    def _last_slot(self) -> int:
        """The slot in which the stop is, or that ends with it."""
        return math.ceil(self._timeline.media_s(self._timeline.stop_s) * self._fps - 1e-6) - 1

    def _slots_in(self, length_s: float) -> int:
        return max(1, round(length_s * self._fps))

    def _pass_over(self, reached: int) -> int:
        """Count the slots before `reached`, in which nothing changed; return the first that is open now."""
        for slot in range(self._slot, reached):
            self.unchanged += slot not in self._repeated
            self._still_slots += 1
        self._slot = max(self._slot, reached)
        return self._slot

    def _slot_start_s(self, slot: int) -> float:
        """When slot number `slot` begins on the clock, were the recording not paused again before."""
        return self._timeline.epoch_s + slot / self._fps + self._timeline.paused_s(self._clock.now_s())

    def _wait_for_slot(self, slot: int) -> bool:
        """Sleep until the slot begins, and through pauses; False when the recording ends first."""
        while True:
            now_s = self._clock.now_s()
            if now_s >= self._timeline.stop_s:
                return False
            start_s = self._slot_start_s(slot)
            if self._timeline.is_recorded(now_s) and (now_s >= start_s or self._beat_wanted):
                return True
            in_pause = not self._timeline.is_recorded(now_s) and now_s >= self._timeline.epoch_s
            if in_pause:
                self._source.idle()
            until_s = now_s + IDLE_INTERVAL_S if in_pause else start_s
            self._clock.wait_until(min(until_s, self._timeline.stop_s, now_s + 3600.0), self._woken)
            self._woken.clear()

    def _wait_for_change(self, slots: int) -> bool:
        """Whether there is something new in the next `slots`; a picture that stands still is sent again in time."""
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
                # There is no picture yet that could be sent again.
                self._beat_wanted = False
                return True
            # Before it is sent, which may take its time: who wants one meanwhile wants the next.
            self._beat_wanted = False
            self._send(self._stamps.pts(now_s))
            self._repeated.add(max(self._slot, self._reached(now_s)))
        return True

    def _next_beat_s(self) -> float:
        """When a picture that stands still is due again."""
        sent_s = self._stamps.last_pts / VIDEO_TICKS_PER_S
        return self._timeline.epoch_s + sent_s + HEARTBEAT_S + self._timeline.paused_s(self._clock.now_s())

    def _fill_slot(self, slot: int, changed: bool) -> None:
        if changed and self._jobs.has_room():
            frame = self._source.grab()
            if self._constant:
                self._send(self._grid_pts(slot), frame, slot=slot)
            else:
                self._send(self._pts(frame.captured_at_s), frame)
        elif changed or self._constant:
            self._miss_slot(slot, changed)
            if changed:
                self._tell_dropped(slot, slot + 1)
        elif slot not in self._repeated:
            self.unchanged += 1

    def _miss_slot(self, slot: int, changed: bool) -> None:
        """A slot without a picture of its own; on a constant grid the last one stands in for it."""
        if changed:
            self.dropped += 1
            self._drops_s.append(self._timeline.media_s(self._clock.now_s()))
        if not self._constant:
            self.unchanged += not changed
            return
        with self._sending:
            self._check_not_concluded()
            self._fill_with_last(slot)

    def _tell_dropped(self, first: int, end: int) -> None:
        """Say that the slots from `first` on, and before `end`, are lost."""
        self._tell(
            Event(EventKind.DROPPED, first / self._fps, "the machine was too slow", end / self._fps, end - first)
        )

    def _fill_with_last(self, slot: int) -> None:
        # Where there is no room now, the track fills the slot when the next job comes.
        self._jobs.offer(FrameJob(self._grid_pts(slot), None, self._slot_length, slot))
        self.frames += 1

    def _send(self, pts: int, frame: Frame | None = None, slot: int | None = None) -> None:
        duration = self._slot_length if self._constant else None
        with self._sending:
            self._check_not_concluded()
            if frame is None:
                self._put(FrameJob(pts, None, duration, slot))
            else:
                self._put(FrameJob(pts, frame.pixels, duration, slot, frame.left, frame.top))

    def _put(self, job: FrameJob) -> None:
        self._jobs.put(job)
        self.frames += 1

    def _check_not_concluded(self) -> None:
        if self._concluded:
            raise Closed

    def _pts(self, captured_at_s: float) -> int:
        # The first frame stands for the beginning: it shows what was on the screen at the epoch.
        return self._stamps.pts(captured_at_s if self._stamps.last_pts >= 0 else self._timeline.epoch_s)

    def _grid_pts(self, slot: int) -> int:
        self._stamps.last_pts = grid_pts(slot, self._fps)
        return self._stamps.last_pts

    def _end(self, slot: int) -> None:
        """Let the picture last until the stop, of which slot number `slot` and those after it are still open.

        A constant grid is filled up. Else the last frame is repeated, one frame's length before the stop.
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
