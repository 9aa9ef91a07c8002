"""The frame grabber takes and repeats pictures at the right moments, on a stepped clock."""

from __future__ import annotations

import threading
import weakref
from itertools import pairwise

import numpy as np
import pytest
from grabbed_pictures import ALWAYS, FPS, SLOT, Jobs, Pictures, moments_s, picture, shown, ticks
from grabber_stage import AS_GRABBED, EPOCH_S, LIMIT_S, STEP_S, GrabberStage

from capture.clock import SteppedClock
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import SourceLostError
from capture.events import EventKind
from capture.media import VIDEO_TICKS_PER_S, Frame, Pixels
from capture.pipeline.frame_grabber import HEARTBEAT_S, LATEST_S, LEAST_STEP, FrameGrabber
from capture.pixels.yuv_part import YuvPart
from capture.sources.protocols import IDLE_INTERVAL_S
from capture.sources.scripted import ScriptedFrames
from capture.timing.timeline import Timeline


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
    encoder = VideoEncoder("h264", 64, 48, FPS)
    stage.start(FrameGrabber(source, encoder.parts, stage.timeline, jobs, stage.clock, FPS))
    stage.until(1.0)
    assert len(lent) > 4
    assert not any(pixels() is not None for pixels in lent)
    stage.stop()
    encoder.close()
    waiting = [job.part for job in iter(lambda: jobs.get(timeout_s=0) if jobs.filled() else None, None)]
    assert [part.planes[0].shape for part in waiting if isinstance(part, YuvPart)] == [(48, 64)] * len(lent)
