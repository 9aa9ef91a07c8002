"""Sources and their lanes are mixed, each at its place on the timeline."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from track_stage import EPOCH_S, STEP, TrackStage, constant, tone

from capture.media import SAMPLE_RATE, SampleArray, Samples

BLOCK = SAMPLE_RATE // 10


def play(stage: TrackStage, sound: SampleArray, lane: int, from_s: float, *, announced: bool = True) -> None:
    """Make source 0 deliver `sound` in a lane, in blocks of 0.1 s, with a break before and after if `announced`."""

    def mark_break(at_s: float) -> None:
        stage.add(EPOCH_S + at_s, (0, Samples(np.zeros((0, 2), np.float32), EPOCH_S + at_s, lane)))

    if announced:
        mark_break(from_s)
    for start in range(0, len(sound), BLOCK):
        data = sound[start : start + BLOCK]
        heard_at_s = EPOCH_S + from_s + start / SAMPLE_RATE
        stage.add(heard_at_s + len(data) / SAMPLE_RATE, (0, Samples(data, heard_at_s, lane)))
    if announced:
        mark_break(from_s + len(sound) / SAMPLE_RATE)


def part(sound: npt.NDArray[Any], from_s: float, to_s: float) -> npt.NDArray[Any]:
    return sound[round(from_s * SAMPLE_RATE) : round(to_s * SAMPLE_RATE)]


def test_two_sources_are_added() -> None:
    stage = TrackStage(channels=(2, 2))
    first, second = tone(4, 0.4), tone(4, 0.3, hz=700)
    stage.play(first, source=0)
    stage.play(second, source=1, late_s=0.05)
    recorded = stage.run()
    assert recorded.shape == first.shape
    assert np.abs(recorded - (first + second)).max() < STEP


@pytest.mark.parametrize("sign", [1, -1])
def test_a_loud_mix_is_compressed_and_not_clipped(sign: int) -> None:
    stage = TrackStage(channels=(2, 2))
    ramp = np.repeat(np.linspace(0, sign, 4 * SAMPLE_RATE, dtype=np.float32)[:, None], 2, axis=1)
    stage.play(ramp, source=0)
    stage.play(ramp, source=1)
    mixed = sign * stage.run()[:, 0]
    straight = 2 * np.abs(ramp[:, 0])
    quiet = straight <= 0.8
    assert np.abs(mixed[quiet] - straight[quiet]).max() < STEP, "below the knee nothing may change"
    loud = mixed[~quiet]
    assert np.all(np.diff(loud) >= 0)
    assert np.diff(mixed).max() < 2.5 / (2 * SAMPLE_RATE) + 2 * STEP, "there must be no step at the knee"
    assert 0.8 < loud.min() < loud.max() <= 1.0
    assert loud[straight[~quiet] < 1.2].max() < 0.995
    assert len(np.unique(loud[straight[~quiet] < 1.2])) > 1000, "a loud passage must keep its shape"


def test_a_mono_source_plays_in_both_channels() -> None:
    stage = TrackStage(channels=(2, 1))
    stereo = constant(4, 0.0)
    stereo[:, 0], stereo[:, 1] = 0.25, -0.25
    stage.play(stereo, source=0)
    stage.play(constant(4, 0.125, channels=1), source=1)
    recorded = stage.run()
    assert np.abs(recorded - [0.375, -0.125]).max() < STEP


def test_mono_sources_make_a_mono_track() -> None:
    stage = TrackStage(channels=(1, 1))
    stage.play(constant(4, 0.25, channels=1), source=0)
    stage.play(constant(4, 0.5, channels=1), source=1)
    recorded = stage.run()
    assert recorded.shape == (4 * SAMPLE_RATE, 1)
    assert np.abs(recorded - 0.75).max() < STEP


def test_a_silent_source_does_not_block_the_other() -> None:
    stage = TrackStage(channels=(2, 2), end_s=6)
    sound = tone(6, 0.5)
    stage.play(sound, source=0)
    seen: list[float] = []
    stage.at(5.0, lambda: seen.append(len(stage.recorded()) / SAMPLE_RATE))
    recorded = stage.run()
    assert seen[0] > 4.0, "a crash may only lose a bounded amount"
    assert np.abs(recorded - sound).max() < STEP
    assert stage.track.inserted_silence_s == pytest.approx(6)


def test_a_source_that_ends_early_does_not_cut_the_other() -> None:
    stage = TrackStage(channels=(2, 2))
    stage.play(constant(4, 0.25), source=0)
    stage.play(constant(3.9, 0.5), source=1)
    recorded = stage.run()
    assert len(recorded) == 4 * SAMPLE_RATE
    assert np.abs(recorded[: round(3.9 * SAMPLE_RATE)] - 0.75).max() < STEP
    assert np.abs(recorded[round(3.9 * SAMPLE_RATE) :] - 0.25).max() < STEP


def test_a_lane_that_begins_later_is_mixed_from_its_first_sample() -> None:
    stage = TrackStage()
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
    stage = TrackStage()
    play(stage, constant(1.5, 0.25), 0, 0.0)
    play(stage, constant(3.0, 0.5), 1, 1.0)
    recorded = stage.run()
    assert np.abs(part(recorded, 1.0, 1.5) - 0.75).max() < STEP
    assert np.abs(part(recorded, 1.5, 4.0) - 0.5).max() < STEP
    assert stage.events == []


@pytest.mark.parametrize("pause_s", [0.04, 0.3, 1.5])
def test_a_break_in_a_lane_is_not_a_hole(pause_s: float) -> None:
    stage = TrackStage()
    play(stage, constant(1.0, 0.25), 0, 0.0)
    play(stage, constant(4.0 - 1.0 - pause_s, 0.5), 0, 1.0 + pause_s)
    recorded = stage.run()
    assert np.abs(part(recorded, 0.0, 1.0) - 0.25).max() < STEP
    assert np.abs(part(recorded, 1.0, 1.0 + pause_s)).max() < STEP
    assert np.abs(part(recorded, 1.0 + pause_s, 4.0) - 0.5).max() < STEP
    assert stage.events == []
    assert stage.track.inserted_silence_s == pytest.approx(pause_s, abs=1e-3)


def test_a_gap_without_a_break_is_a_hole() -> None:
    stage = TrackStage()
    play(stage, constant(1.0, 0.25), 0, 0.0, announced=False)
    play(stage, constant(2.7, 0.5), 0, 1.3, announced=False)
    stage.run()
    assert [event.kind for event in stage.events] == ["hole"]


def test_a_single_lane_is_not_compressed_after_another_has_ended() -> None:
    stage = TrackStage()
    loud = tone(4.0, 0.95)
    play(stage, loud, 0, 0.0)
    play(stage, constant(0.5, 0.25), 1, 0.5)
    recorded = stage.run()
    # Chunks in which the other lane plays are compressed as a whole.
    assert np.abs(part(recorded, 2.0, 4.0) - part(loud, 2.0, 4.0)).max() < STEP


def test_silence_counts_while_no_lane_plays() -> None:
    stage = TrackStage()
    play(stage, constant(1.0, 0.25), 0, 0.0)
    play(stage, constant(2.0, 0.25), 1, 2.0)
    stage.run()
    assert stage.track.inserted_silence_s == pytest.approx(1.0, abs=1e-3)


def test_many_lanes_can_come_and_go() -> None:
    stage = TrackStage()
    for number in range(20):
        play(stage, constant(0.3, 0.25), number % 3, 0.15 * number)
    recorded = stage.run()
    assert len(recorded) == 4 * SAMPLE_RATE
    assert np.abs(part(recorded, 0.31, 2.9) - 0.5).max() < STEP
    assert stage.events == []
