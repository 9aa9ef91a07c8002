"""Devices with late blocks, holes and drifting clocks become continuous samples in their places.

The sound in these tests is a ramp: the value of each sample says when it was heard. So a test can check the place of
every sample of the result, not only of a click here and there.
"""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.media import SAMPLE_RATE, SampleArray, Samples
from capture.timing.sample_timeline import HOLE_S, STARVED_MARGIN_S, STARVED_S, SampleTimeline
from capture.timing.timeline import Timeline

EPOCH_S = 1000.0
BLOCK = 960

#: A sample's value is the moment it was heard, plus this, so that only inserted silence is zero.
RAMP_START = 1.0

#: During a correction, a jump affects this many samples on either side.
SINC_REACH = 32

#: A tenth of the offset between sound and picture that people notice.
PLACED_WITHIN_S = 0.003


def ramp(heard_s: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return RAMP_START + heard_s


@dataclass(frozen=True)
class Device:
    """A sound card without timestamps. Its clock runs `ppm` fast; its blocks arrive on time or late, never early.

    Moments are seconds since the epoch. Sound from a `gone` span never arrives; sound from a `stalled` span arrives in
    one burst at its end.
    """

    ppm: float = 0.0
    jitter_s: float = 0.003
    signal: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]] = ramp
    starts_s: float = -0.05
    gone: Sequence[tuple[float, float]] = ()
    stalled: Sequence[tuple[float, float]] = ()
    seed: int = 0

    def blocks(self, until_s: float) -> Iterator[tuple[float, Samples]]:
        """Yield each block with the moment it is delivered."""
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


def rest(samples: SampleTimeline) -> SampleArray:
    """Finish the sound and take the rest."""
    samples.finish()
    return samples.take(math.inf)


@dataclass
class Recorded:
    """The result of recording a device: the samples, and the true moment of each."""

    sound: SampleArray
    true_s: npt.NDArray[np.float64]
    samples: SampleTimeline
    holes: list[tuple[float, float]] = field(default_factory=list)

    def errors_s(self, from_s: float = 0.0) -> npt.NDArray[np.float64]:
        """Return how far each sample from `from_s` on is from its true moment; NaN for silence."""
        sound = self.sound[:, 0].astype(float)
        silent = np.convolve(sound == 0.0, np.ones(2 * SINC_REACH + 1), "same") > 0.5
        errors = np.where(silent, np.nan, sound - RAMP_START - self.true_s)
        return errors[self.true_s >= from_s]

    def worst_s(self, from_s: float = 0.0) -> float:
        return float(np.nanmax(np.abs(self.errors_s(from_s))))

    def silences(self) -> list[tuple[float, float]]:
        """Return every run of silence as (begin, length) in seconds."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.sound[:, 0] == 0.0, [False]]).astype(int)))
        return [
            (float(self.true_s[start]), (end - start) / SAMPLE_RATE)
            for start, end in zip(edges[::2], edges[1::2], strict=True)
        ]


def recorded_indices(timeline: Timeline) -> npt.NDArray[np.int64]:
    """Return the indices, counted from the epoch, of the samples in the file: up to the stop, outside every pause."""
    stop_s = timeline.stop_s
    bounds_s = [EPOCH_S, *(min(at_s, stop_s) for pause in timeline.pauses() for at_s in pause), stop_s]
    indices = [round((at_s - EPOCH_S) * SAMPLE_RATE) for at_s in bounds_s]
    return np.concatenate([np.arange(a, b) for a, b in zip(indices[::2], indices[1::2], strict=True)])


def record(device: Device, seconds: float, pauses_s: Sequence[tuple[float, float]] = ()) -> Recorded:
    """Run a device through a timeline as a sound track does: each block as it is delivered, and ticks in between."""
    timeline = Timeline(EPOCH_S)
    samples = SampleTimeline(timeline, 1)
    recorded = Recorded(np.zeros((0, 1), np.float32), np.zeros(0), samples)
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
            samples.push(block)
            heard_at_s = now_s
        elif now_s - max(heard_at_s, 0.0) >= 0.3:
            samples.starve(EPOCH_S + now_s)
        parts.append(samples.take(EPOCH_S + now_s))
        recorded.holes += samples.holes()
    for at_s, command in commands:
        command(EPOCH_S + at_s)
    recorded.sound = np.concatenate([*parts, rest(samples)])
    recorded.holes += samples.holes()
    places = recorded_indices(timeline)
    assert len(recorded.sound) == len(places)
    recorded.true_s = places / SAMPLE_RATE
    return recorded


@pytest.mark.parametrize("jitter_s", [0.0, 0.003, 0.015])
def test_late_blocks_change_nothing(jitter_s: float) -> None:
    recorded = record(Device(jitter_s=jitter_s), 20)
    assert recorded.worst_s() < 0.001
    assert recorded.samples.inserted_silence_s == 0.0
    assert recorded.holes == []
    assert abs(recorded.samples.drift_ppm) < 5
    assert np.ptp(recorded.errors_s()) < 1e-5, "nothing may be stretched"


@pytest.mark.parametrize(
    ("ppm", "seconds", "within_s"),
    [
        (200, 120, PLACED_WITHIN_S),
        (-200, 120, PLACED_WITHIN_S),
        (1000, 60, PLACED_WITHIN_S),
        # The most that corrections can gain, so the result stays slightly behind.
        (-1000, 60, 0.005),
    ],
)
def test_drift_is_corrected(ppm: float, seconds: float, within_s: float) -> None:
    recorded = record(Device(ppm=ppm), seconds)
    assert recorded.worst_s() < within_s
    assert np.nanmax(recorded.errors_s()) - np.nanmin(recorded.errors_s()) < within_s, "no correction may overshoot"
    assert recorded.samples.drift_ppm == pytest.approx(ppm, abs=5)
    assert recorded.samples.inserted_silence_s == 0.0
    assert recorded.holes == []


@pytest.mark.parametrize("ppm", [300, -300])
def test_drift_correction_stretches_and_never_cuts(ppm: float) -> None:
    bend = 2 * np.pi * 440 / SAMPLE_RATE
    recorded = record(Device(ppm=ppm, signal=lambda heard_s: np.sin(2 * np.pi * 440 * heard_s)), 30)
    # A missing or repeated sample bends the wave by the step between two samples, 17 times the wave's own curvature.
    assert np.abs(np.diff(recorded.sound[:, 0], 2)).max() < 1.2 * bend**2


def test_a_hole_is_filled_with_silence_and_reported() -> None:
    recorded = record(Device(gone=[(10, 10.5)]), 20)
    assert recorded.worst_s() < 0.001
    ((at_s, length_s),) = recorded.silences()
    assert at_s == pytest.approx(10, abs=0.02)
    assert length_s == pytest.approx(0.5, abs=0.02)
    (hole,) = recorded.holes
    assert hole == pytest.approx((at_s, length_s), abs=0.001)
    assert recorded.samples.inserted_silence_s == pytest.approx(length_s, abs=1e-4)


def test_a_hole_is_reported_in_media_time() -> None:
    recorded = record(Device(gone=[(10, 10.5)]), 20, pauses_s=[(2, 5)])
    ((at_s, _),) = recorded.holes
    assert at_s == pytest.approx(7, abs=0.02)


def test_many_holes_do_not_shift_the_sound() -> None:
    gone = [(5 * number, 5 * number + 0.06 + 0.02 * number) for number in range(1, 12)]
    recorded = record(Device(gone=gone, ppm=100), 60)
    assert recorded.worst_s() < PLACED_WITHIN_S
    assert len(recorded.holes) == len(gone)
    # Only whole blocks of 20 ms go missing.
    missing_s = sum(math.ceil((to_s - from_s) / 0.02 - 1e-9) * 0.02 for from_s, to_s in gone)
    assert recorded.samples.inserted_silence_s == pytest.approx(missing_s, abs=0.02 * len(gone))


def test_a_hole_below_the_threshold_is_resampled_away() -> None:
    recorded = record(Device(gone=[(5, 5.02)], jitter_s=0.001), 60)
    assert recorded.holes == []
    assert 0.015 < recorded.worst_s() < HOLE_S
    assert recorded.worst_s(from_s=35) < PLACED_WITHIN_S


@pytest.mark.parametrize("stalled_s", [0.1, 0.3, 0.65])
def test_a_burst_after_a_stall_is_not_a_hole(stalled_s: float) -> None:
    recorded = record(Device(stalled=[(10, 10 + stalled_s)]), 20)
    assert recorded.worst_s() < 0.001
    assert recorded.silences() == []
    assert recorded.samples.inserted_silence_s == 0.0
    assert recorded.holes == []


def test_a_burst_after_a_long_stall_loses_only_what_the_silence_covers() -> None:
    recorded = record(Device(stalled=[(10, 13)]), 20)
    assert recorded.worst_s() < 0.001
    ((at_s, length_s),) = recorded.silences()
    assert at_s == pytest.approx(10, abs=0.05)
    assert 3 - STARVED_S - 0.2 < length_s < 3 - STARVED_MARGIN_S


def test_inserted_silence_leaves_room_for_late_sound() -> None:
    # At 10.8 s, silence is written once.
    recorded = record(Device(stalled=[(10, 10.9)]), 20)
    ((_, length_s),) = recorded.silences()
    assert length_s == pytest.approx(0.4, abs=0.03)


def test_a_late_start_is_preceded_by_silence() -> None:
    recorded = record(Device(starts_s=2.0), 10)
    assert recorded.worst_s() < 0.001
    ((at_s, length_s),) = recorded.silences()
    assert at_s == 0.0
    assert length_s == pytest.approx(2.0, abs=0.001)
    assert recorded.holes == []


def test_sound_before_the_epoch_is_cut() -> None:
    recorded = record(Device(starts_s=-1.3), 5)
    assert recorded.silences() == []
    assert recorded.worst_s() < 0.001
    assert recorded.sound[0, 0] == pytest.approx(RAMP_START, abs=0.001)


def test_a_delayed_first_block_does_not_shift_the_rest() -> None:
    recorded = record(Device(starts_s=0.0, stalled=[(0.0, 0.1)], jitter_s=0.001), 5)
    assert recorded.worst_s() < 0.001


# With 0.3 s, the first estimate uses only blocks from before the epoch.
@pytest.mark.parametrize("starts_s", [-0.3, -0.33, -2.9])
@pytest.mark.parametrize("read_from_s", [-5, 0.02])
def test_sound_is_not_shifted_if_the_device_opened_before_the_epoch(starts_s: float, read_from_s: float) -> None:
    recorded = record(Device(starts_s=starts_s, stalled=[(-5, read_from_s)], jitter_s=0.001), 5)
    assert recorded.silences() == []
    assert recorded.worst_s() < 0.001


def test_a_device_that_returns_after_a_gap_is_placed_correctly() -> None:
    recorded = record(Device(gone=[(10, 14.3)], ppm=100), 40)
    assert recorded.worst_s() < PLACED_WITHIN_S
    ((at_s, length_s),) = recorded.silences()
    assert at_s == pytest.approx(10, abs=0.02)
    assert length_s == pytest.approx(4.3, abs=0.05)
    assert recorded.samples.drift_ppm == pytest.approx(100, abs=10)


def test_a_device_that_never_delivers_becomes_silence() -> None:
    recorded = record(Device(gone=[(-1, 100)]), 8)
    assert recorded.silences() == [(0.0, 8.0)]
    assert recorded.samples.inserted_silence_s == 8.0
    assert recorded.samples.drift_ppm == 0.0


def test_starve_writes_silence_up_to_a_margin_before_now() -> None:
    samples = SampleTimeline(Timeline(EPOCH_S), 2)
    samples.starve(EPOCH_S + STARVED_S - 0.01)
    assert len(samples.take(EPOCH_S + STARVED_S)) == 0
    samples.starve(EPOCH_S + 3)
    silence = samples.take(EPOCH_S + 3)
    assert silence.shape == (round((3 - STARVED_MARGIN_S) * SAMPLE_RATE), 2)
    assert not silence.any()


def test_starve_places_blocks_that_wait_for_the_anchor() -> None:
    samples = SampleTimeline(Timeline(EPOCH_S), 1)
    samples.push(Samples(np.ones((BLOCK, 1), np.float32), EPOCH_S + 0.5))
    assert len(samples.take(EPOCH_S + 0.6)) == 0
    samples.starve(EPOCH_S + 2)
    sound = samples.take(EPOCH_S + 2)[:, 0]
    assert np.flatnonzero(sound)[[0, -1]].tolist() == [SAMPLE_RATE // 2, SAMPLE_RATE // 2 + BLOCK - 1]


def test_pauses_are_cut_and_everything_else_keeps_its_place() -> None:
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
    assert recorded.samples.drift_ppm == pytest.approx(150, abs=5), "pauses must not affect the measured drift"


def test_sound_from_a_pause_is_never_returned() -> None:
    timeline = Timeline(EPOCH_S)
    samples = SampleTimeline(timeline, 1)
    for at_s, block in Device(starts_s=0.0, jitter_s=0.0).blocks(3):
        if at_s >= 1 and not timeline.pauses():
            timeline.pause(EPOCH_S + 1)
        samples.push(block)
        assert len(samples.take(EPOCH_S + at_s)) <= SAMPLE_RATE
    timeline.stop(EPOCH_S + 3)
    assert len(rest(samples)) <= BLOCK


@pytest.mark.parametrize("late_s", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("late", ["pause", "resume", "both"])
def test_a_late_command_does_not_shift_what_follows(late: str, late_s: float) -> None:
    timeline = Timeline(EPOCH_S)
    samples = SampleTimeline(timeline, 1)
    pause_late_s, resume_late_s = late_s * (late != "resume"), late_s * (late != "pause")
    commands = [(2 + pause_late_s, timeline.pause, 2.0), (4 + resume_late_s, timeline.resume, 4.0)]
    parts = []
    for now_s, block in Device(starts_s=0.0, jitter_s=0.0).blocks(7.99):
        while commands and commands[0][0] <= now_s:
            _, command, at_s = commands.pop(0)
            command(EPOCH_S + at_s)
        samples.push(block)
        parts.append(samples.take(EPOCH_S + now_s))
    timeline.stop(EPOCH_S + 8)
    sound = np.concatenate([*parts, rest(samples)])[:, 0]
    assert len(sound) == 6 * SAMPLE_RATE
    heard_s = recorded_indices(timeline) / SAMPLE_RATE
    # Up to one block before the command, sound may have been taken or cut already.
    settled = (heard_s < 2) | (heard_s >= 4 + late_s + BLOCK / SAMPLE_RATE)
    assert np.abs(sound - RAMP_START - heard_s)[settled].max() < 1e-4


def test_a_resume_that_arrives_at_the_end_is_compensated_with_silence() -> None:
    timeline = Timeline(EPOCH_S)
    samples = SampleTimeline(timeline, 1)
    timeline.pause(EPOCH_S + 1)
    count = 0
    for now_s, block in Device(starts_s=0.0, jitter_s=0.0).blocks(3):
        samples.push(block)
        count += len(samples.take(EPOCH_S + now_s))
    timeline.resume(EPOCH_S + 2)
    timeline.stop(EPOCH_S + 3)
    assert count + len(rest(samples)) == 2 * SAMPLE_RATE
    assert samples.inserted_silence_s == pytest.approx(1, abs=0.03)


def test_inserted_silence_does_not_count_pauses() -> None:
    recorded = record(Device(gone=[(1.5, 13)]), 15, pauses_s=[(2, 13)])
    assert len(recorded.sound) == 4 * SAMPLE_RATE
    ((_, length_s),) = recorded.silences()
    assert length_s == pytest.approx(0.5, abs=0.03)
    assert recorded.samples.inserted_silence_s == pytest.approx(length_s, abs=1e-4)


def test_inserted_silence_counts_only_up_to_the_stop() -> None:
    timeline = Timeline(EPOCH_S, duration_s=1)
    samples = SampleTimeline(timeline, 1)
    samples.starve(EPOCH_S + 9)
    assert len(rest(samples)) == SAMPLE_RATE
    assert samples.inserted_silence_s == 1.0


@pytest.mark.parametrize(
    ("pause_s", "expected"),
    [
        ((9, 12), []),
        ((9, 10.3), [(9.0, 0.2)]),
        ((10.2, 12), [(10.0, 0.2)]),
        ((10.1, 10.3), [(10.0, 0.3)]),
    ],
)
def test_holes_do_not_include_pauses(pause_s: tuple[float, float], expected: list[tuple[float, float]]) -> None:
    recorded = record(Device(starts_s=0.0, gone=[(9.99, 10.49)], jitter_s=0.0), 15, pauses_s=[pause_s])
    assert recorded.holes == [pytest.approx(hole, abs=0.02) for hole in expected]
    assert recorded.samples.inserted_silence_s == pytest.approx(sum(length_s for _, length_s in expected), abs=0.02)


def test_a_hole_ends_at_the_stop() -> None:
    timeline = Timeline(EPOCH_S, duration_s=1.2)
    samples = SampleTimeline(timeline, 1)
    for _, block in Device(starts_s=0.0, jitter_s=0.0, gone=[(1, 1.8)]).blocks(2):
        samples.push(block)
    assert len(rest(samples)) == round(1.2 * SAMPLE_RATE)
    (hole,) = samples.holes()
    assert hole == pytest.approx((1.0, 0.2))


def test_an_hour_of_silence_takes_little_memory() -> None:
    hour_s = 3600.0
    samples = SampleTimeline(Timeline(EPOCH_S, hour_s), 2)
    tracemalloc.start()
    try:
        samples.starve(EPOCH_S + hour_s)
        samples.finish()
        count = 0
        while len(piece := samples.take(math.inf, SAMPLE_RATE)):
            assert len(piece) <= SAMPLE_RATE
            assert not piece.any()
            count += len(piece)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()
    assert count == hour_s * SAMPLE_RATE
    assert samples.inserted_silence_s == hour_s


def test_taking_in_pieces_returns_the_same_as_taking_at_once() -> None:
    timeline = Timeline(EPOCH_S, duration_s=3)
    timeline.pause(EPOCH_S + 1)
    timeline.resume(EPOCH_S + 1.7)
    parts = SampleTimeline(timeline, 1), SampleTimeline(timeline, 1)
    for samples in parts:
        for _, block in Device(starts_s=0.5, jitter_s=0.0).blocks(3):
            samples.push(block)
    whole = rest(parts[0])
    parts[1].finish()
    assert parts[1].take(math.inf, 0).shape == (0, 1)
    pieces = list(iter(lambda: parts[1].take(math.inf, 777).tolist(), []))
    assert np.array_equal(np.concatenate(pieces), whole)
    assert parts[0].inserted_silence_s == parts[1].inserted_silence_s


def test_sound_stamped_ahead_is_held_until_its_time() -> None:
    timeline = Timeline(EPOCH_S)
    samples = SampleTimeline(timeline, 1)
    for number in range(20):
        # The output device delays its sound by 100 ms, so sound captured now is heard 100 ms later.
        captured_at_s = EPOCH_S + 0.1 + number * BLOCK / SAMPLE_RATE
        samples.push(Samples(np.ones((BLOCK, 1), np.float32), captured_at_s))
    assert len(samples.take(EPOCH_S + 0.3)) == round(0.3 * SAMPLE_RATE)
    assert len(samples.take(EPOCH_S + 0.3)) == 0
    timeline.pause(EPOCH_S + 0.35)
    assert len(samples.take(EPOCH_S + 0.45)) == round(0.05 * SAMPLE_RATE)
    timeline.stop(EPOCH_S + 0.47)
    assert len(rest(samples)) == 0


def test_a_repeated_block_is_not_written_twice() -> None:
    samples = SampleTimeline(timeline := Timeline(EPOCH_S), 1)
    blocks = [block for _, block in Device(starts_s=0.0, jitter_s=0.0).blocks(2)]
    for block in [*blocks[:50], *blocks[40:]]:
        samples.push(block)
    timeline.stop(EPOCH_S + 2)
    sound = rest(samples)[:, 0]
    assert np.abs(sound - RAMP_START - np.arange(len(sound)) / SAMPLE_RATE).max() < 1e-4


@pytest.mark.parametrize("stop_s", [0.0, 0.1, 1.0, 1.995, 2.0, 2.001, 2.1, 30.0])
def test_the_length_is_exact_wherever_the_sound_ends(stop_s: float) -> None:
    timeline = Timeline(EPOCH_S, duration_s=stop_s)
    samples = SampleTimeline(timeline, 2)
    for _, block in Device(starts_s=0.0, jitter_s=0.0).blocks(2):
        samples.push(Samples(np.repeat(block.data, 2, axis=1), block.captured_at_s))
    sound = rest(samples)
    assert sound.shape == (round(stop_s * SAMPLE_RATE), 2)
    assert np.count_nonzero(sound[:, 0]) == round(min(stop_s, 2) * SAMPLE_RATE)
    assert samples.inserted_silence_s == pytest.approx(max(0.0, stop_s - 2), abs=1e-9)


def test_finish_decides_a_suspected_hole_at_once() -> None:
    timeline = Timeline(EPOCH_S)
    samples = SampleTimeline(timeline, 1)
    for _, block in Device(starts_s=0.0, jitter_s=0.0, gone=[(1, 1.8)]).blocks(2):
        samples.push(block)
    timeline.stop(EPOCH_S + 2)
    sound = rest(samples)[:, 0]
    assert np.flatnonzero(sound == 0.0)[[0, -1]].tolist() == [SAMPLE_RATE, round(1.8 * SAMPLE_RATE) - 1]
    (hole,) = samples.holes()
    assert hole == pytest.approx((1.0, 0.8))
    assert samples.holes() == [], "each hole is reported once"


def test_an_empty_block_is_ignored() -> None:
    samples = SampleTimeline(timeline := Timeline(EPOCH_S), 1)
    samples.push(Samples(np.zeros((0, 1), np.float32), EPOCH_S + 50))
    timeline.stop(EPOCH_S + 1)
    assert len(rest(samples)) == SAMPLE_RATE
    assert samples.inserted_silence_s == 1.0


def test_a_sample_timeline_can_start_in_the_middle_of_the_recording() -> None:
    timeline = Timeline(EPOCH_S, 3.0)
    samples = SampleTimeline(timeline, 1, taken=SAMPLE_RATE)
    samples.push(Samples(np.full((SAMPLE_RATE, 1), 0.5, np.float32), EPOCH_S + 1.5))
    samples.finish()
    taken = samples.take(EPOCH_S + 3.0)
    assert len(taken) == 2 * SAMPLE_RATE
    assert np.flatnonzero(taken[:, 0])[[0, -1]].tolist() == [SAMPLE_RATE // 2, 3 * SAMPLE_RATE // 2 - 1]
    assert samples.inserted_silence_s == pytest.approx(1.0)


def test_interrupt_without_sound_changes_nothing() -> None:
    samples = SampleTimeline(Timeline(EPOCH_S, 1.0), 1)
    samples.interrupt()
    samples.interrupt()
    samples.finish()
    assert not samples.take(EPOCH_S + 1.0).any()
    assert samples.holes() == []


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 5000), st.floats(-3, 5)),
        st.tuples(st.just("push"), st.integers(0, 5000), st.just(0.0)),
        st.tuples(st.sampled_from(["wait", "starve", "take", "pause", "resume"]), st.just(0), st.floats(0, 2)),
    ),
    max_size=40,
)


@settings(max_examples=300)
@given(steps=STEPS, duration_s=st.one_of(st.just(math.inf), st.floats(0, 20)), channels=st.integers(1, 2))
def test_the_sound_is_as_long_as_the_recording_for_any_input(
    steps: list[tuple[str, int, float]], duration_s: float, channels: int
) -> None:
    timeline = Timeline(EPOCH_S, duration_s)
    samples = SampleTimeline(timeline, channels)
    now_s, count = EPOCH_S, 0
    for step, size, seconds in steps:
        if step == "push":
            now_s += size / SAMPLE_RATE
            samples.push(Samples(np.ones((size, channels), np.float32), now_s - size / SAMPLE_RATE + seconds))
            count += len(samples.take(now_s))
            continue
        now_s += seconds
        if step == "starve":
            samples.starve(now_s)
        elif step == "pause":
            timeline.pause(now_s)
        elif step == "resume":
            timeline.resume(now_s)
        elif step == "take":
            count += len(samples.take(now_s))
    timeline.stop(now_s)
    count += len(rest(samples))
    assert count == len(recorded_indices(timeline))
    assert abs(count / SAMPLE_RATE - timeline.media_s(timeline.stop_s)) <= (len(timeline.pauses()) + 1) / SAMPLE_RATE
    assert all(length_s > 0 for _, length_s in samples.holes())
    assert 0 <= samples.inserted_silence_s <= count / SAMPLE_RATE
