"""Sources that hear several things at once: each lane stands where it was heard, and all are mixed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from test_sound_track import EPOCH_S, STEP, Stage, constant, tone

from capture.media import SAMPLE_RATE, SampleArray, Samples
from capture.timing.sample_timeline import SampleTimeline
from capture.timing.timeline import Timeline

BLOCK = SAMPLE_RATE // 10


def play(stage: Stage, sound: SampleArray, lane: int, from_s: float, *, announced: bool = True) -> None:
    """Have source 0 deliver `sound` in a lane, in blocks of 0.1 s, and say where it begins and ends."""

    def say(at_s: float) -> None:
        stage.add(EPOCH_S + at_s, (0, Samples(np.zeros((0, 2), np.float32), EPOCH_S + at_s, lane)))

    if announced:
        say(from_s)
    for start in range(0, len(sound), BLOCK):
        data = sound[start : start + BLOCK]
        heard_at_s = EPOCH_S + from_s + start / SAMPLE_RATE
        stage.add(heard_at_s + len(data) / SAMPLE_RATE, (0, Samples(data, heard_at_s, lane)))
    if announced:
        say(from_s + len(sound) / SAMPLE_RATE)


def part(sound: npt.NDArray[Any], from_s: float, to_s: float) -> npt.NDArray[Any]:
    return sound[round(from_s * SAMPLE_RATE) : round(to_s * SAMPLE_RATE)]


def test_a_lane_that_begins_later_is_added_from_its_first_sample() -> None:
    stage = Stage()
    play(stage, constant(4.0, 0.25), 0, 0.0)
    play(stage, constant(1.0, 0.5), 1, 1.0)
    recorded = stage.run()
    assert len(recorded) == 4 * SAMPLE_RATE
    assert np.abs(part(recorded, 0.0, 1.0) - 0.25).max() < STEP
    assert np.abs(part(recorded, 1.0, 2.0) - 0.75).max() < STEP
    assert np.abs(part(recorded, 2.0, 4.0) - 0.25).max() < STEP
    assert stage.events == []
    assert stage.track.inserted_silence_s == 0.0


def test_the_first_lane_may_be_the_one_that_ends() -> None:
    stage = Stage()
    play(stage, constant(1.5, 0.25), 0, 0.0)
    play(stage, constant(3.0, 0.5), 1, 1.0)
    recorded = stage.run()
    assert np.abs(part(recorded, 1.0, 1.5) - 0.75).max() < STEP
    assert np.abs(part(recorded, 1.5, 4.0) - 0.5).max() < STEP
    assert stage.events == []


@pytest.mark.parametrize("pause_s", [0.04, 0.3, 1.5])
def test_what_follows_in_a_lane_leaves_no_hole(pause_s: float) -> None:
    stage = Stage()
    play(stage, constant(1.0, 0.25), 0, 0.0)
    play(stage, constant(4.0 - 1.0 - pause_s, 0.5), 0, 1.0 + pause_s)
    recorded = stage.run()
    assert np.abs(part(recorded, 0.0, 1.0) - 0.25).max() < STEP
    assert np.abs(part(recorded, 1.0, 1.0 + pause_s)).max() < STEP
    assert np.abs(part(recorded, 1.0 + pause_s, 4.0) - 0.5).max() < STEP
    assert stage.events == []
    assert stage.track.inserted_silence_s == pytest.approx(pause_s, abs=1e-3)


def test_what_is_missing_inside_is_still_a_hole() -> None:
    stage = Stage()
    play(stage, constant(1.0, 0.25), 0, 0.0, announced=False)
    play(stage, constant(2.7, 0.5), 0, 1.3, announced=False)
    stage.run()
    assert [event.kind for event in stage.events] == ["hole"]


def test_a_lane_alone_is_not_bent_because_there_was_another() -> None:
    stage = Stage()
    loud = tone(4.0, 0.95)
    play(stage, loud, 0, 0.0)
    play(stage, constant(0.5, 0.25), 1, 0.5)
    recorded = stage.run()
    # A piece in which the other one sounds is bent as a whole.
    assert np.abs(part(recorded, 2.0, 4.0) - part(loud, 2.0, 4.0)).max() < STEP


def test_silence_is_counted_where_no_lane_sounds() -> None:
    stage = Stage()
    play(stage, constant(1.0, 0.25), 0, 0.0)
    play(stage, constant(2.0, 0.25), 1, 2.0)
    stage.run()
    assert stage.track.inserted_silence_s == pytest.approx(1.0, abs=1e-3)


def test_many_lanes_that_come_and_go() -> None:
    stage = Stage()
    for number in range(20):
        play(stage, constant(0.3, 0.25), number % 3, 0.15 * number)
    recorded = stage.run()
    assert len(recorded) == 4 * SAMPLE_RATE
    assert np.abs(part(recorded, 0.31, 2.9) - 0.5).max() < STEP
    assert stage.events == []


def test_a_run_that_begins_in_the_middle() -> None:
    timeline = Timeline(EPOCH_S, 3.0)
    sound = SampleTimeline(timeline, 1, taken=SAMPLE_RATE)
    sound.push(Samples(np.full((SAMPLE_RATE, 1), 0.5, np.float32), EPOCH_S + 1.5))
    sound.finish()
    taken = sound.take(EPOCH_S + 3.0)
    assert len(taken) == 2 * SAMPLE_RATE
    assert np.flatnonzero(taken[:, 0])[[0, -1]].tolist() == [SAMPLE_RATE // 2, 3 * SAMPLE_RATE // 2 - 1]
    assert sound.inserted_silence_s == pytest.approx(1.0)


def test_an_interruption_of_nothing_changes_nothing() -> None:
    sound = SampleTimeline(Timeline(EPOCH_S, 1.0), 1)
    sound.interrupt()
    sound.interrupt()
    sound.finish()
    assert not sound.take(EPOCH_S + 1.0).any()
    assert sound.holes() == []
