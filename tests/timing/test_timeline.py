"""The timeline maps moments to media time, and frames to pts."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.media import VIDEO_TICKS_PER_S
from capture.timing.timeline import FrameTimeline, Timeline

EPOCH_S = 1000.0


def test_media_time_begins_at_the_epoch() -> None:
    timeline = Timeline(EPOCH_S)
    assert timeline.media_s(EPOCH_S - 5) == 0.0
    assert timeline.media_s(EPOCH_S) == 0.0
    assert timeline.media_s(EPOCH_S + 2.5) == 2.5
    assert timeline.stop_s == math.inf


def test_media_time_stops_during_a_pause() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.pause(EPOCH_S + 2)
    assert timeline.media_s(EPOCH_S + 1) == 1.0
    assert timeline.media_s(EPOCH_S + 7) == 2.0
    timeline.resume(EPOCH_S + 8)
    assert timeline.media_s(EPOCH_S + 7) == 2.0
    assert timeline.media_s(EPOCH_S + 9) == 3.0
    assert timeline.pauses() == ((EPOCH_S + 2, EPOCH_S + 8),)
    assert [timeline.paused_s(EPOCH_S + at_s) for at_s in (1, 2, 5, 8, 20)] == [0, 0, 3, 6, 6]


def test_the_current_pause_ends_at_infinity() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.pause(EPOCH_S + 2)
    assert timeline.pauses() == ((EPOCH_S + 2, math.inf),)
    assert timeline.paused_s(EPOCH_S + 6) == 4.0


def test_repeated_pauses_and_resumes_are_ignored() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.resume(EPOCH_S + 1)
    timeline.pause(EPOCH_S + 2)
    timeline.pause(EPOCH_S + 3)
    timeline.resume(EPOCH_S + 4)
    timeline.resume(EPOCH_S + 5)
    assert timeline.pauses() == ((EPOCH_S + 2, EPOCH_S + 4),)


def test_a_pause_before_the_epoch_counts_from_the_epoch() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.pause(EPOCH_S - 3)
    assert timeline.media_s(EPOCH_S + 1) == 0.0
    timeline.resume(EPOCH_S + 2)
    assert timeline.media_s(EPOCH_S + 3) == 1.0


def test_commands_out_of_order_make_no_overlapping_pauses() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.pause(EPOCH_S + 2)
    timeline.resume(EPOCH_S + 5)
    timeline.pause(EPOCH_S + 4)
    timeline.resume(EPOCH_S + 6)
    timeline.pause(EPOCH_S + 8)
    timeline.resume(EPOCH_S + 7)
    assert all(start_s <= end_s for start_s, end_s in timeline.pauses())
    assert timeline.paused_s(EPOCH_S + 9) == 4.0
    assert timeline.media_s(EPOCH_S + 9) == 5.0


def test_a_part_is_full_once_its_length_was_recorded_without_pauses() -> None:
    timeline = Timeline(EPOCH_S)
    for start_s, end_s in ((1, 2), (4, 6), (8, 9), (20, 30)):
        timeline.pause(EPOCH_S + start_s)
        timeline.resume(EPOCH_S + end_s)
    # It begins in the second pause; the last one comes after its end.
    assert timeline.full_at_s(EPOCH_S + 5, 3) == EPOCH_S + 5 + 3 + 1 + 1
    assert timeline.full_at_s(EPOCH_S + 5, math.inf) == math.inf
    timeline.pause(EPOCH_S + 40)
    assert timeline.full_at_s(EPOCH_S + 35, 4) == EPOCH_S + 39
    assert timeline.full_at_s(EPOCH_S + 35, 6) == math.inf


def test_the_earliest_stop_wins() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.stop(EPOCH_S + 5)
    timeline.stop(EPOCH_S + 7)
    assert timeline.stop_s == EPOCH_S + 5
    timeline.stop(EPOCH_S + 4)
    assert timeline.stop_s == EPOCH_S + 4
    timeline.stop(EPOCH_S - 4)
    assert timeline.stop_s == EPOCH_S, "a recording must not end before it begins"


def test_pauses_delay_the_end_of_a_fixed_duration() -> None:
    timeline = Timeline(EPOCH_S, duration_s=10)
    assert timeline.stop_s == EPOCH_S + 10
    timeline.pause(EPOCH_S + 4)
    assert timeline.stop_s == math.inf
    timeline.resume(EPOCH_S + 7)
    assert timeline.stop_s == EPOCH_S + 13
    assert timeline.media_s(timeline.stop_s) == 10.0
    timeline.stop(EPOCH_S + 12)
    assert timeline.stop_s == EPOCH_S + 12


def test_a_pause_after_the_end_changes_nothing() -> None:
    timeline = Timeline(EPOCH_S, duration_s=10)
    timeline.pause(EPOCH_S + 4)
    timeline.resume(EPOCH_S + 5)
    timeline.pause(EPOCH_S + 11)
    assert timeline.stop_s == EPOCH_S + 11
    timeline.resume(EPOCH_S + 30)
    timeline.pause(EPOCH_S + 31)
    assert timeline.stop_s == EPOCH_S + 11


def test_a_stop_during_a_pause_ends_the_recording_at_the_pause() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.pause(EPOCH_S + 2)
    timeline.stop(EPOCH_S + 6)
    assert timeline.stop_s == EPOCH_S + 6
    assert timeline.media_s(timeline.stop_s) == 2.0


def test_the_recording_is_between_epoch_and_stop_and_outside_pauses() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.pause(EPOCH_S + 2)
    timeline.resume(EPOCH_S + 4)
    timeline.stop(EPOCH_S + 6)
    recorded = {at_s: timeline.is_recorded(EPOCH_S + at_s) for at_s in (-0.1, 0, 1.9, 2, 3.9, 4, 5.9, 6, 6.1)}
    assert recorded == {-0.1: False, 0: True, 1.9: True, 2: False, 3.9: False, 4: True, 5.9: True, 6: True, 6.1: False}


@settings(max_examples=100)
@given(
    steps_s=st.lists(st.floats(0.001, 20), max_size=12),
    duration_s=st.floats(0.5, 60),
)
def test_pauses_do_not_change_the_recorded_duration(steps_s: list[float], duration_s: float) -> None:
    timeline = Timeline(EPOCH_S, duration_s)
    now_s, seen_s = EPOCH_S, [0.0]
    for number, step_s in enumerate(steps_s):
        now_s += step_s
        (timeline.resume if number % 2 else timeline.pause)(now_s)
        seen_s.append(timeline.media_s(now_s))
    timeline.resume(now_s)
    assert seen_s == sorted(seen_s)
    assert timeline.media_s(timeline.stop_s) == pytest.approx(duration_s, abs=1e-9)


def test_pts_are_media_time_in_90_000ths_of_a_second() -> None:
    timeline = Timeline(EPOCH_S)
    frames = FrameTimeline(timeline)
    assert frames.last_pts == -1
    assert frames.pts(EPOCH_S) == 0
    assert frames.pts(EPOCH_S + 1 / 30) == 3000
    timeline.pause(EPOCH_S + 1)
    timeline.resume(EPOCH_S + 5)
    assert frames.pts(EPOCH_S + 7) == 3 * VIDEO_TICKS_PER_S
    assert frames.last_pts == 3 * VIDEO_TICKS_PER_S


@settings(max_examples=100)
@given(moments_s=st.lists(st.floats(EPOCH_S - 1, EPOCH_S + 1), min_size=1))
def test_pts_increase_strictly_for_any_stamps(moments_s: list[float]) -> None:
    frames = FrameTimeline(Timeline(EPOCH_S))
    pts = [frames.pts(moment_s) for moment_s in moments_s]
    assert pts[0] >= 0
    assert all(later > earlier for earlier, later in pairwise(pts))
