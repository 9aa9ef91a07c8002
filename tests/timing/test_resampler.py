"""A slip gains or loses exactly the samples it should, inaudibly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.media import SAMPLE_RATE, SampleArray
from capture.timing.resampler import OUTPUTS_PER_SLIP, SlipResampler

HELD_BACK = 16


def sine(hz: float, positions: npt.NDArray[np.float64], channels: int = 1) -> SampleArray:
    """Return a full-scale sine at any positions, also between samples; each channel is a quarter turn ahead."""
    phase = 2 * np.pi * hz / SAMPLE_RATE * positions[:, None] + np.pi / 2 * np.arange(channels)
    return np.sin(phase).astype(np.float32)


def noise(count: int, channels: int = 2, seed: int = 0) -> SampleArray:
    return np.random.default_rng(seed).uniform(-1, 1, (count, channels)).astype(np.float32)


def in_blocks(resampler: SlipResampler, data: SampleArray, sizes: list[int]) -> SampleArray:
    """Send `data` through in blocks of these sizes, in rotation, and flush."""
    parts, start, turn = [], 0, 0
    while start < len(data):
        size = sizes[turn % len(sizes)]
        parts.append(resampler.process(data[start : start + size]))
        start, turn = start + size, turn + 1
    return np.concatenate([*parts, resampler.flush()])


def read_positions(count: int, slip: int) -> npt.NDArray[np.float64]:
    """Return where in the input each of the first `count` outputs lies if a slip starts at the first."""
    step = 1 - np.sign(slip) / OUTPUTS_PER_SLIP
    index = np.arange(count)
    slipping = np.minimum(index, abs(slip) * OUTPUTS_PER_SLIP)
    positions: npt.NDArray[np.float64] = slipping * step + (index - slipping)
    return positions


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("sizes", [[1], [5, 0, 11], [960], [10_000]])
def test_samples_pass_unchanged_without_a_slip(channels: int, sizes: list[int]) -> None:
    data = noise(3000, channels)
    out = in_blocks(SlipResampler(channels), data, sizes)
    assert out.dtype == np.float32
    assert np.array_equal(out, data)


@pytest.mark.parametrize("slip", [1, -1, 3, -3])
def test_a_slip_gains_or_loses_exactly_that_many_samples(slip: int) -> None:
    resampler = SlipResampler(2)
    resampler.slip(slip)
    data = noise(OUTPUTS_PER_SLIP * 4)
    out = in_blocks(resampler, data, [480])
    assert len(out) == len(data) + slip
    settled = abs(slip) * OUTPUTS_PER_SLIP
    assert np.array_equal(out[settled:], data[settled - slip :]), "after the slip, samples pass unchanged"


@pytest.mark.parametrize("hz", [1_000, 10_000, 18_000])
@pytest.mark.parametrize("slip", [1, -1, 5, -5])
def test_a_slip_interpolates_the_true_wave(hz: float, slip: int) -> None:
    resampler = SlipResampler(2)
    resampler.slip(slip)
    data = sine(hz, np.arange(8000.0), channels=2)
    out = in_blocks(resampler, data, [960])
    # At either end, the sinc reaches past the sound.
    inner = slice(HELD_BACK, len(out) - HELD_BACK)
    error = out - sine(hz, read_positions(len(out), slip), channels=2)
    assert 20 * np.log10(np.abs(error[inner]).max()) < -75


@pytest.mark.parametrize("slip", [1, -1])
def test_a_slip_joins_the_samples_around_it_without_a_step(slip: int) -> None:
    resampler = SlipResampler(1)
    data = sine(1_000, np.arange(6000.0))
    head = resampler.process(data[:2000])
    resampler.slip(slip)
    tail = np.concatenate([resampler.process(data[2000:]), resampler.flush()])
    positions = np.concatenate([np.arange(len(head)), len(head) + read_positions(len(tail), slip)])
    error = np.concatenate([head, tail]) - sine(1_000, positions)
    assert 20 * np.log10(np.abs(error[:-HELD_BACK]).max()) < -75


@settings(max_examples=50)
@given(sizes=st.lists(st.integers(0, 700), min_size=1, max_size=9).filter(any), slip=st.integers(-2, 2))
def test_block_sizes_make_no_difference(sizes: list[int], slip: int) -> None:
    whole, split = SlipResampler(1), SlipResampler(1)
    for resampler in (whole, split) if slip else ():
        resampler.slip(slip)
    data = noise(3000, 1)
    expected, got = in_blocks(whole, data, [3000]), in_blocks(split, data, sizes)
    assert len(got) == len(expected)
    # Another summation order rounds differently; the positions are the same.
    assert np.abs(got - expected).max() < 1e-5


def test_pending_counts_the_samples_held_back() -> None:
    resampler = SlipResampler(1)
    assert resampler.pending == 0
    assert len(resampler.process(noise(10, 1))) == 0
    assert resampler.pending == 10
    assert len(resampler.process(noise(990, 1))) == 1000 - HELD_BACK
    assert resampler.pending == HELD_BACK
    assert len(resampler.flush()) == HELD_BACK
    assert resampler.pending == 0


@pytest.mark.parametrize("slip", [2, -2])
def test_input_equals_output_plus_pending(slip: int) -> None:
    resampler = SlipResampler(1)
    resampler.slip(slip)
    taken = given_out = 0
    for _ in range(12):
        taken += 250
        given_out += len(resampler.process(noise(250, 1)))
        gained = given_out + resampler.pending - taken
        assert abs(gained + resampler.remaining - slip) <= 1
        assert HELD_BACK <= resampler.pending <= HELD_BACK + 1
    assert (resampler.slipping, resampler.remaining, gained) == (False, 0, slip)


@pytest.mark.parametrize(("slip", "halfway"), [(4, 2), (-4, -2)])
def test_remaining_counts_down_to_zero(slip: int, halfway: int) -> None:
    resampler = SlipResampler(1)
    assert (resampler.slipping, resampler.remaining) == (False, 0)
    resampler.slip(slip)
    assert (resampler.slipping, resampler.remaining) == (True, slip)
    resampler.process(noise(2 * OUTPUTS_PER_SLIP + HELD_BACK, 1))
    assert (resampler.slipping, resampler.remaining) == (True, halfway)
    resampler.process(noise(2 * OUTPUTS_PER_SLIP + 2 * HELD_BACK, 1))
    assert (resampler.slipping, resampler.remaining) == (False, 0)


@pytest.mark.parametrize("slip", [3, -3])
def test_flush_during_a_slip_returns_everything_and_resets(slip: int) -> None:
    resampler = SlipResampler(1)
    resampler.slip(slip)
    data = sine(1_000, np.arange(1500.0))
    out = np.concatenate([resampler.process(data), resampler.flush()])
    positions = read_positions(len(out), slip)
    assert positions[-1] < len(data) <= positions[-1] + 1.01, "the output must end with the last input sample"
    assert np.abs(out - sine(1_000, positions))[:-HELD_BACK].max() < 1e-3
    assert (resampler.pending, resampler.slipping, resampler.remaining) == (0, False, 0)
    fresh = noise(100, 1)
    assert np.array_equal(in_blocks(resampler, fresh, [100]), fresh)


def test_a_second_slip_during_a_slip_is_refused() -> None:
    resampler = SlipResampler(1)
    resampler.slip(1)
    with pytest.raises(ValueError, match="under way"):
        resampler.slip(1)


def test_silence_and_a_constant_stay_unchanged() -> None:
    for value in (0.0, 0.5):
        resampler = SlipResampler(1)
        resampler.process(np.full((100, 1), value, np.float32))
        resampler.slip(1)
        out = resampler.process(np.full((3000, 1), value, np.float32))
        assert np.abs(out[HELD_BACK:] - value).max() < 1e-6
