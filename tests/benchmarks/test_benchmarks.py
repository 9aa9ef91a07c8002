"""The arithmetic of the benchmarks is right for signals and files with known offsets."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks import clockface, long
from benchmarks.alignment import Drift, common_shift_s, drift_of, matched
from benchmarks.cost import Cost, broken_bounds, medians, ratio
from benchmarks.decoding import read_picture, read_sound
from benchmarks.long import Quarter, sync_of
from benchmarks.onsets import (
    BEEP_HZ,
    BEEP_S,
    HUM_HZ,
    HUM_LEVEL,
    Floats,
    Waveform,
    beep_onsets_s,
    flash_onsets_s,
    sound_start_s,
)
from benchmarks.process import cpu_s, descriptors, run
from benchmarks.quality import Encoded, size_at
from benchmarks.reading.pictures import number_in, picture, worst_level
from benchmarks.report import table
from benchmarks.similarity import luma, similarity
from benchmarks.synchrony import Synchrony, Truth, clock_readings, judge

RATE = 48_000
FPS = 30
WIDTH, HEIGHT = 832, 128  # the smallest that holds the clock
FLASH_S = 0.1

#: A quarter of a long recording that breaks no bound.
FIRST = Quarter(15, 5.0, 110.0, 2.0, 26, 12, 0, 90.0, (4.0, 12.0), (4.0, 12.0))

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the virtual desk needs Linux")


def irregular_moments_s(first_s: float, until_s: float, seed: int = 1) -> Floats:
    intervals_s = np.random.default_rng(seed).uniform(0.7, 1.3, 1000)
    moments_s = first_s + np.cumsum(intervals_s)
    return moments_s[moments_s < until_s]


def beeping(onsets_s: Floats, length_s: float, rate: int = RATE) -> Waveform:
    """Return a hum with beeps that start exactly at the given moments."""
    moments_s = np.arange(round(length_s * rate)) / rate
    samples = HUM_LEVEL * np.sin(2 * np.pi * HUM_HZ * moments_s)
    for onset_s in onsets_s:
        inside = (moments_s >= onset_s) & (moments_s < onset_s + BEEP_S)
        samples[inside] += 0.5 * np.sin(2 * np.pi * BEEP_HZ * (moments_s[inside] - onset_s))
    return np.asarray(samples, np.float32)


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_a_beep_is_found_to_a_quarter_of_a_millisecond(rate: int) -> None:
    true_s = np.array([0.5, 1.2345678, 2.7182818])
    noise = np.random.default_rng(0).normal(0, 0.01, rate * 4).astype(np.float32)
    found_s = beep_onsets_s(beeping(true_s, 4.0, rate) + noise, rate, 10.0)
    assert found_s - 10.0 == pytest.approx(true_s, abs=0.00025)


def test_a_click_is_not_a_beep_and_an_interrupted_beep_is_one_beep() -> None:
    samples = beeping(np.array([0.5]), 2.0)
    samples[round(0.53 * RATE) : round(0.535 * RATE)] = 0.0
    samples[round(1.5 * RATE) : round(1.505 * RATE)] += 0.9
    assert beep_onsets_s(samples, RATE, 0.0) == pytest.approx([0.5], abs=0.0005)


def test_silence_has_no_beep_and_no_start_of_sound() -> None:
    silence = np.zeros(RATE, np.float32)
    assert beep_onsets_s(silence, RATE, 0.0).size == 0
    assert beep_onsets_s(silence[:10], RATE, 0.0).size == 0
    assert sound_start_s(silence, RATE, 0.0, 0.01) is None


def test_sound_starts_at_the_first_sample_that_is_loud_enough() -> None:
    samples = np.concatenate((np.zeros(4800, np.float32), beeping(np.empty(0), 1.0)))
    assert sound_start_s(samples, RATE, 3.0, HUM_LEVEL / 4) == pytest.approx(3.1, abs=0.0005)


def test_a_flash_starts_at_its_first_bright_frame() -> None:
    pts_s = np.arange(12) / 10
    luma = np.array([16, 16, 235, 230, 16, 16, 16, 16, 200, 235, 16, 16.0])
    assert flash_onsets_s(pts_s, luma).tolist() == [0.2, 0.8]
    assert flash_onsets_s(np.empty(0), np.empty(0)).size == 0


@pytest.mark.parametrize("shift_s", [-1000.0, -2.1, 0.0, 0.4, 1.9])
def test_a_shift_of_any_size_is_found(shift_s: float) -> None:
    true_s = irregular_moments_s(0.0, 20.0)
    jitter_s = np.random.default_rng(2).uniform(0, 1 / FPS, true_s.size)
    found_s = np.delete(true_s + shift_s + jitter_s, [0, 7])
    found_s = np.sort(np.append(found_s, [3.3 + shift_s, 25.0 + shift_s]))
    assert common_shift_s(true_s, found_s) == pytest.approx(shift_s + 0.5 / FPS, abs=0.012)
    lateness_s = matched(true_s, found_s)
    assert set(range(true_s.size)) - lateness_s.keys() <= {0, 7}
    assert lateness_s[3] == pytest.approx(shift_s + jitter_s[3])


def test_empty_moments_match_nothing() -> None:
    assert matched(np.empty(0), np.array([1.0])) == {}
    assert matched(np.array([1.0]), np.empty(0)) == {}
    with pytest.raises(ValueError, match="nothing to compare"):
        common_shift_s(np.empty(0), np.empty(0))


def test_outliers_do_not_change_the_drift() -> None:
    moments_s = irregular_moments_s(0.0, 60.0)
    noise_s = np.random.default_rng(3).normal(0, 0.001, moments_s.size)
    offsets_s = 0.05 + 0.012 / 60 * moments_s + noise_s
    offsets_s[5] += 0.4
    found = drift_of(moments_s, offsets_s)
    assert found.error_ms < 1.0
    assert abs(found.ms_a_minute - 12.0) < 3 * found.error_ms
    assert drift_of(moments_s[:2], offsets_s[:2]).error_ms == float("inf")


def test_offsets_on_a_line_by_chance_are_no_drift() -> None:
    moments_s = np.cumsum([1.2, 1.2, 1.0, 1.1, 0.9])
    found = drift_of(moments_s, 0.012 - 0.0007 * moments_s, resolution_s=1 / FPS)
    assert found.ms_a_minute == pytest.approx(-42)
    assert found.error_ms > 42


def test_the_end_of_the_grid_of_the_first_frames_is_no_drift(tmp_path: Path) -> None:
    flashes_s = irregular_moments_s(0.0, 12.0)
    path = tmp_path / "grid.mp4"
    written_recording(path, Truth(flashes_s, flashes_s), 12.0, clock=True)
    picture = read_picture(path)
    picture.pts_s[:100] += 0.008
    found = judge(picture, read_sound(path), Truth(flashes_s, flashes_s), 12.0, 0.0)
    assert abs(found.drift_ms) < 1


def test_errors_add_up_in_the_difference_of_two_drifts() -> None:
    assert Drift(7.0, 3.0).minus(Drift(2.0, 4.0)) == Drift(5.0, 5.0)


@pytest.mark.parametrize("moment_s", [0.0, 1.2344, 523.999, 17_178_512.7, 1.5 * clockface.PERIOD_S])
def test_the_clock_reads_the_moment_it_shows(moment_s: float) -> None:
    cells = clockface.cells_showing(moment_s)
    assert len(cells) == clockface.CELLS
    assert clockface.moment_shown_s(cells, moment_s - 200) == pytest.approx(moment_s, abs=0.001)


def test_a_flash_is_not_a_clock() -> None:
    assert clockface.moment_shown_s([True] * clockface.CELLS, 0.0) is None
    assert clockface.moment_shown_s([False] * clockface.CELLS, 0.0) is None


def written_recording(
    path: Path, truth: Truth, length_s: float, *, picture_late_s: float = 0.0, stretch: float = 1.0, clock: bool = False
) -> None:
    """Write the recording of a stimulus that begins at moment 0, with a given error in the picture's time."""
    samples = beeping(truth.beep_s, length_s)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "crf": "18"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.time_base = video.codec_context.time_base = Fraction(1, 90_000)
        audio = container.add_stream("aac", rate=RATE, layout="mono")
        for slot in range(round(length_s * FPS)):
            frame = av.VideoFrame.from_ndarray(picture_at(slot / FPS, truth, clock), "gray").reformat(format="yuv420p")
            frame.pts = round((slot / FPS * stretch + picture_late_s) * 90_000)
            frame.time_base = video.time_base
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        for first in range(0, samples.size, 1024):
            block = av.AudioFrame.from_ndarray(samples[None, first : first + 1024], "fltp", "mono")
            block.sample_rate, block.pts, block.time_base = RATE, first, Fraction(1, RATE)
            container.mux(audio.encode(block))
        container.mux(audio.encode(None))


def picture_at(moment_s: float, truth: Truth, clock: bool) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    pixels = np.full((HEIGHT, WIDTH), 16, np.uint8)
    if clock:
        for index, white in enumerate(clockface.cells_showing(moment_s)):
            place = clockface.cell(index)
            pixels[place.top : place.bottom, place.left : place.right] = 235 if white else 16
    if np.any((truth.flash_s <= moment_s) & (moment_s < truth.flash_s + FLASH_S)):
        pixels[:] = 235
    return pixels


def test_a_late_picture_is_measured_from_the_file(tmp_path: Path) -> None:
    flashes_s = irregular_moments_s(0.0, 12.0)
    truth = Truth(flashes_s, flashes_s - 0.02)  # an early beep of the stimulus must not count against the recording
    path = tmp_path / "late.mp4"
    written_recording(path, truth, 12.0, picture_late_s=0.1)
    picture, sound = read_picture(path), read_sound(path)
    found = judge(picture, sound, truth, 12.0, 0.0)
    assert found.pairs == flashes_s.size
    assert found.missing == 0
    # A flash appears in the next frame, half a slot later on average.
    assert found.median_ms == pytest.approx(100 + 500 / FPS, abs=10)
    assert 100 <= found.worst_ms <= 101 + 1000 / FPS
    assert found.starts_apart_ms == pytest.approx(100, abs=1)
    assert found.ends_apart_ms == pytest.approx(100, abs=25)
    assert found.duration_error_s == pytest.approx(0.1, abs=0.03)
    assert found.stimulus_worst_ms == pytest.approx(20)
    assert {"median_ms", "worst_ms", "starts_apart_ms"} <= set(found.broken_bounds())
    assert clock_readings(picture, 0.0).pts_s.size == 0


def test_the_running_clock_gives_the_drift_to_a_millisecond(tmp_path: Path) -> None:
    flashes_s = irregular_moments_s(0.0, 12.0)
    path = tmp_path / "drifting.mp4"
    written_recording(path, Truth(flashes_s, flashes_s), 12.0, stretch=1.0005, clock=True)
    found = judge(read_picture(path), read_sound(path), Truth(flashes_s, flashes_s), 12.0, 0.0)
    assert found.drift_ms == pytest.approx(30, abs=1)
    assert found.drift_error_ms < 1
    assert "drift_ms" in set(found.broken_bounds())


def test_moved_frames_are_counted(tmp_path: Path) -> None:
    flashes_s = np.array([0.5, 1.5])
    path = tmp_path / "flashes.mp4"
    written_recording(path, Truth(flashes_s, flashes_s), 2.0)
    assert read_picture(path).moved == 5  # the first frame, and the start and end of each flash
    assert read_picture(path, most_frames=3).pts_s.size == 3


def test_broken_bounds_lists_only_figures_out_of_bounds() -> None:
    good = Synchrony(60, 0, 3.0, -20.0, 4.0, 0.2, 1.0, 0.0, 10.0, 0.02, 3.0)
    assert list(good.broken_bounds()) == []
    lost = Synchrony(58, 2, float("nan"), -20.0, 7.0, 0.5, 1.0, 0.0, 10.0, 0.02, 3.0)
    assert list(lost.broken_bounds()) == ["median_ms", "drift_ms", "missing"]


@on_linux
def test_run_measures_time_and_memory_of_a_program() -> None:
    hungry = "import time; kept = bytearray(100_000_000); time.sleep(0.6); print(sum(range(10**6)))"
    outcome = run([sys.executable, "-c", hungry], {}, 60.0)
    assert outcome.exit_code == 0
    assert outcome.output.strip() == str(sum(range(10**6)))
    assert outcome.peak_bytes > 100_000_000
    assert 0 < outcome.cpu_s < outcome.lasted_s


@on_linux
def test_a_program_that_hangs_is_killed() -> None:
    with pytest.raises(TimeoutError, match="did not end within"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], {}, 0.3)


def test_ratios_are_computed_run_by_run() -> None:
    costs = [Cost(1.0, 50, 1.0, 30, 0, 5), Cost(3.0, 60, 1.0, 31, 2, 5), Cost(2.0, 70, 1.0, 29, 0, 5)]
    others = [Cost(4.0, 50, 1.0), Cost(6.0, 50, 1.0), Cost(8.0, 50, 1.0)]
    assert ratio(costs, others) == 0.25
    assert medians(costs)["cpu_s"] == 2.0
    assert medians(others)["frames"] is None


def test_table_columns_are_aligned() -> None:
    assert table(("", "a"), (("left", "1.0"), ("l", "10.0"))).splitlines()[2:] == ["left   1.0", "l     10.0"]


def test_more_noise_means_less_similarity() -> None:
    dice = np.random.default_rng(3)
    picture = dice.integers(0, 256, (64, 96)).astype(float)
    noisy = picture + dice.normal(0, 10, picture.shape)
    noisier = picture + dice.normal(0, 60, picture.shape)
    assert similarity(picture, picture) == pytest.approx(1.0)
    assert 1 > similarity(picture, noisy) > similarity(picture, noisier) > similarity(picture, 255 - picture)
    assert luma(np.full((2, 2, 4), 255, np.uint8)) == pytest.approx(255.0)


def test_sizes_are_interpolated_at_the_same_similarity() -> None:
    found = [Encoded("low", 0.9, 1.0), Encoded("medium", 0.99, 2.0), Encoded("high", 0.999, 4.0)]
    assert size_at(0.99, found) == pytest.approx(2.0)
    assert size_at(1 - 10**-1.5, found) == pytest.approx(2**0.5)


def test_every_broken_bound_is_named() -> None:
    dear = [Cost(3.0, 200, 1.0, 450, 2, 5)]
    assert len(broken_bounds("walkthrough", dear, 0.21)) == 3
    assert broken_bounds("walkthrough", [Cost(3.0, 100, 1.0, 450, 0, 5)], 0.2) == []
    assert broken_bounds("full motion, 60 fps", [Cost(3.0, 100, 1.0, 450, 9, 5)], 9.0) == []


@pytest.mark.parametrize("number", [0, 1, 1000, 65_535])
def test_a_number_is_found_in_a_smaller_picture(number: int) -> None:
    image = picture(number)[::4, ::4, 2::-1]
    assert number_in(image) == number
    assert worst_level(image) == 0
    assert worst_level(255 - image) == 255


def test_only_the_flashes_of_the_part_are_compared(tmp_path: Path) -> None:
    path = tmp_path / "late.mp4"
    flashes_s = irregular_moments_s(0.0, 75.0)
    written_recording(path, Truth(flashes_s, flashes_s), 75.0, picture_late_s=0.1)
    # Were the flashes of the first seconds compared as well, these would have no match, or a wrong one.
    last = flashes_s[flashes_s > 40.0]
    median_ms, worst_ms = sync_of(path, Truth(last, last), 75.0)
    assert median_ms == pytest.approx(100 + 500 / 30, abs=10)
    assert 100 <= worst_ms <= 101 + 1000 / 30


def test_what_stays_the_same_breaks_no_bound() -> None:
    assert long.broken_bounds([FIRST, replace(FIRST, ends_at_min=30, memory_mb=115.0, size_mb=200.0)]) == []
    # A fuller replay buffer is no growth.
    assert long.broken_bounds([FIRST, replace(FIRST, memory_mb=150.0, buffer_mb=42.0)]) == []


@pytest.mark.parametrize(
    "later",
    [
        replace(FIRST, memory_mb=125.0),
        replace(FIRST, descriptors=27),
        replace(FIRST, threads=13),
        replace(FIRST, lost=1),
        replace(FIRST, sync_ms=(4.0, 41.0)),
        replace(FIRST, clip_sync_ms=(16.0, 20.0)),
    ],
)
def test_whatever_grows_is_named(later: Quarter) -> None:
    (named,) = long.broken_bounds([FIRST, replace(later, ends_at_min=30)])
    assert named.startswith("after 30 min")


def test_a_slot_that_is_written_twice_is_lost_once(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    lines = [("dropped", 1.0, 2), ("mark", 1.5, 9), ("dropped", 1.0, 5), ("dropped", 4.0, 1)]
    ledger.write_text(
        "".join(f'{{"kind": "{kind}", "at_s": {at_s}, "count": {count}}}\n' for kind, at_s, count in lines)
    )
    assert long.lost_slots(ledger) == 6


@on_linux
def test_the_time_and_the_descriptors_of_a_process_are_read() -> None:
    before_s, before = cpu_s(os.getpid()), descriptors(os.getpid())
    with Path("/dev/null").open():
        assert descriptors(os.getpid()) == before + 1
    while cpu_s(os.getpid()) <= before_s:
        pass
