"""Where everything stands in the recording: frames, pauses, and the sound of devices that keep their own time.

The sound of these tests is a ramp: each sample's value says when it was heard. So the place of every single sample of
the result can be checked, and not only that of a click here and there.
"""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.media import SAMPLE_RATE, VIDEO_TICKS_PER_S, SampleArray, Samples
from capture.timing.drift import DriftMeter
from capture.timing.sample_timeline import HOLE_S, STARVED_MARGIN_S, STARVED_S, SampleTimeline
from capture.timing.timeline import FrameTimeline, Timeline

EPOCH_S = 1000.0
BLOCK = 960

#: The value of a sample is this and the moment it was heard, so that nothing that was heard is zero.
RAMP_START = 1.0

#: While a correction is under way, this many samples beside a jump are bent by it.
SINC_REACH = 32

#: A tenth of what is noticed between sound and picture.
PLACED_WITHIN_S = 0.003


# The timeline itself


def test_media_time_begins_at_the_epoch() -> None:
    timeline = Timeline(EPOCH_S)
    assert timeline.media_s(EPOCH_S - 5) == 0.0
    assert timeline.media_s(EPOCH_S) == 0.0
    assert timeline.media_s(EPOCH_S + 2.5) == 2.5
    assert timeline.stop_s == math.inf


def test_media_time_stands_still_in_a_pause() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.pause(EPOCH_S + 2)
    assert timeline.media_s(EPOCH_S + 1) == 1.0
    assert timeline.media_s(EPOCH_S + 7) == 2.0
    timeline.resume(EPOCH_S + 8)
    assert timeline.media_s(EPOCH_S + 7) == 2.0
    assert timeline.media_s(EPOCH_S + 9) == 3.0
    assert timeline.pauses() == ((EPOCH_S + 2, EPOCH_S + 8),)
    assert [timeline.paused_s(EPOCH_S + at_s) for at_s in (1, 2, 5, 8, 20)] == [0, 0, 3, 6, 6]


def test_a_pause_under_way_has_no_end() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.pause(EPOCH_S + 2)
    assert timeline.pauses() == ((EPOCH_S + 2, math.inf),)
    assert timeline.paused_s(EPOCH_S + 6) == 4.0


def test_pausing_and_resuming_twice_is_doing_it_once() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.resume(EPOCH_S + 1)
    timeline.pause(EPOCH_S + 2)
    timeline.pause(EPOCH_S + 3)
    timeline.resume(EPOCH_S + 4)
    timeline.resume(EPOCH_S + 5)
    assert timeline.pauses() == ((EPOCH_S + 2, EPOCH_S + 4),)


def test_a_pause_from_before_the_epoch_begins_with_it() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.pause(EPOCH_S - 3)
    assert timeline.media_s(EPOCH_S + 1) == 0.0
    timeline.resume(EPOCH_S + 2)
    assert timeline.media_s(EPOCH_S + 3) == 1.0


def test_commands_that_overtook_each_other_count_no_moment_twice() -> None:
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


def test_the_earliest_stop_stands() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.stop(EPOCH_S + 5)
    timeline.stop(EPOCH_S + 7)
    assert timeline.stop_s == EPOCH_S + 5
    timeline.stop(EPOCH_S + 4)
    assert timeline.stop_s == EPOCH_S + 4
    timeline.stop(EPOCH_S - 4)
    assert timeline.stop_s == EPOCH_S, "no recording ends before it began"


def test_pauses_put_off_the_end_of_a_duration() -> None:
    timeline = Timeline(EPOCH_S, duration_s=10)
    assert timeline.stop_s == EPOCH_S + 10
    timeline.pause(EPOCH_S + 4)
    assert timeline.stop_s == math.inf
    timeline.resume(EPOCH_S + 7)
    assert timeline.stop_s == EPOCH_S + 13
    assert timeline.media_s(timeline.stop_s) == 10.0
    timeline.stop(EPOCH_S + 12)
    assert timeline.stop_s == EPOCH_S + 12


def test_a_pause_that_comes_after_the_end_changes_nothing() -> None:
    timeline = Timeline(EPOCH_S, duration_s=10)
    timeline.pause(EPOCH_S + 4)
    timeline.resume(EPOCH_S + 5)
    timeline.pause(EPOCH_S + 11)
    assert timeline.stop_s == EPOCH_S + 11
    timeline.resume(EPOCH_S + 30)
    timeline.pause(EPOCH_S + 31)
    assert timeline.stop_s == EPOCH_S + 11


def test_a_stop_in_a_pause_keeps_what_was_before_it() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.pause(EPOCH_S + 2)
    timeline.stop(EPOCH_S + 6)
    assert timeline.stop_s == EPOCH_S + 6
    assert timeline.media_s(timeline.stop_s) == 2.0


def test_what_is_recorded_lies_between_epoch_and_stop_and_outside_the_pauses() -> None:
    timeline = Timeline(EPOCH_S)
    timeline.pause(EPOCH_S + 2)
    timeline.resume(EPOCH_S + 4)
    timeline.stop(EPOCH_S + 6)
    recorded = {at_s: timeline.is_recorded(EPOCH_S + at_s) for at_s in (-0.1, 0, 1.9, 2, 3.9, 4, 5.9, 6, 6.1)}
    assert recorded == {-0.1: False, 0: True, 1.9: True, 2: False, 3.9: False, 4: True, 5.9: True, 6: True, 6.1: False}


@settings(max_examples=100, deadline=None)
@given(
    steps_s=st.lists(st.floats(0.001, 20), max_size=12),
    duration_s=st.floats(0.5, 60),
)
def test_a_recording_lasts_its_duration_however_often_it_is_paused(steps_s: list[float], duration_s: float) -> None:
    timeline = Timeline(EPOCH_S, duration_s)
    now_s, seen_s = EPOCH_S, [0.0]
    for number, step_s in enumerate(steps_s):
        now_s += step_s
        (timeline.resume if number % 2 else timeline.pause)(now_s)
        seen_s.append(timeline.media_s(now_s))
    timeline.resume(now_s)
    assert seen_s == sorted(seen_s)
    assert timeline.media_s(timeline.stop_s) == pytest.approx(duration_s, abs=1e-9)


# Frames


def test_a_frame_has_its_moment_in_ninety_thousandths() -> None:
    timeline = Timeline(EPOCH_S)
    frames = FrameTimeline(timeline)
    assert frames.last_pts == -1
    assert frames.pts(EPOCH_S) == 0
    assert frames.pts(EPOCH_S + 1 / 30) == 3000
    timeline.pause(EPOCH_S + 1)
    timeline.resume(EPOCH_S + 5)
    assert frames.pts(EPOCH_S + 7) == 3 * VIDEO_TICKS_PER_S
    assert frames.last_pts == 3 * VIDEO_TICKS_PER_S


@settings(max_examples=100, deadline=None)
@given(moments_s=st.lists(st.floats(EPOCH_S - 1, EPOCH_S + 1), min_size=1))
def test_pts_rise_strictly_whatever_the_stamps(moments_s: list[float]) -> None:
    frames = FrameTimeline(Timeline(EPOCH_S))
    pts = [frames.pts(moment_s) for moment_s in moments_s]
    assert pts[0] >= 0
    assert all(later > earlier for earlier, later in pairwise(pts))


# Drift


def observe(meter: DriftMeter, ppm: float, seconds: float, jitter_s: float = 0.0) -> None:
    """Show `meter` a device whose first sample was heard at the epoch, block by block."""
    random = np.random.default_rng(1)
    for number in range(int(seconds * SAMPLE_RATE / BLOCK)):
        device_s = number * BLOCK / SAMPLE_RATE
        late_s = abs(random.normal(0, jitter_s)) if jitter_s else 0.0
        meter.observe(device_s, EPOCH_S + device_s / (1 + ppm * 1e-6) - device_s + late_s)


@pytest.mark.parametrize("ppm", [0, 200, -200, 1000])
def test_drift_is_measured(ppm: float) -> None:
    meter = DriftMeter()
    observe(meter, ppm, 30)
    assert meter.ppm == pytest.approx(ppm, abs=1.1)


def test_lateness_is_not_taken_for_drift() -> None:
    meter = DriftMeter()
    observe(meter, 100, 120, jitter_s=0.005)
    assert meter.ppm == pytest.approx(100, abs=2)


def test_a_short_while_says_nothing_about_drift() -> None:
    meter = DriftMeter()
    assert meter.ppm == 0.0
    observe(meter, 200, DriftMeter.MIN_SECONDS)
    assert meter.ppm == 0.0
    observe(meter, 200, DriftMeter.MIN_SECONDS + 1.1)
    assert meter.ppm != 0.0


def test_a_break_of_unknown_length_does_not_bend_the_line() -> None:
    meter = DriftMeter()
    for number in range(4):
        for second in range(8 * number, 8 * number + 6):
            device_s = second + 0.5
            meter.observe(device_s, EPOCH_S - device_s * 100e-6 + 0.01 * number)
        meter.interrupt()
    assert meter.ppm == pytest.approx(100, abs=0.1)


def test_breaks_alone_say_nothing() -> None:
    meter = DriftMeter()
    for second in range(20):
        meter.observe(second, EPOCH_S)
        meter.observe(second + 1, EPOCH_S)
        meter.interrupt()
    assert meter.ppm == 0.0


# Sound


def ramp(heard_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return RAMP_START + heard_s


@dataclass(frozen=True)
class Device:
    """A sound card without timestamps: its clock runs `ppm` fast, and its blocks come late or on time, never early.

    Moments are seconds since the epoch. What is heard while it is `gone` never comes; what is heard while it is
    `stalled` comes in one burst at the end of that.
    """

    ppm: float = 0.0
    jitter_s: float = 0.003
    signal: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]] = ramp
    starts_s: float = -0.05
    gone: Sequence[tuple[float, float]] = ()
    stalled: Sequence[tuple[float, float]] = ()
    seed: int = 0

    def blocks(self, until_s: float) -> Iterator[tuple[float, Samples]]:
        """Each block and the moment it is delivered."""
        random = np.random.default_rng(self.seed)
        rate = SAMPLE_RATE * (1 + self.ppm * 1e-6)
        heard_s, delivered_s = self.starts_s, -math.inf
        while heard_s < until_s:
            times_s = heard_s + np.arange(BLOCK) / rate
            ends_s = heard_s + BLOCK / rate
            late_s = abs(random.normal(0, self.jitter_s)) * (random.random() < 0.8)
            delivered_s = max(delivered_s, ends_s + late_s)
            for from_s, to_s in self.stalled:
                if from_s <= heard_s < to_s:
                    delivered_s = max(delivered_s, to_s)
            if not any(from_s <= heard_s < to_s for from_s, to_s in self.gone):
                data = self.signal(times_s).astype(np.float32)[:, None]
                yield delivered_s, Samples(data, EPOCH_S + delivered_s - BLOCK / SAMPLE_RATE)
            heard_s = ends_s


def rest(part: SampleTimeline) -> SampleArray:
    """End the sound and take what is left of it."""
    part.finish()
    return part.take(math.inf)


@dataclass
class Recorded:
    """What came of a device: the samples, and the moment each of them stands for."""

    sound: SampleArray
    true_s: npt.NDArray[np.float64]
    part: SampleTimeline
    holes: list[tuple[float, float]] = field(default_factory=list)

    def errors_s(self, from_s: float = 0.0) -> npt.NDArray[np.float64]:
        """How far each sample that is not silence stands from its place, from `from_s` on; silence is NaN."""
        sound = self.sound[:, 0].astype(float)
        silent = np.convolve(sound == 0.0, np.ones(2 * SINC_REACH + 1), "same") > 0.5
        errors = np.where(silent, np.nan, sound - RAMP_START - self.true_s)
        return errors[self.true_s >= from_s]

    def worst_s(self, from_s: float = 0.0) -> float:
        return float(np.nanmax(np.abs(self.errors_s(from_s))))

    def silences(self) -> list[tuple[float, float]]:
        """Every run of silence as (when it began, how long it was), in seconds."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.sound[:, 0] == 0.0, [False]]).astype(int)))
        return [
            (float(self.true_s[start]), (end - start) / SAMPLE_RATE)
            for start, end in zip(edges[::2], edges[1::2], strict=True)
        ]


def kept(timeline: Timeline) -> npt.NDArray[np.int64]:
    """The samples since the epoch that belong in the file: up to the stop, outside every pause."""
    stop_s = timeline.stop_s
    bounds_s = [EPOCH_S, *(min(at_s, stop_s) for pause in timeline.pauses() for at_s in pause), stop_s]
    indices = [round((at_s - EPOCH_S) * SAMPLE_RATE) for at_s in bounds_s]
    return np.concatenate([np.arange(a, b) for a, b in zip(indices[::2], indices[1::2], strict=True)])


def record(device: Device, seconds: float, pauses_s: Sequence[tuple[float, float]] = ()) -> Recorded:
    """Run a device through a timeline as a sound track does: every block at its moment, ticks when none come."""
    timeline = Timeline(EPOCH_S)
    part = SampleTimeline(timeline, 1)
    recorded = Recorded(np.zeros((0, 1), np.float32), np.zeros(0), part)
    commands = sorted(
        [(at_s, timeline.pause) for at_s, _ in pauses_s]
        + [(at_s, timeline.resume) for _, at_s in pauses_s]
        + [(seconds, timeline.stop)],
        key=lambda command: command[0],
    )
    ticks = [(number * 0.15, None) for number in range(int(seconds / 0.15) + 1)]
    parts = []
    heard_at_s = -math.inf
    for now_s, block in sorted([*device.blocks(seconds), *ticks], key=lambda event: event[0]):
        while commands and commands[0][0] <= now_s:
            at_s, command = commands.pop(0)
            command(EPOCH_S + at_s)
        if block is not None:
            part.push(block)
            heard_at_s = now_s
        elif now_s - max(heard_at_s, 0.0) >= 0.3:
            part.starve(EPOCH_S + now_s)
        parts.append(part.take(EPOCH_S + now_s))
        recorded.holes += part.holes()
    for at_s, command in commands:
        command(EPOCH_S + at_s)
    recorded.sound = np.concatenate([*parts, rest(part)])
    recorded.holes += part.holes()
    places = kept(timeline)
    assert len(recorded.sound) == len(places)
    recorded.true_s = places / SAMPLE_RATE
    return recorded


@pytest.mark.parametrize("jitter_s", [0.0, 0.003, 0.015])
def test_lateness_leaves_no_trace(jitter_s: float) -> None:
    recorded = record(Device(jitter_s=jitter_s), 20)
    assert recorded.worst_s() < 0.001
    assert recorded.part.inserted_silence_s == 0.0
    assert recorded.holes == []
    assert abs(recorded.part.drift_ppm) < 5
    assert np.ptp(recorded.errors_s()) < 1e-5, "nothing was stretched"


@pytest.mark.parametrize(
    ("ppm", "seconds", "within_s"),
    [
        (200, 120, PLACED_WITHIN_S),
        (-200, 120, PLACED_WITHIN_S),
        (1000, 60, PLACED_WITHIN_S),
        # As much as a correction can gain: it never quite catches up.
        (-1000, 60, 0.005),
    ],
)
def test_a_clock_that_drifts_is_followed(ppm: float, seconds: float, within_s: float) -> None:
    recorded = record(Device(ppm=ppm), seconds)
    assert recorded.worst_s() < within_s
    assert np.nanmax(recorded.errors_s()) - np.nanmin(recorded.errors_s()) < within_s, "never more than was off"
    assert recorded.part.drift_ppm == pytest.approx(ppm, abs=5)
    assert recorded.part.inserted_silence_s == 0.0
    assert recorded.holes == []


@pytest.mark.parametrize("ppm", [300, -300])
def test_following_a_clock_stretches_and_never_cuts(ppm: float) -> None:
    bend = 2 * np.pi * 440 / SAMPLE_RATE
    recorded = record(Device(ppm=ppm, signal=lambda heard_s: np.sin(2 * np.pi * 440 * heard_s)), 30)
    # A sample that is missing or doubled bends the wave by the step between two, 17 times as much as the wave itself.
    assert np.abs(np.diff(recorded.sound[:, 0], 2)).max() < 1.2 * bend**2


def test_a_hole_is_filled_with_silence_of_its_length_and_told() -> None:
    recorded = record(Device(gone=[(10, 10.5)]), 20)
    assert recorded.worst_s() < 0.001
    ((at_s, length_s),) = recorded.silences()
    assert at_s == pytest.approx(10, abs=0.02)
    assert length_s == pytest.approx(0.5, abs=0.02)
    (told,) = recorded.holes
    assert told == pytest.approx((at_s, length_s), abs=0.001)
    assert recorded.part.inserted_silence_s == pytest.approx(length_s, abs=1e-4)


def test_the_place_of_a_hole_is_told_in_media_time() -> None:
    recorded = record(Device(gone=[(10, 10.5)]), 20, pauses_s=[(2, 5)])
    ((at_s, _),) = recorded.holes
    assert at_s == pytest.approx(7, abs=0.02)


def test_a_device_with_many_holes_stays_in_its_place() -> None:
    gone = [(5 * number, 5 * number + 0.06 + 0.02 * number) for number in range(1, 12)]
    recorded = record(Device(gone=gone, ppm=100), 60)
    assert recorded.worst_s() < PLACED_WITHIN_S
    assert len(recorded.holes) == len(gone)
    # Blocks of 20 ms go missing whole.
    missing_s = sum(math.ceil((to_s - from_s) / 0.02 - 1e-9) * 0.02 for from_s, to_s in gone)
    assert recorded.part.inserted_silence_s == pytest.approx(missing_s, abs=0.02 * len(gone))


def test_a_hole_too_small_to_be_believed_is_caught_up_with() -> None:
    recorded = record(Device(gone=[(5, 5.02)], jitter_s=0.001), 60)
    assert recorded.holes == []
    assert 0.015 < recorded.worst_s() < HOLE_S
    assert recorded.worst_s(from_s=35) < PLACED_WITHIN_S


@pytest.mark.parametrize("stalled_s", [0.1, 0.3, 0.65])
def test_a_burst_after_a_stall_is_no_hole(stalled_s: float) -> None:
    recorded = record(Device(stalled=[(10, 10 + stalled_s)]), 20)
    assert recorded.worst_s() < 0.001
    assert recorded.silences() == []
    assert recorded.part.inserted_silence_s == 0.0
    assert recorded.holes == []


def test_a_burst_that_comes_after_the_silence_was_written_loses_only_what_that_covers() -> None:
    recorded = record(Device(stalled=[(10, 13)]), 20)
    assert recorded.worst_s() < 0.001
    ((at_s, length_s),) = recorded.silences()
    assert at_s == pytest.approx(10, abs=0.05)
    assert 3 - STARVED_S - 0.2 < length_s < 3 - STARVED_MARGIN_S


def test_silence_that_is_written_leaves_room_for_sound_that_is_merely_late() -> None:
    # Silence is written once, at 10.8 s.
    recorded = record(Device(stalled=[(10, 10.9)]), 20)
    ((_, length_s),) = recorded.silences()
    assert length_s == pytest.approx(0.4, abs=0.03)


def test_a_device_that_starts_late_begins_in_its_place() -> None:
    recorded = record(Device(starts_s=2.0), 10)
    assert recorded.worst_s() < 0.001
    ((at_s, length_s),) = recorded.silences()
    assert at_s == 0.0
    assert length_s == pytest.approx(2.0, abs=0.001)
    assert recorded.holes == []


def test_what_was_heard_before_the_epoch_is_cut() -> None:
    recorded = record(Device(starts_s=-1.3), 5)
    assert recorded.silences() == []
    assert recorded.worst_s() < 0.001
    assert recorded.sound[0, 0] == pytest.approx(RAMP_START, abs=0.001)


def test_a_first_block_that_was_held_up_does_not_shift_the_rest() -> None:
    recorded = record(Device(starts_s=0.0, stalled=[(0.0, 0.1)], jitter_s=0.001), 5)
    assert recorded.worst_s() < 0.001


# With 0.3 s, the first estimate is made of blocks that all lie before the epoch.
@pytest.mark.parametrize("starts_s", [-0.3, -0.33, -2.9])
@pytest.mark.parametrize("read_from_s", [-5, 0.02])
def test_a_device_that_was_open_long_before_the_epoch_is_not_shifted(starts_s: float, read_from_s: float) -> None:
    recorded = record(Device(starts_s=starts_s, stalled=[(-5, read_from_s)], jitter_s=0.001), 5)
    assert recorded.silences() == []
    assert recorded.worst_s() < 0.001


def test_a_device_that_fell_silent_finds_its_place_when_it_returns() -> None:
    recorded = record(Device(gone=[(10, 14.3)], ppm=100), 40)
    assert recorded.worst_s() < PLACED_WITHIN_S
    ((at_s, length_s),) = recorded.silences()
    assert at_s == pytest.approx(10, abs=0.02)
    assert length_s == pytest.approx(4.3, abs=0.05)
    assert recorded.part.drift_ppm == pytest.approx(100, abs=10)


def test_a_device_that_never_delivers_is_silence() -> None:
    recorded = record(Device(gone=[(-1, 100)]), 8)
    assert recorded.silences() == [(0.0, 8.0)]
    assert recorded.part.inserted_silence_s == 8.0
    assert recorded.part.drift_ppm == 0.0


def test_silence_is_written_up_to_a_margin_before_now() -> None:
    part = SampleTimeline(Timeline(EPOCH_S), 2)
    part.starve(EPOCH_S + STARVED_S - 0.01)
    assert len(part.take(EPOCH_S + STARVED_S)) == 0
    part.starve(EPOCH_S + 3)
    silence = part.take(EPOCH_S + 3)
    assert silence.shape == (round((3 - STARVED_MARGIN_S) * SAMPLE_RATE), 2)
    assert not silence.any()


def test_starving_gives_up_waiting_for_the_anchor() -> None:
    part = SampleTimeline(Timeline(EPOCH_S), 1)
    part.push(Samples(np.ones((BLOCK, 1), np.float32), EPOCH_S + 0.5))
    assert len(part.take(EPOCH_S + 0.6)) == 0
    part.starve(EPOCH_S + 2)
    sound = part.take(EPOCH_S + 2)[:, 0]
    assert np.flatnonzero(sound)[[0, -1]].tolist() == [SAMPLE_RATE // 2, SAMPLE_RATE // 2 + BLOCK - 1]


def test_pauses_are_cut_out_and_all_the_rest_keeps_its_place() -> None:
    random = np.random.default_rng(7)
    edges_s = np.cumsum(random.uniform(0.02, 0.5, 200))
    pauses_s = [(float(start_s), float(end_s)) for start_s, end_s in zip(edges_s[::2], edges_s[1::2], strict=True)]
    seconds = float(edges_s[-1]) + 1
    recorded = record(Device(ppm=150), seconds, pauses_s)
    assert len(pauses_s) == 100
    assert recorded.worst_s() < PLACED_WITHIN_S
    assert recorded.silences() == []
    paused_s = sum(end_s - start_s for start_s, end_s in pauses_s)
    assert len(recorded.sound) / SAMPLE_RATE == pytest.approx(seconds - paused_s, abs=0.001)
    assert recorded.part.drift_ppm == pytest.approx(150, abs=5), "the device's clock knows no pauses"


def test_sound_of_a_pause_is_in_no_take() -> None:
    timeline = Timeline(EPOCH_S)
    part = SampleTimeline(timeline, 1)
    for at_s, block in Device(starts_s=0.0, jitter_s=0.0).blocks(3):
        if at_s >= 1 and not timeline.pauses():
            timeline.pause(EPOCH_S + 1)
        part.push(block)
        assert len(part.take(EPOCH_S + at_s)) <= SAMPLE_RATE
    timeline.stop(EPOCH_S + 3)
    assert len(rest(part)) <= BLOCK


@pytest.mark.parametrize("late_s", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("late", ["pause", "resume", "both"])
def test_a_command_that_comes_late_shifts_nothing_that_follows(late: str, late_s: float) -> None:
    timeline = Timeline(EPOCH_S)
    part = SampleTimeline(timeline, 1)
    pause_late_s, resume_late_s = late_s * (late != "resume"), late_s * (late != "pause")
    commands = [(2 + pause_late_s, timeline.pause, 2.0), (4 + resume_late_s, timeline.resume, 4.0)]
    parts = []
    for now_s, block in Device(starts_s=0.0, jitter_s=0.0).blocks(7.99):
        while commands and commands[0][0] <= now_s:
            _, command, at_s = commands.pop(0)
            command(EPOCH_S + at_s)
        part.push(block)
        parts.append(part.take(EPOCH_S + now_s))
    timeline.stop(EPOCH_S + 8)
    sound = np.concatenate([*parts, rest(part)])[:, 0]
    assert len(sound) == 6 * SAMPLE_RATE
    heard_s = kept(timeline) / SAMPLE_RATE
    # A block before the command the sound may have been taken or cut already.
    settled = (heard_s < 2) | (heard_s >= 4 + late_s + BLOCK / SAMPLE_RATE)
    assert np.abs(sound - RAMP_START - heard_s)[settled].max() < 1e-4


def test_a_resume_that_is_known_only_at_the_end_is_made_up_for() -> None:
    timeline = Timeline(EPOCH_S)
    part = SampleTimeline(timeline, 1)
    timeline.pause(EPOCH_S + 1)
    count = 0
    for now_s, block in Device(starts_s=0.0, jitter_s=0.0).blocks(3):
        part.push(block)
        count += len(part.take(EPOCH_S + now_s))
    timeline.resume(EPOCH_S + 2)
    timeline.stop(EPOCH_S + 3)
    assert count + len(rest(part)) == 2 * SAMPLE_RATE
    assert part.inserted_silence_s == pytest.approx(1, abs=0.03)


def test_silence_counts_only_outside_the_pauses() -> None:
    recorded = record(Device(gone=[(1.5, 13)]), 15, pauses_s=[(2, 13)])
    assert len(recorded.sound) == 4 * SAMPLE_RATE
    ((_, length_s),) = recorded.silences()
    assert length_s == pytest.approx(0.5, abs=0.03)
    assert recorded.part.inserted_silence_s == pytest.approx(length_s, abs=1e-4)


def test_silence_counts_only_up_to_the_stop() -> None:
    timeline = Timeline(EPOCH_S, duration_s=1)
    part = SampleTimeline(timeline, 1)
    part.starve(EPOCH_S + 9)
    assert len(rest(part)) == SAMPLE_RATE
    assert part.inserted_silence_s == 1.0


@pytest.mark.parametrize(
    ("pause_s", "told"),
    [
        ((9, 12), []),
        ((9, 10.3), [(9.0, 0.2)]),
        ((10.2, 12), [(10.0, 0.2)]),
        ((10.1, 10.3), [(10.0, 0.3)]),
    ],
)
def test_a_hole_is_what_is_missing_outside_the_pauses(
    pause_s: tuple[float, float], told: list[tuple[float, float]]
) -> None:
    recorded = record(Device(starts_s=0.0, gone=[(9.99, 10.49)], jitter_s=0.0), 15, pauses_s=[pause_s])
    assert recorded.holes == [pytest.approx(hole, abs=0.02) for hole in told]
    assert recorded.part.inserted_silence_s == pytest.approx(sum(length_s for _, length_s in told), abs=0.02)


def test_a_hole_ends_with_the_recording() -> None:
    timeline = Timeline(EPOCH_S, duration_s=1.2)
    part = SampleTimeline(timeline, 1)
    for _, block in Device(starts_s=0.0, jitter_s=0.0, gone=[(1, 1.8)]).blocks(2):
        part.push(block)
    assert len(rest(part)) == round(1.2 * SAMPLE_RATE)
    (told,) = part.holes()
    assert told == pytest.approx((1.0, 0.2))


def test_a_gap_of_an_hour_takes_no_memory() -> None:
    hour_s = 3600.0
    part = SampleTimeline(Timeline(EPOCH_S, hour_s), 2)
    tracemalloc.start()
    try:
        part.starve(EPOCH_S + hour_s)
        part.finish()
        count = 0
        while len(piece := part.take(math.inf, SAMPLE_RATE)):
            assert len(piece) <= SAMPLE_RATE
            assert not piece.any()
            count += len(piece)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()
    assert count == hour_s * SAMPLE_RATE
    assert part.inserted_silence_s == hour_s


def test_what_is_taken_in_pieces_is_what_is_taken_at_once() -> None:
    timeline = Timeline(EPOCH_S, duration_s=3)
    timeline.pause(EPOCH_S + 1)
    timeline.resume(EPOCH_S + 1.7)
    parts = SampleTimeline(timeline, 1), SampleTimeline(timeline, 1)
    for part in parts:
        for _, block in Device(starts_s=0.5, jitter_s=0.0).blocks(3):
            part.push(block)
    whole = rest(parts[0])
    parts[1].finish()
    assert parts[1].take(math.inf, 0).shape == (0, 1)
    pieces = list(iter(lambda: parts[1].take(math.inf, 777).tolist(), []))
    assert np.array_equal(np.concatenate(pieces), whole)
    assert parts[0].inserted_silence_s == parts[1].inserted_silence_s


def test_sound_that_lies_ahead_is_held_until_its_time() -> None:
    timeline = Timeline(EPOCH_S)
    part = SampleTimeline(timeline, 1)
    for number in range(20):
        # An output that delays its sound by 100 ms: what is captured now will be heard then.
        captured_at_s = EPOCH_S + 0.1 + number * BLOCK / SAMPLE_RATE
        part.push(Samples(np.ones((BLOCK, 1), np.float32), captured_at_s))
    assert len(part.take(EPOCH_S + 0.3)) == round(0.3 * SAMPLE_RATE)
    assert len(part.take(EPOCH_S + 0.3)) == 0
    timeline.pause(EPOCH_S + 0.35)
    assert len(part.take(EPOCH_S + 0.45)) == round(0.05 * SAMPLE_RATE)
    timeline.stop(EPOCH_S + 0.47)
    assert len(rest(part)) == 0


def test_a_repeated_block_is_not_written_twice() -> None:
    part = SampleTimeline(timeline := Timeline(EPOCH_S), 1)
    blocks = [block for _, block in Device(starts_s=0.0, jitter_s=0.0).blocks(2)]
    for block in [*blocks[:50], *blocks[40:]]:
        part.push(block)
    timeline.stop(EPOCH_S + 2)
    sound = rest(part)[:, 0]
    assert np.abs(sound - RAMP_START - np.arange(len(sound)) / SAMPLE_RATE).max() < 1e-4


@pytest.mark.parametrize("stop_s", [0.0, 0.1, 1.0, 1.995, 2.0, 2.001, 2.1, 30.0])
def test_the_end_is_exact_wherever_the_sound_ends(stop_s: float) -> None:
    timeline = Timeline(EPOCH_S, duration_s=stop_s)
    part = SampleTimeline(timeline, 2)
    for _, block in Device(starts_s=0.0, jitter_s=0.0).blocks(2):
        part.push(Samples(np.repeat(block.data, 2, axis=1), block.captured_at_s))
    sound = rest(part)
    assert sound.shape == (round(stop_s * SAMPLE_RATE), 2)
    assert np.count_nonzero(sound[:, 0]) == round(min(stop_s, 2) * SAMPLE_RATE)
    assert part.inserted_silence_s == pytest.approx(max(0.0, stop_s - 2), abs=1e-9)


def test_the_end_waits_for_no_verdict() -> None:
    timeline = Timeline(EPOCH_S)
    part = SampleTimeline(timeline, 1)
    for _, block in Device(starts_s=0.0, jitter_s=0.0, gone=[(1, 1.8)]).blocks(2):
        part.push(block)
    timeline.stop(EPOCH_S + 2)
    sound = rest(part)[:, 0]
    assert np.flatnonzero(sound == 0.0)[[0, -1]].tolist() == [SAMPLE_RATE, round(1.8 * SAMPLE_RATE) - 1]
    (told,) = part.holes()
    assert told == pytest.approx((1.0, 0.8))
    assert part.holes() == [], "each is told once"


def test_an_empty_block_is_nothing() -> None:
    part = SampleTimeline(timeline := Timeline(EPOCH_S), 1)
    part.push(Samples(np.zeros((0, 1), np.float32), EPOCH_S + 50))
    timeline.stop(EPOCH_S + 1)
    assert len(rest(part)) == SAMPLE_RATE
    assert part.inserted_silence_s == 1.0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 5000), st.floats(-3, 5)),
        st.tuples(st.just("push"), st.integers(0, 5000), st.just(0.0)),
        st.tuples(st.sampled_from(["wait", "starve", "take", "pause", "resume"]), st.just(0), st.floats(0, 2)),
    ),
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, duration_s=st.one_of(st.just(math.inf), st.floats(0, 20)), channels=st.integers(1, 2))
def test_the_sound_is_as_long_as_the_recording_whatever_came(
    steps: list[tuple[str, int, float]], duration_s: float, channels: int
) -> None:
    timeline = Timeline(EPOCH_S, duration_s)
    part = SampleTimeline(timeline, channels)
    now_s, count = EPOCH_S, 0
    for step, size, seconds in steps:
        if step == "push":
            now_s += size / SAMPLE_RATE
            part.push(Samples(np.ones((size, channels), np.float32), now_s - size / SAMPLE_RATE + seconds))
            count += len(part.take(now_s))
            continue
        now_s += seconds
        if step == "starve":
            part.starve(now_s)
        elif step == "pause":
            timeline.pause(now_s)
        elif step == "resume":
            timeline.resume(now_s)
        elif step == "take":
            count += len(part.take(now_s))
    timeline.stop(now_s)
    count += len(rest(part))
    assert count == len(kept(timeline))
    assert abs(count / SAMPLE_RATE - timeline.media_s(timeline.stop_s)) <= (len(timeline.pauses()) + 1) / SAMPLE_RATE
    assert all(length_s > 0 for _, length_s in part.holes())
    assert 0 <= part.inserted_silence_s <= count / SAMPLE_RATE
