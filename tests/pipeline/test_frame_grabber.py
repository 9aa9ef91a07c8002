"""The frame grabber takes, drops and repeats pictures at the right moments, on a stepped clock."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from grabber_stage import AS_GRABBED, EPOCH_S, LIMIT_S, STEP_S, GrabberStage

from capture.clock import SteppedClock
from capture.errors import SourceLostError
from capture.events import Event, EventKind
from capture.media import VIDEO_TICKS_PER_S, Frame, Pixels
from capture.pipeline.frame_grabber import BEHIND_S, HEARTBEAT_S, LATEST_S, LEAST_STEP, FrameGrabber, FrameJob
from capture.pixels.converter import Converter
from capture.pixels.yuv import yuv_converter
from capture.pixels.yuv_part import YuvPart
from capture.sources.protocols import IDLE_INTERVAL_S
from capture.sources.scripted import ScriptedFrames
from capture.threads.mailbox import Closed, Mailbox
from capture.timing.timeline import Timeline

FPS = 8
SLOT = VIDEO_TICKS_PER_S // FPS


def picture(number: int) -> Pixels:
    """Return a picture that encodes `number` in its first pixel."""
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0, :2] = divmod(number, 256)
    return pixels


def ticks(seconds: float) -> int:
    return round(seconds * VIDEO_TICKS_PER_S)


class Jobs(Mailbox[FrameJob]):
    """The queue to an encoder, which can be made to look full."""

    declines = False

    def has_room(self) -> bool:
        return not self.declines and super().has_room()


class Pictures(GrabberStage):
    """A stage with a scripted screen. `changes` are the seconds at which pictures 0, 1, … appear."""

    def __init__(
        self,
        changes: Sequence[float] = (0.0,),
        *,
        fps: float = FPS,
        constant: bool = False,
        duration_s: float = math.inf,
        grab_s: float = 0.0,
        late_s: float = 0.0,
        lost_at_s: float = math.inf,
        begin_late_s: float = 0.0,
        capacity: int = 1000,
    ) -> None:
        super().__init__(duration_s)
        script = [(at_s, picture(number)) for number, at_s in enumerate(changes)]
        self.source = ScriptedFrames(self.clock, script, grab_s=grab_s, late_s=late_s, lost_at_s=lost_at_s)
        self.source.begin(EPOCH_S)
        self.jobs = Jobs(capacity)
        self.events: list[Event] = []
        self.frames = FrameGrabber(
            self.source,
            AS_GRABBED,
            self.timeline,
            self.jobs,
            self.clock,
            fps,
            constant=constant,
            report=self.events.append,
        )
        self.clock.advance(begin_late_s)
        self.start(self.frames)

    def end(self) -> None:
        super().end()
        with suppress(Closed):
            self.frames.conclude()

    def taken(self) -> list[FrameJob]:
        """Return the jobs sent since the last call."""
        jobs = []
        while True:
            try:
                jobs.append(self.jobs.get(timeout_s=0))
            except (TimeoutError, Closed):
                return jobs

    def counts(self) -> tuple[int, int, int]:
        return self.frames.frames, self.frames.unchanged, self.frames.dropped


def shown(jobs: Sequence[FrameJob]) -> list[int | None]:
    """Return the number of each picture, or None for a repeat."""
    pictures = [job.part.planes[0] if isinstance(job.part, YuvPart) else None for job in jobs]
    return [None if pixels is None else 256 * int(pixels[0, 0, 0]) + int(pixels[0, 0, 1]) for pixels in pictures]


def moments_s(jobs: Sequence[FrameJob]) -> list[float]:
    return [job.pts / VIDEO_TICKS_PER_S for job in jobs]


ALWAYS = [number * STEP_S for number in range(64 * 5)]


def test_a_picture_that_keeps_changing_is_grabbed_once_per_slot() -> None:
    stage = Pictures(ALWAYS, duration_s=2)
    stage.until(2)
    stage.end()
    *jobs, last = stage.taken()
    assert [job.pts for job in jobs] == [slot * SLOT for slot in range(16)]
    assert shown(jobs) == [slot * 8 for slot in range(16)]
    assert shown([last]) == [None]
    assert stage.counts() == (17, 0, 0)
    assert stage.source.grabs == 16


def test_the_first_frame_counts_from_the_epoch() -> None:
    stage = Pictures(begin_late_s=5 * STEP_S)
    (first,) = stage.taken()
    assert first.pts == 0
    assert shown([first]) == [0]
    stage.stop()


def test_a_change_is_grabbed_when_it_happens() -> None:
    changes = [0.0, 0.5 + 3 * STEP_S, 1.0, 1.25 + 7 * STEP_S]
    stage = Pictures(changes, duration_s=1.75)
    stage.until(1.75)
    stage.end()
    *jobs, _ = stage.taken()
    assert [job.pts for job in jobs] == [ticks(at_s) for at_s in changes]
    assert shown(jobs) == [0, 1, 2, 3]


def test_a_second_change_in_a_slot_waits_for_the_next_slot() -> None:
    stage = Pictures([0.0, 0.25 + STEP_S, 0.25 + 2 * STEP_S, 0.25 + 3 * STEP_S], duration_s=0.75)
    stage.until(0.75)
    stage.end()
    *jobs, _ = stage.taken()
    assert [job.pts for job in jobs] == [0, ticks(0.25 + STEP_S), ticks(0.375)]
    assert shown(jobs) == [0, 1, 3]


def test_unchanged_slots_are_counted_and_not_grabbed() -> None:
    stage = Pictures([0.0, 0.5 + STEP_S], duration_s=1)
    stage.until(1)
    stage.end()
    assert stage.source.grabs == 2
    # The last slot repeats the last frame.
    assert stage.counts() == (3, 5, 0)


def test_a_still_picture_is_repeated_at_the_heartbeat() -> None:
    stage = Pictures()
    stage.until(3)
    jobs = stage.taken()
    assert shown(jobs) == [0] + [None] * (len(jobs) - 1)
    # The first step after 0.55 s, to the tick.
    assert moments_s(jobs) == pytest.approx([0.0, 0.5625, 1.125, 1.6875, 2.25, 2.8125], abs=2 / VIDEO_TICKS_PER_S)
    assert all(later - earlier >= HEARTBEAT_S for earlier, later in pairwise(moments_s(jobs)))
    assert all(job.duration is None for job in jobs)
    stage.stop()


def test_a_repeat_leaves_the_place_of_a_picture_that_is_still_on_its_way() -> None:
    # The repeat of picture 1 is due while picture 2 is on its way.
    stage = Pictures([0.0, 0.5, 1.0625, 1.5], late_s=4 * STEP_S)
    stage.until(3)
    jobs = stage.taken()
    when = dict(zip(shown(jobs), moments_s(jobs), strict=True))
    assert [when[1], when[2], when[3]] == [0.5, 1.0625, 1.5]
    assert all(later - earlier >= HEARTBEAT_S - 4 * STEP_S for earlier, later in pairwise(moments_s(jobs)[-3:]))
    stage.stop()


def test_a_picture_from_before_the_recording_dates_no_repeat_back() -> None:
    stage = Pictures([-1.0], late_s=0.5)
    stage.until(2)
    assert moments_s(stage.taken()) == pytest.approx([0.0, 0.5625, 1.125, 1.6875], abs=2 / VIDEO_TICKS_PER_S)
    stage.stop()


def test_the_last_frame_lasts_until_the_stop() -> None:
    stage = Pictures([0.0, 0.25])
    stage.until(0.75)
    stage.stop()
    *_, last = stage.taken()
    stopped = ticks(stage.timeline.media_s(stage.timeline.stop_s))
    assert (last.pts, last.duration, last.part) == (stopped - SLOT, SLOT, None)


def test_a_change_just_before_the_stop_still_gets_a_last_frame() -> None:
    stage = Pictures([0.0, 0.5 + 7 * STEP_S])
    stage.until(0.5 + 7 * STEP_S)
    stage.jump(STEP_S / 2)
    stage.stop()
    *_, before, last = stage.taken()
    assert last.pts == before.pts + LEAST_STEP
    assert last.duration == ticks(STEP_S / 2) - LEAST_STEP


def test_a_recording_of_zero_length_has_no_frame() -> None:
    stage = Pictures(duration_s=0)
    stage.end()
    assert stage.taken() == []
    assert stage.counts() == (0, 0, 0)


def test_nothing_is_grabbed_during_a_pause_and_nothing_is_missing_after_it() -> None:
    stage = Pictures(ALWAYS)
    stage.until(1 - STEP_S)
    stage.pause()
    before = stage.taken()
    stage.until(2.5)
    assert stage.taken() == []
    stage.resume()
    stage.until(3)
    stage.stop()
    *after, last = stage.taken()
    assert [job.pts for job in before] == [slot * SLOT for slot in range(8)]
    # The slot in which the pause began is used up: the next one begins a step after the pause.
    assert [job.pts for job in after] == [slot * SLOT for slot in range(8, 12)]
    assert shown(after)[0] == (2.5 + STEP_S) / STEP_S
    assert stage.frames.dropped == 0
    assert last.pts + (last.duration or 0) == ticks(1.5 - STEP_S)


def test_a_change_during_a_pause_is_grabbed_after_it() -> None:
    stage = Pictures([0.0, 1.0])
    stage.until(0.5)
    stage.pause()
    stage.until(2)
    stage.resume()
    stage.until(2.25)
    stage.stop()
    first, changed, _ = stage.taken()
    assert shown([first, changed]) == [0, 1]
    assert changed.pts == ticks(0.5)


def test_a_pause_has_no_slots() -> None:
    stage = Pictures()
    stage.until(0.25)
    stage.pause()
    stage.until(3.25)
    stage.resume()
    stage.until(3.5)
    stage.stop()
    # Half a second has four slots; the last one repeats the last frame.
    assert stage.counts() == (2, 2, 0)


def test_a_stop_during_a_pause_ends_the_picture_at_the_pause() -> None:
    stage = Pictures(ALWAYS)
    stage.until(1 + STEP_S)
    stage.pause()
    stage.until(3)
    stage.stop()
    *_, last = stage.taken()
    assert last.pts + (last.duration or 0) == ticks(1 + STEP_S)


def test_frames_are_dropped_and_counted_while_the_queue_is_full() -> None:
    stage = Pictures(ALWAYS)
    stage.until(0.25 - STEP_S)
    stage.jobs.declines = True
    stage.until(1.125 - STEP_S)
    assert stage.source.grabs == 2, "frames that cannot be sent must not be grabbed"
    assert moments_s(stage.taken()) == [0.0, 0.125]
    stage.jobs.declines = False
    stage.until(1.125 + BEHIND_S)
    (caught_up, *_) = stage.taken()
    assert caught_up.slot is None
    at_s = caught_up.pts / VIDEO_TICKS_PER_S
    assert 1.125 <= at_s <= 1.125 + BEHIND_S
    assert shown([caught_up]) == [round(at_s / STEP_S)]
    stage.stop()
    drops = [event for event in stage.events if event.at_s < at_s]
    assert {event.kind for event in drops} == {"dropped"}
    assert drops[0].at_s == 0.25
    assert [event.at_s for event in drops[1:]] == [event.to_s for event in drops[:-1]], "each slot is reported once"
    assert sum(event.count for event in drops) == round((at_s - 0.25) * FPS)
    assert stage.counts()[2] == sum(event.count for event in stage.events)


class SlowEncoder(Pictures):
    """A stage with a queue of eight frames, whose receiver takes one at each of these moments, if there is one."""

    def __init__(self, *takes_at_s: float, changes: Sequence[float] = ALWAYS) -> None:
        self._takes_at_s = takes_at_s
        self.encoded: list[FrameJob] = []
        super().__init__(changes, capacity=8, fps=32)

    def jump(self, by_s: float) -> None:
        before_s = self.clock.now_s() - EPOCH_S
        super().jump(by_s)
        for _ in [at_s for at_s in self._takes_at_s if before_s < at_s <= before_s + by_s]:
            with suppress(TimeoutError):
                self.encoded.append(self.jobs.get(timeout_s=0))
                self.settle()

    def longest_s(self, from_s: float, to_s: float) -> float:
        """Stop, and return the longest time between two frames that were grabbed in this time."""
        self.stop()
        found = [job.pts / VIDEO_TICKS_PER_S for job in (*self.encoded, *self.taken()) if job.part is not None]
        return max(later - earlier for earlier, later in pairwise([at_s for at_s in found if from_s <= at_s <= to_s]))


def test_drops_are_spread_while_the_encoder_is_stopped() -> None:
    # It takes eight frames a second, and none from 2 to 3 s.
    stage = SlowEncoder(*(slot / 8 for slot in range(16)), *(3 + slot / 8 for slot in range(16)))
    stage.until(4.5)
    assert stage.longest_s(1.0, 4.5) <= 0.75, "most of that second is bridged by frames in the queue"
    assert len(stage.encoded) >= 27, "it always had a frame to encode"


class BusyEncoder(SlowEncoder):
    """A stage whose receiver works for this long on each frame."""

    def __init__(self, work_s: float) -> None:
        super().__init__()
        self._work_s, self._free_at_s = work_s, 0.0

    def jump(self, by_s: float) -> None:
        super().jump(by_s)
        while self._free_at_s <= (now_s := self.clock.now_s() - EPOCH_S):
            try:
                self.encoded.append(self.jobs.get(timeout_s=0))
            except TimeoutError:
                return
            self.settle()
            # It is seen a step late that a frame is there.
            self._free_at_s = max(self._free_at_s, now_s - STEP_S) + self._work_s


@pytest.mark.parametrize("rate", [8, 13, 20, 28])
def test_a_steadily_slow_encoder_drops_evenly(rate: int) -> None:
    stage = BusyEncoder(1 / rate)
    stage.until(4.9)
    assert len(stage.encoded) >= 4.9 * rate - 1, "it always had a frame to encode"
    # With two slots to spare: frames come in whole slots, and the grabber aims at a queue that is half full.
    assert stage.longest_s(2.0, 4.9) <= 1 / rate + 2 / 32


def test_an_encoder_that_keeps_up_gets_every_frame() -> None:
    stage = SlowEncoder(*(slot / 64 for slot in range(256)))
    stage.until(3)
    assert stage.longest_s(0.0, 3.0) == pytest.approx(1 / 32, abs=1e-4)
    assert stage.counts()[2] == 0


def test_an_encoder_that_is_held_up_for_a_moment_gets_every_frame() -> None:
    stage = SlowEncoder(*(slot / 64 for slot in range(64)), *(1.08 + slot / 64 for slot in range(128)))
    stage.until(2.5)
    stage.stop()
    assert stage.counts()[2] == 0


def test_a_still_screen_is_no_slow_encoder() -> None:
    changes = [0.0, *(2 + number * STEP_S for number in range(128))]
    stage = SlowEncoder(
        *(slot / 64 for slot in range(64)), 2.07, *(2.1 + slot / 64 for slot in range(128)), changes=changes
    )
    stage.until(3.5)
    assert stage.longest_s(2.0, 3.5) <= 2.1 / 32
    assert stage.counts()[2] <= 1


def test_slots_that_pass_during_a_grab_are_dropped_if_something_changed() -> None:
    stage = Pictures(ALWAYS, grab_s=0.4)
    stage.until(0.9)
    # Each grab lasts into the third slot after its own.
    assert stage.counts() == (2, 0, 4)
    assert [job.pts for job in stage.taken()] == [0, ticks(0.40625)]
    assert [(event.at_s * FPS, event.end_s * FPS, event.count) for event in stage.events] == [(1, 3, 2), (4, 6, 2)]
    stage.timeline.stop(stage.clock.now_s())
    stage.until(1.5)
    stage.end()


def test_slots_that_pass_during_a_grab_are_unchanged_if_nothing_changed() -> None:
    stage = Pictures(grab_s=0.4)
    stage.until(0.4 + STEP_S)
    assert stage.counts() == (1, 2, 0)
    assert stage.events == []
    stage.stop()


def test_slots_missed_by_a_stalled_thread_are_unchanged_if_nothing_changed() -> None:
    stage = Pictures()
    stage.until(0.25)
    stage.jump(0.25)
    assert stage.counts() == (1, 3, 0)
    stage.stop()


def test_slots_from_before_the_thread_ran_are_not_lost() -> None:
    # The recording began three slots before it was known what encodes it.
    late_s = 3 / FPS + STEP_S
    stage = Pictures(ALWAYS, begin_late_s=late_s)
    stage.until(0.9)
    assert stage.counts() == (6, 2, 0)
    assert [job.pts for job in stage.taken()][:2] == [0, ticks(late_s + STEP_S)]
    assert stage.events == []
    stage.stop()


def test_a_still_screen_is_not_checked_in_every_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Pictures([0.0, 8.1], fps=64)
    looks: list[float] = []
    wait = stage.source.wait_for_change

    def look(until_s: float) -> bool:
        looks.append(until_s)
        return wait(until_s)

    monkeypatch.setattr(stage.source, "wait_for_change", look)
    stage.until(8)
    # It is checked slot by slot for half a second, then a few times a second.
    assert len(looks) < 0.5 * 64 + 8 * 5
    assert sum(stage.counts()) == pytest.approx(8 * 64, abs=64 // 2)
    stage.until(10)
    stage.stop()
    # The next change is still grabbed at once, and every slot is counted.
    new = next(job for job in stage.taken() if job.part is not None and job.pts)
    assert new.pts == pytest.approx(ticks(8.1), abs=ticks(STEP_S))
    assert sum(stage.counts()) == pytest.approx(10 * 64, abs=1)


def test_a_grab_that_ends_after_the_stop_drops_only_slots_before_the_stop() -> None:
    stage = Pictures(ALWAYS, grab_s=4, duration_s=1)
    stage.jump(1)
    stage.jump(5)
    stage.end()
    # All slots but the first are dropped; the end adds a repeat.
    assert stage.counts() == (2, 0, 7)
    *_, last = stage.taken()
    assert last.pts + (last.duration or 0) == ticks(1)


@pytest.mark.parametrize("constant", [False, True])
def test_a_thread_that_runs_only_after_the_stop_still_grabs_a_frame(constant: bool) -> None:
    stage = Pictures(ALWAYS, constant=constant, begin_late_s=1 + LATEST_S, duration_s=1)
    stage.end()
    first, *others = stage.taken()
    assert (first.pts, first.part is not None) == (0, True)
    assert all(job.part is None for job in others)
    assert others[-1].pts + (others[-1].duration or 0) == ticks(1)
    # Nothing could look at the screen before, so no slot is lost; the last one repeats the frame.
    assert stage.counts() == ((8, 0, 0) if constant else (2, 6, 0))
    assert stage.events == []


def test_a_recording_shorter_than_the_wait_for_its_encoder_loses_no_slot() -> None:
    # One slot and a half.
    stage = Pictures(begin_late_s=1.0, duration_s=1.5 / FPS, late_s=STEP_S)
    stage.end()
    first, last = stage.taken()
    assert shown([first, last]) == [0, None]
    assert last.pts + (last.duration or 0) == ticks(1.5 / FPS)
    assert (stage.counts(), stage.events) == ((2, 0, 0), [])


@pytest.mark.parametrize("constant", [False, True])
def test_a_thread_that_is_held_up_from_the_beginning_to_the_stop_loses_slots(constant: bool) -> None:
    stage = Pictures(ALWAYS, constant=constant, begin_late_s=-STEP_S, duration_s=1)
    stage.jump(STEP_S + 1 + LATEST_S)
    stage.end()
    assert stage.counts() == ((8, 0, 6) if constant else (2, 0, 6))
    assert [(event.kind, event.at_s * FPS, event.count) for event in stage.events] == [(EventKind.DROPPED, 1, 6)]


def test_what_the_screen_shows_long_after_the_stop_is_not_recorded() -> None:
    stage = Pictures(ALWAYS, begin_late_s=1 + LATEST_S + STEP_S, duration_s=1)
    stage.end()
    assert stage.taken() == []


def test_a_picture_that_was_kept_since_the_beginning_is_recorded_however_late() -> None:
    stage = Pictures(begin_late_s=1 + LATEST_S + STEP_S, duration_s=1, late_s=STEP_S)
    stage.end()
    assert shown(stage.taken())[:1] == [0]


def test_what_the_screen_shows_in_a_pause_is_not_grabbed_after_the_stop() -> None:
    clock, timeline, jobs = SteppedClock(EPOCH_S), Timeline(EPOCH_S), Jobs(10)
    source = ScriptedFrames(clock, [(0.0, picture(0))])
    source.begin(EPOCH_S)
    frames = FrameGrabber(source, AS_GRABBED, timeline, jobs, clock, FPS, constant=False, report=lambda event: None)
    clock.advance(1.0)
    timeline.pause(EPOCH_S + 0.5)
    timeline.stop(clock.now_s())
    frames.run()
    assert source.grabs == 0


def test_every_slot_is_counted_once() -> None:
    random = np.random.default_rng(3)
    changes = [0.0, *np.cumsum(random.integers(1, 30, 40)) * STEP_S]
    stage = Pictures(changes, grab_s=STEP_S, duration_s=4)
    while stage.clock.now_s() < EPOCH_S + 3:
        stage.jump(STEP_S * int(random.choice([1, 1, 1, 1, 20])))
    stage.until(4)
    stage.end()
    assert sum(stage.counts()) == pytest.approx(4 * FPS, abs=1)
    assert stage.frames.unchanged > 0
    pts = [job.pts for job in stage.taken()]
    assert pts == sorted(set(pts))


@pytest.mark.parametrize("constant", [False, True])
def test_a_lost_screen_ends_the_thread_with_its_error(constant: bool) -> None:
    stage = Pictures([0.0, 1.0], lost_at_s=0.5, constant=constant)
    stage.until(1.0)
    assert stage.worker.join(LIMIT_S)
    assert isinstance(stage.worker.error, SourceLostError)
    stage.stop()
    # The last picture still lasts until the stop.
    last = stage.taken()[-1]
    assert (last.part, last.pts, last.duration) == (None, ticks(1.0) - SLOT, SLOT)


@pytest.mark.parametrize("constant", [False, True])
def test_a_screen_lost_during_a_pause_is_noticed_at_the_next_idle_check(constant: bool) -> None:
    stage = Pictures(ALWAYS, lost_at_s=2.0, constant=constant)
    stage.until(0.5)
    stage.pause()
    stage.until(2.0 + IDLE_INTERVAL_S)
    assert stage.worker.join(LIMIT_S)
    assert isinstance(stage.worker.error, SourceLostError)


@pytest.mark.parametrize("constant", [False, True])
def test_the_last_picture_of_a_hanging_screen_lasts_until_the_stop(constant: bool) -> None:
    stage = Pictures([0.0, 0.5], constant=constant)
    hangs, goes_on = threading.Event(), threading.Event()
    grab = stage.source.grab

    def hang() -> Frame:
        frame = grab()
        hangs.set()
        assert goes_on.wait(LIMIT_S)
        return frame

    stage.until(0.25)
    stage.source.grab = hang  # type: ignore[method-assign]
    stage.clock.advance(0.25)
    assert hangs.wait(LIMIT_S)
    stage.clock.advance(1.5)
    stage.timeline.stop(stage.clock.now_s())
    stage.frames.wake()
    stage.frames.conclude()
    jobs = stage.taken()
    if constant:
        assert [job.pts for job in jobs] == [slot * SLOT for slot in range(16)]
    assert (shown(jobs)[1:], jobs[-1].pts, jobs[-1].duration) == ([None] * (len(jobs) - 1), ticks(2.0) - SLOT, SLOT)
    # When the grab finally returns, its picture is discarded.
    goes_on.set()
    assert stage.worker.join(LIMIT_S)
    assert (stage.worker.error, stage.taken()) == (None, [])


def test_a_closed_queue_ends_the_frame_grabber_normally() -> None:
    stage = Pictures(ALWAYS)
    stage.jobs.close()
    stage.until(0.5)
    stage.stop()
    assert stage.worker.error is None


@pytest.mark.parametrize("fps", [8, 25, 30, 29.97, 7])
def test_a_constant_rate_gives_an_exact_grid(fps: float) -> None:
    stage = Pictures([0.0, 0.5, 1.1], fps=fps, constant=True, duration_s=2)
    stage.until(2)
    stage.end()
    jobs = stage.taken()
    assert [job.pts for job in jobs] == [round(slot * VIDEO_TICKS_PER_S / fps) for slot in range(math.ceil(2 * fps))]
    assert {job.duration for job in jobs} == {round(VIDEO_TICKS_PER_S / fps)}
    assert [number for number in shown(jobs) if number is not None] == [0, 1, 2]
    assert stage.counts() == (len(jobs), 0, 0)


def test_slots_missed_on_the_grid_repeat_the_last_picture() -> None:
    stage = Pictures(ALWAYS, constant=True, grab_s=0.4, duration_s=1)
    stage.until(1.5)
    stage.end()
    jobs = stage.taken()
    assert [job.pts for job in jobs] == [slot * SLOT for slot in range(8)]
    # Grabs follow each other without a break; the third ends after the stop.
    assert shown(jobs) == [0, None, None, 26, None, None, 52, None]
    assert stage.counts() == (8, 0, 5)


@pytest.mark.parametrize("fps", [8, 30])
def test_the_grid_ends_at_the_stop_even_if_the_thread_stalls_past_it(fps: float) -> None:
    stage = Pictures(fps=fps, constant=True, duration_s=1.03125)
    stage.until(0.5)
    stage.jump(5)
    stage.end()
    slots = math.ceil(1.03125 * fps)
    assert [job.pts for job in stage.taken()] == [round(slot * VIDEO_TICKS_PER_S / fps) for slot in range(slots)]


def test_the_grid_continues_after_a_pause() -> None:
    stage = Pictures(ALWAYS, constant=True)
    stage.until(1.0625)
    stage.pause()
    stage.until(3)
    assert [job.pts for job in stage.taken()] == [slot * SLOT for slot in range(9)]
    stage.resume()
    stage.until(4)
    stage.stop()
    assert [job.pts for job in stage.taken()] == [slot * SLOT for slot in range(9, 17)]


def test_the_grid_stays_complete_while_the_queue_is_full() -> None:
    stage = Pictures(ALWAYS, constant=True, duration_s=1)
    stage.until(0.375 - STEP_S)
    stage.jobs.declines = True
    stage.until(0.625 - STEP_S)
    stage.jobs.declines = False
    stage.until(1)
    stage.end()
    jobs = stage.taken()
    assert [job.pts for job in jobs] == [slot * SLOT for slot in range(8)]
    assert shown(jobs) == [0, 8, 16, None, None, 40, 48, 56]
    assert stage.counts() == (8, 0, 2)


def test_what_waits_for_the_encoder_is_converted_and_the_source_has_its_memory_back() -> None:
    lent: list[weakref.ref[Pixels]] = []

    class Screen(ScriptedFrames):
        def grab(self) -> Frame:
            frame = super().grab()
            pixels = np.full((48, 64, 4), 128, np.uint8)
            lent.append(weakref.ref(pixels))
            return Frame(pixels, frame.captured_at_s)

    stage = GrabberStage()
    source = Screen(stage.clock, [(at_s, picture(0)) for at_s in ALWAYS])
    source.begin(EPOCH_S)
    jobs = Jobs(100)
    parts = Converter(64, 48, (64, 48), yuv_converter(exact=False), in_place=True).parts
    stage.start(FrameGrabber(source, parts, stage.timeline, jobs, stage.clock, FPS))
    stage.until(1.0)
    assert len(lent) > 4
    assert not any(pixels() is not None for pixels in lent)
    stage.stop()
    waiting = [job.part for job in iter(lambda: jobs.get(timeout_s=0) if jobs.filled() else None, None)]
    assert [part.planes[0].shape for part in waiting if isinstance(part, YuvPart)] == [(48, 64)] * len(lent)
