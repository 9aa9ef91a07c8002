"""When a picture is taken and when it is left out; sound to the last sample. A clock moves only when it is told to."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from capture.clock import SteppedClock
from capture.errors import SourceLostError
from capture.events import Event
from capture.media import SAMPLE_RATE, VIDEO_TICKS_PER_S, Frame, Pixels, Samples
from capture.pipeline.frame_grabber import HEARTBEAT_S, LEAST_STEP, FrameGrabber, FrameJob
from capture.pipeline.sound_grabber import STRAGGLERS_S, SoundGrabber
from capture.sources.protocols import IDLE_INTERVAL_S
from capture.sources.scripted import ScriptedBlock, ScriptedFrames, ScriptedSamples
from capture.threads.mailbox import Closed, Mailbox
from capture.threads.worker import Worker
from capture.timing.timeline import Timeline

EPOCH_S = 64.0

#: Binary fractions add up without rounding, so that a moment is reached exactly.
STEP_S = 1 / 64
FPS = 8
SLOT = VIDEO_TICKS_PER_S // FPS

LIMIT_S = 30.0


def picture(number: int) -> Pixels:
    """A picture that holds its number."""
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, 0, :2] = divmod(number, 256)
    return pixels


def ticks(seconds: float) -> int:
    return round(seconds * VIDEO_TICKS_PER_S)


class Stage:
    """A timeline, a clock, and a grabber in a thread of its own."""

    def __init__(self, duration_s: float = math.inf) -> None:
        self.clock = SteppedClock(EPOCH_S)
        self.timeline = Timeline(EPOCH_S, duration_s)

    def start(self, grabber: FrameGrabber | SoundGrabber) -> None:
        self.grabber = grabber
        self.worker = Worker("grabber", grabber.run)
        self.worker.start()
        self.settle()

    def settle(self) -> None:
        """Wait until the thread waits for the clock again, or has ended."""
        for _ in range(round(LIMIT_S / 0.05)):
            if self.worker.join(0):
                return
            try:
                self.clock.await_waiters(1, timeout_s=0.05)
            except AssertionError:
                continue
            return
        pytest.fail("the grabber waits for something else than the clock")

    def until(self, at_s: float) -> None:
        """Go on to `at_s` after the epoch, step by step."""
        while self.clock.now_s() < EPOCH_S + at_s:
            self.jump(STEP_S)

    def jump(self, by_s: float) -> None:
        """Go on at once, as if the thread had not been let run meanwhile."""
        self.clock.advance(by_s)
        self.settle()

    def pause(self) -> None:
        self._tell(self.timeline.pause)

    def resume(self) -> None:
        self._tell(self.timeline.resume)

    def stop(self) -> None:
        self._tell(self.timeline.stop)
        self.end()

    def _tell(self, command: object) -> None:
        assert callable(command)
        command(self.clock.now_s())
        self.grabber.wake()
        self.settle()

    def end(self) -> None:
        assert self.worker.join(LIMIT_S)


class Jobs(Mailbox[FrameJob]):
    """The way to an encoder, which may be behind."""

    declines = False

    def has_room(self) -> bool:
        return not self.declines and super().has_room()


class Pictures(Stage):
    """A stage on which a screen is grabbed. `changes` are the seconds at which picture 0, 1, … comes."""

    def __init__(
        self,
        changes: Sequence[float] = (0.0,),
        *,
        fps: float = FPS,
        constant: bool = False,
        duration_s: float = math.inf,
        grab_s: float = 0.0,
        lost_at_s: float = math.inf,
        begin_late_s: float = 0.0,
    ) -> None:
        super().__init__(duration_s)
        script = [(at_s, picture(number)) for number, at_s in enumerate(changes)]
        self.source = ScriptedFrames(self.clock, script, grab_s=grab_s, lost_at_s=lost_at_s)
        self.source.begin(EPOCH_S)
        self.jobs = Jobs(1000)
        self.events: list[Event] = []
        self.frames = FrameGrabber(
            self.source, self.timeline, self.jobs, self.clock, fps, constant=constant, tell=self.events.append
        )
        self.clock.advance(begin_late_s)
        self.start(self.frames)

    def end(self) -> None:
        super().end()
        with suppress(Closed):
            self.frames.conclude()

    def taken(self) -> list[FrameJob]:
        """What was grabbed since the last call."""
        jobs = []
        while True:
            try:
                jobs.append(self.jobs.get(timeout_s=0))
            except (TimeoutError, Closed):
                return jobs

    def counts(self) -> tuple[int, int, int]:
        return self.frames.frames, self.frames.unchanged, self.frames.dropped


def shown(jobs: Sequence[FrameJob]) -> list[int | None]:
    """The number of each picture; None where the last one is repeated."""
    return [None if job.pixels is None else 256 * int(job.pixels[0, 0, 0]) + int(job.pixels[0, 0, 1]) for job in jobs]


def moments_s(jobs: Sequence[FrameJob]) -> list[float]:
    return [job.pts / VIDEO_TICKS_PER_S for job in jobs]


ALWAYS = [number * STEP_S for number in range(64 * 5)]


# Pictures at a variable rate


def test_a_picture_that_changes_all_the_time_is_taken_once_a_slot() -> None:
    stage = Pictures(ALWAYS, duration_s=2)
    stage.until(2)
    stage.end()
    *jobs, last = stage.taken()
    assert [job.pts for job in jobs] == [slot * SLOT for slot in range(16)]
    assert shown(jobs) == [slot * 8 for slot in range(16)]
    assert shown([last]) == [None]
    assert stage.counts() == (17, 0, 0)
    assert stage.source.grabs == 16


def test_the_first_frame_stands_for_the_beginning() -> None:
    stage = Pictures(begin_late_s=5 * STEP_S)
    (first,) = stage.taken()
    assert first.pts == 0
    assert shown([first]) == [0]
    stage.stop()


def test_a_change_is_taken_at_its_moment() -> None:
    changes = [0.0, 0.5 + 3 * STEP_S, 1.0, 1.25 + 7 * STEP_S]
    stage = Pictures(changes, duration_s=1.75)
    stage.until(1.75)
    stage.end()
    *jobs, _ = stage.taken()
    assert [job.pts for job in jobs] == [ticks(at_s) for at_s in changes]
    assert shown(jobs) == [0, 1, 2, 3]


def test_a_second_change_in_a_slot_waits_for_the_next() -> None:
    stage = Pictures([0.0, 0.25 + STEP_S, 0.25 + 2 * STEP_S, 0.25 + 3 * STEP_S], duration_s=0.75)
    stage.until(0.75)
    stage.end()
    *jobs, _ = stage.taken()
    assert [job.pts for job in jobs] == [0, ticks(0.25 + STEP_S), ticks(0.375)]
    assert shown(jobs) == [0, 1, 3]


def test_slots_in_which_nothing_changed_cost_nothing_and_are_counted() -> None:
    stage = Pictures([0.0, 0.5 + STEP_S], duration_s=1)
    stage.until(1)
    stage.end()
    assert stage.source.grabs == 2
    # In the last slot the last frame is repeated.
    assert stage.counts() == (3, 5, 0)


def test_a_still_picture_is_sent_again_before_long() -> None:
    stage = Pictures()
    stage.until(3)
    jobs = stage.taken()
    assert shown(jobs) == [0] + [None] * (len(jobs) - 1)
    # The first step at which 0.55 s have passed, to the tick.
    assert moments_s(jobs) == pytest.approx([0.0, 0.5625, 1.125, 1.6875, 2.25, 2.8125], abs=2 / VIDEO_TICKS_PER_S)
    assert all(later - earlier >= HEARTBEAT_S for earlier, later in pairwise(moments_s(jobs)))
    assert all(job.duration is None for job in jobs)
    stage.stop()


def test_the_last_frame_reaches_to_the_stop() -> None:
    stage = Pictures([0.0, 0.25])
    stage.until(0.75)
    stage.stop()
    *_, last = stage.taken()
    stopped = ticks(stage.timeline.media_s(stage.timeline.stop_s))
    assert (last.pts, last.duration, last.pixels) == (stopped - SLOT, SLOT, None)


def test_the_last_frame_comes_after_all_others_and_still_ends_with_the_stop() -> None:
    stage = Pictures([0.0, 0.5 + 7 * STEP_S])
    stage.until(0.5 + 7 * STEP_S)
    stage.jump(STEP_S / 2)
    stage.stop()
    *_, before, last = stage.taken()
    assert last.pts == before.pts + LEAST_STEP
    assert last.duration == ticks(STEP_S / 2) - LEAST_STEP


def test_a_recording_of_no_length_has_no_frame() -> None:
    stage = Pictures(duration_s=0)
    stage.end()
    assert stage.taken() == []
    assert stage.counts() == (0, 0, 0)


def test_nothing_is_taken_in_a_pause_and_nothing_is_missing_after_it() -> None:
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
    # The slot that had begun when the pause came is over: the next begins a step after the end of the pause.
    assert [job.pts for job in after] == [slot * SLOT for slot in range(8, 12)]
    assert shown(after)[0] == (2.5 + STEP_S) / STEP_S
    assert stage.frames.dropped == 0
    assert last.pts + (last.duration or 0) == ticks(1.5 - STEP_S)


def test_what_changed_in_a_pause_is_seen_after_it() -> None:
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


def test_a_pause_counts_as_no_slots() -> None:
    stage = Pictures()
    stage.until(0.25)
    stage.pause()
    stage.until(3.25)
    stage.resume()
    stage.until(3.5)
    stage.stop()
    # Of the four slots in half a second the last has the last frame again.
    assert stage.counts() == (2, 2, 0)


def test_a_stop_in_a_pause_ends_where_the_pause_began() -> None:
    stage = Pictures(ALWAYS)
    stage.until(1 + STEP_S)
    stage.pause()
    stage.until(3)
    stage.stop()
    *_, last = stage.taken()
    assert last.pts + (last.duration or 0) == ticks(1 + STEP_S)


def test_frames_for_which_there_is_no_room_are_dropped_and_counted() -> None:
    stage = Pictures(ALWAYS)
    stage.until(0.25 - STEP_S)
    stage.jobs.declines = True
    stage.until(1)
    assert stage.counts() == (2, 0, 7)
    assert stage.source.grabs == 2, "what cannot be sent is not grabbed"
    assert moments_s(stage.taken()) == [0.0, 0.125]
    assert [(event.kind, event.at_s, event.to_s, event.count) for event in stage.events] == [
        ("dropped", slot / FPS, (slot + 1) / FPS, 1) for slot in range(2, 9)
    ]
    stage.jobs.declines = False
    stage.until(1.125)
    (caught_up,) = stage.taken()
    assert moments_s([caught_up]) == [1.125]
    assert shown([caught_up]) == [72]
    stage.stop()


def test_slots_that_pass_while_a_frame_is_grabbed_are_lost_if_something_changed() -> None:
    stage = Pictures(ALWAYS, grab_s=0.4)
    stage.until(0.9)
    # One grab after the other, and each reaches into the third slot after its own.
    assert stage.counts() == (2, 0, 4)
    assert [job.pts for job in stage.taken()] == [0, ticks(0.40625)]
    assert [(event.at_s * FPS, event.end_s * FPS, event.count) for event in stage.events] == [(1, 3, 2), (4, 6, 2)]
    stage.timeline.stop(stage.clock.now_s())
    stage.until(1.5)
    stage.end()


def test_slots_that_pass_while_a_frame_is_grabbed_are_unchanged_if_nothing_changed() -> None:
    stage = Pictures(grab_s=0.4)
    stage.until(0.4 + STEP_S)
    assert stage.counts() == (1, 2, 0)
    assert stage.events == []
    stage.stop()


def test_slots_that_the_thread_slept_through_are_unchanged_if_nothing_changed() -> None:
    stage = Pictures()
    stage.until(0.25)
    stage.jump(0.25)
    assert stage.counts() == (1, 3, 0)
    stage.stop()


def test_a_screen_that_rests_is_not_looked_at_in_every_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Pictures([0.0, 8.1], fps=64)
    looks: list[float] = []
    wait = stage.source.wait_for_change

    def look(until_s: float) -> bool:
        looks.append(until_s)
        return wait(until_s)

    monkeypatch.setattr(stage.source, "wait_for_change", look)
    stage.until(8)
    # Half a second slot by slot, and then a few times a second.
    assert len(looks) < 0.5 * 64 + 8 * 5
    assert sum(stage.counts()) == pytest.approx(8 * 64, abs=64 // 2)
    stage.until(10)
    stage.stop()
    # What comes then is seen at once, and every slot is accounted for.
    new = next(job for job in stage.taken() if job.pixels is not None and job.pts)
    assert new.pts == pytest.approx(ticks(8.1), abs=ticks(STEP_S))
    assert sum(stage.counts()) == pytest.approx(10 * 64, abs=1)


def test_a_grab_that_ends_after_the_stop_loses_only_what_was_before_it() -> None:
    stage = Pictures(ALWAYS, grab_s=4, duration_s=1)
    stage.jump(1)
    stage.jump(5)
    stage.end()
    # The slots of the recording but the first, and the repeated frame at its end.
    assert stage.counts() == (2, 0, 7)
    *_, last = stage.taken()
    assert last.pts + (last.duration or 0) == ticks(1)


def test_every_slot_is_accounted_for() -> None:
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
def test_a_lost_screen_ends_the_thread_with_what_happened(constant: bool) -> None:
    stage = Pictures([0.0, 1.0], lost_at_s=0.5, constant=constant)
    stage.until(1.0)
    assert stage.worker.join(LIMIT_S)
    assert isinstance(stage.worker.error, SourceLostError)
    stage.stop()
    # The last picture lasts until the stop all the same.
    last = stage.taken()[-1]
    assert (last.pixels, last.pts, last.duration) == (None, ticks(1.0) - SLOT, SLOT)


@pytest.mark.parametrize("constant", [False, True])
def test_a_screen_that_is_lost_in_a_pause_is_missed_within_a_second(constant: bool) -> None:
    stage = Pictures(ALWAYS, lost_at_s=2.0, constant=constant)
    stage.until(0.5)
    stage.pause()
    stage.until(2.0 + IDLE_INTERVAL_S)
    assert stage.worker.join(LIMIT_S)
    assert isinstance(stage.worker.error, SourceLostError)


@pytest.mark.parametrize("constant", [False, True])
def test_a_screen_that_hangs_has_its_last_picture_until_the_stop(constant: bool) -> None:
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
    # When it answers at last nobody wants its picture any more.
    goes_on.set()
    assert stage.worker.join(LIMIT_S)
    assert (stage.worker.error, stage.taken()) == (None, [])


def test_a_closed_mailbox_is_the_ordinary_end() -> None:
    stage = Pictures(ALWAYS)
    stage.jobs.close()
    stage.until(0.5)
    stage.stop()
    assert stage.worker.error is None


# Pictures on a grid


@pytest.mark.parametrize("fps", [8, 25, 30, 29.97, 7])
def test_a_constant_rate_is_an_exact_grid(fps: float) -> None:
    stage = Pictures([0.0, 0.5, 1.1], fps=fps, constant=True, duration_s=2)
    stage.until(2)
    stage.end()
    jobs = stage.taken()
    assert [job.pts for job in jobs] == [round(slot * VIDEO_TICKS_PER_S / fps) for slot in range(math.ceil(2 * fps))]
    assert {job.duration for job in jobs} == {round(VIDEO_TICKS_PER_S / fps)}
    assert [number for number in shown(jobs) if number is not None] == [0, 1, 2]
    assert stage.counts() == (len(jobs), 0, 0)


def test_slots_missed_on_the_grid_are_filled_with_the_last_picture() -> None:
    stage = Pictures(ALWAYS, constant=True, grab_s=0.4, duration_s=1)
    stage.until(1.5)
    stage.end()
    jobs = stage.taken()
    assert [job.pts for job in jobs] == [slot * SLOT for slot in range(8)]
    # One grab after the other; the third ends after the stop.
    assert shown(jobs) == [0, None, None, 26, None, None, 52, None]
    assert stage.counts() == (8, 0, 5)


@pytest.mark.parametrize("fps", [8, 30])
def test_the_grid_ends_with_the_stop_even_if_the_thread_slept_past_it(fps: float) -> None:
    stage = Pictures(fps=fps, constant=True, duration_s=1.03125)
    stage.until(0.5)
    stage.jump(5)
    stage.end()
    slots = math.ceil(1.03125 * fps)
    assert [job.pts for job in stage.taken()] == [round(slot * VIDEO_TICKS_PER_S / fps) for slot in range(slots)]


def test_the_grid_goes_on_where_a_pause_interrupted_it() -> None:
    stage = Pictures(ALWAYS, constant=True)
    stage.until(1.0625)
    stage.pause()
    stage.until(3)
    assert [job.pts for job in stage.taken()] == [slot * SLOT for slot in range(9)]
    stage.resume()
    stage.until(4)
    stage.stop()
    assert [job.pts for job in stage.taken()] == [slot * SLOT for slot in range(9, 17)]


def test_the_grid_holds_when_there_is_no_room() -> None:
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


# Sound


class Sound(Stage):
    """A stage on which a sound source is read. Blocks are of an eighth of a second."""

    LENGTH = SAMPLE_RATE // 8

    def __init__(
        self, late_s: Sequence[float], *, duration_s: float = math.inf, lost_at_s: float = math.inf, number: int = 0
    ) -> None:
        super().__init__(duration_s)
        script = [
            ScriptedBlock(np.full((self.LENGTH, 2), place, np.float32), place / 8, late_s=late)
            for place, late in enumerate(late_s)
        ]
        self.source = ScriptedSamples("internal", self.clock, script, lost_at_s=lost_at_s)
        self.source.begin(EPOCH_S)
        self.blocks: Mailbox[tuple[int, Samples]] = Mailbox(1000)
        grabber = SoundGrabber(self.source, self.clock)
        self.ended = grabber.begin_take(self.timeline, lambda samples: self.blocks.put((number, samples)))
        self.start(grabber)

    def settle(self) -> None:
        """A take that is over ends the thread."""
        super().settle()
        if self.ended.is_set():
            assert isinstance(self.grabber, SoundGrabber)
            self.grabber.close()
            self.worker.join(LIMIT_S)

    def taken(self) -> list[tuple[int, int]]:
        """The number of the track's source, and that of the block, of each that came."""
        found: list[tuple[int, int]] = []
        while True:
            try:
                number, samples = self.blocks.get(timeout_s=0)
            except (TimeoutError, Closed):
                return found
            assert samples.captured_at_s == EPOCH_S + samples.data[0, 0] / 8
            found.append((number, int(samples.data[0, 0])))

    @property
    def now_s(self) -> float:
        return self.clock.now_s() - EPOCH_S


def run_to_the_end(stage: Sound, limit_s: float) -> None:
    while not stage.worker.join(0):
        assert stage.now_s < limit_s
        stage.jump(STEP_S)


def test_every_block_is_handed_on_under_its_number() -> None:
    stage = Sound([0.0] * 8, duration_s=1, number=3)
    run_to_the_end(stage, 2)
    assert stage.taken() == [(3, place) for place in range(8)]


def test_reading_ends_when_the_sound_up_to_the_stop_has_come() -> None:
    stage = Sound([0.0] * 20, duration_s=1.1)
    run_to_the_end(stage, 2)
    assert stage.now_s == 1.125
    assert stage.taken()[-1] == (0, 8)


def test_a_device_with_nothing_to_deliver_is_not_waited_for_long() -> None:
    stage = Sound([], duration_s=1)
    run_to_the_end(stage, 2)
    assert 1 + STRAGGLERS_S <= stage.now_s < 1 + STRAGGLERS_S + STEP_S
    assert stage.taken() == []
    assert stage.worker.error is None


def test_stragglers_from_before_the_stop_are_taken_in() -> None:
    stage = Sound([0.125] * 8, duration_s=1)
    run_to_the_end(stage, 2)
    assert stage.now_s == 1.125
    assert len(stage.taken()) == 8


def test_what_comes_too_late_stays_out() -> None:
    stage = Sound([0.0] * 7 + [0.5], duration_s=1)
    run_to_the_end(stage, 2)
    assert stage.now_s < 1 + STRAGGLERS_S + STEP_S
    assert len(stage.taken()) == 7


def test_a_stop_is_noticed_while_nothing_comes() -> None:
    stage = Sound([])
    stage.until(10)
    stage.timeline.stop(stage.clock.now_s())
    stage.grabber.wake()
    stage.settle()
    assert not stage.worker.join(0)
    run_to_the_end(stage, 10.5)
    assert stage.now_s < 10 + STRAGGLERS_S + STEP_S


def test_sound_goes_on_in_a_pause() -> None:
    stage = Sound([0.0] * 16)
    stage.until(0.5)
    stage.pause()
    stage.until(1.5)
    stage.resume()
    stage.until(2)
    stage.stop()
    assert len(stage.taken()) == 16


def test_a_lost_device_ends_the_thread_with_what_happened() -> None:
    stage = Sound([0.0] * 8, lost_at_s=0.5)
    stage.until(0.5)
    stage.end()
    assert isinstance(stage.worker.error, SourceLostError)
    assert len(stage.taken()) == 4


class Takes(Stage):
    """A stage on which a source is read that says silence for ever, from take to take."""

    def __init__(self, *, keep_s: float = 0.0, lost_at_s: float = math.inf) -> None:
        super().__init__()
        script = [ScriptedBlock(np.zeros((Sound.LENGTH, 2), np.float32), place / 8) for place in range(800)]
        self.source = ScriptedSamples("internal", self.clock, script, lost_at_s=lost_at_s)
        self.source.begin(EPOCH_S)
        self.reader = SoundGrabber(self.source, self.clock, keep_s=keep_s)
        self.handed_on_s: list[float] = []

    def take(self, epoch_s: float) -> Timeline:
        timeline = Timeline(EPOCH_S + epoch_s)
        self.ended = self.reader.begin_take(timeline, self.note)
        return timeline

    def note(self, samples: Samples) -> None:
        self.handed_on_s.append(samples.captured_at_s - EPOCH_S)

    def finish(self, timeline: Timeline) -> None:
        timeline.stop(self.clock.now_s())
        self.reader.wake()
        self.settle()

    def close(self) -> None:
        self.reader.close()
        self.end()


def test_a_take_begins_with_what_was_kept() -> None:
    stage = Takes(keep_s=0.5)
    stage.start(stage.reader)
    stage.until(2)
    timeline = stage.take(1.75)
    stage.settle()
    assert stage.handed_on_s == [1.375, 1.5, 1.625, 1.75, 1.875]
    stage.until(2.25)
    assert stage.handed_on_s[5:] == [2.0, 2.125]
    stage.finish(timeline)
    assert stage.ended.is_set()
    stage.until(3)
    assert len(stage.handed_on_s) == 7
    stage.close()


def test_one_take_follows_the_other() -> None:
    stage = Takes()
    stage.start(stage.reader)
    for begin_s in (1, 2):
        stage.until(begin_s)
        timeline = stage.take(begin_s)
        stage.until(begin_s + 0.5)
        stage.finish(timeline)
        assert stage.ended.is_set()
    assert stage.handed_on_s == [1.0, 1.125, 1.25, 1.375, 2.0, 2.125, 2.25, 2.375]
    stage.close()


def test_a_take_whose_track_takes_nothing_more_ends_and_the_device_goes_on() -> None:
    stage = Takes()
    stage.start(stage.reader)

    def refuse(samples: Samples) -> None:
        raise Closed

    ended = stage.reader.begin_take(Timeline(EPOCH_S), refuse)
    stage.until(0.25)
    assert ended.is_set()
    stage.take(0.25)
    stage.until(0.5)
    assert stage.handed_on_s == [0.25, 0.375]
    stage.close()


def test_a_take_of_a_device_that_is_gone_is_over_at_once() -> None:
    stage = Takes(lost_at_s=0.5)
    stage.start(stage.reader)
    stage.until(0.5)
    stage.end()
    assert isinstance(stage.worker.error, SourceLostError)
    stage.take(0.5)
    assert stage.ended.is_set()


def test_a_take_that_begins_at_the_worst_moment_is_not_lost() -> None:
    stage = Takes()

    class Interrupted(SoundGrabber):
        """Reads on one thread what another has just changed."""

        _asked = 0
        _held: Any = None

        @property
        def _next_take(self) -> Any:
            found = self._held
            self._asked += 1
            if self._asked == 2:
                stage.take(0)
            return found

        @_next_take.setter
        def _next_take(self, take: Any) -> None:
            self._held = take

    stage.reader = Interrupted(stage.source, stage.clock)
    stage.start(stage.reader)
    stage.until(0.5)
    assert stage.handed_on_s == [0.125, 0.25, 0.375]
    stage.close()
