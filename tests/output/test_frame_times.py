"""Files that begin still or regularly: FFmpeg finds a fitting frame rate."""

from __future__ import annotations

import itertools
import math
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numbered import HEIGHT, WIDTH, numbered, shown_from_s

from capture.codecs.video_encoder import VideoEncoder
from capture.formats import CONTAINERS
from capture.media import VIDEO_TICKS_PER_S
from capture.output.frame_times import FrameTimes
from capture.output.muxer import Muxer

#: The distances of the frames of each beginning, in seconds; a still screen is repeated every 0.55 s and a little.
BEGINNINGS = {
    "still": 0.5512,
    "typing": 1 / 8,
    "a caret at 1 Hz": 0.5,
    "at 2 Hz": 0.25,
    "at 3 Hz": 1 / 6,
    "6 Hz": 1 / 12,
}
RATES = (24, 25, 30, 50, 60)

#: The rate of the recordings that end right after a change, and where they end.
FPS, END_S = 30, 1.2

#: How long each beginning lasts: its frames are more than those that FFmpeg looks at, where they come often enough.
BEGINNING_S = 9.0


def moments_s(beginning: str, fps: float, lively_s: float) -> list[float]:
    """Return the times of a file's frames: a beginning, then a lively screen."""
    regular = [float(at_s) for at_s in np.arange(0.0, BEGINNING_S, BEGINNINGS[beginning])]
    return regular + [BEGINNING_S + 0.013 + slot / fps for slot in range(round(lively_s * fps))]


def write(path: Path, moments: list[float], fps: float, *, codec: str = "h264", crash_safe: bool = True) -> None:
    """Write a file with a picture at each moment that shows its number; keep a copy from before it was closed."""
    encoder = VideoEncoder(codec, WIDTH, HEIGHT, fps)
    muxer = Muxer(path, CONTAINERS[path.suffix[1:]])
    muxer.start([encoder.template], crash_safe=crash_safe)
    for number, at_s in enumerate(moments):
        for packet in encoder.encode(numbered(number), round(at_s * VIDEO_TICKS_PER_S)):
            muxer.write(0, packet)
    encoder.finish()
    shutil.copy(path, killed(path))
    muxer.close()
    muxer.keep()


def killed(path: Path) -> Path:
    return path.with_stem(path.stem + "-killed")


def guessed(path: Path) -> float:
    with av.open(str(path)) as container:
        return float(container.streams.video[0].guessed_rate or 0)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_the_frame_rate_is_found_whole_or_cut_off(beginning: str, fps: int, tmp_path: Path) -> None:
    path = tmp_path / "made.mp4"
    write(path, moments_s(beginning, fps, 1.0), fps)
    for each in (path, killed(path)):
        assert fps <= guessed(each) <= 2 * fps


@pytest.mark.parametrize("extension", ["mkv", "webm"])
def test_matroska_states_the_frame_rate(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"made.{extension}"
    write(path, moments_s("still", 24, 0.5), 24, codec=str(CONTAINERS[extension].video_codec))
    assert guessed(path) == guessed(killed(path)) == 24


@pytest.mark.parametrize("fps", [7.0, 24.0, 29.97, 30.0, 50.0, 75.0, 144.0])
def test_frames_of_a_constant_rate_keep_their_times(fps: float) -> None:
    times = FrameTimes(Fraction(fps).limit_denominator(1001), guessed=True)
    slot = round(VIDEO_TICKS_PER_S / fps)
    pts = [round(number * VIDEO_TICKS_PER_S / fps) for number in range(150)]
    assert placed(times, pts, duration=slot) == pts


def test_frames_are_half_a_slot_apart_and_move_less_than_a_slot() -> None:
    random = np.random.default_rng(5)
    for fps in (1, 5, 12.5, *RATES, 75, 144):
        # At most one frame in each slot, as they are grabbed.
        slots = np.cumsum(random.integers(1, 4, 300)) + random.uniform(0, 1, 300)
        pts = [round(float(slot) * VIDEO_TICKS_PER_S / fps) for slot in np.sort(slots)]
        found = placed(FrameTimes(Fraction(fps), guessed=True), pts)
        half_slot = VIDEO_TICKS_PER_S / fps / 2
        distances = [later - earlier for earlier, later in itertools.pairwise(found)]
        assert min(distances) >= (half_slot if fps >= 5 else VIDEO_TICKS_PER_S / 10) - 1
        assert max(abs(new - old) for new, old in zip(found, pts, strict=True)) < 2 * half_slot


@pytest.mark.parametrize("guessed", [True, False])
def test_frames_of_a_burst_wait_for_each_other(guessed: bool) -> None:
    # As after commands in quick succession, for each of which a still picture is repeated.
    pts = [0, 3000, 3200, 3500, 3900, 9000, 12_000]
    found = placed(FrameTimes(Fraction(30), guessed=guessed), pts)
    assert min(later - earlier for earlier, later in itertools.pairwise(found)) >= 1500 - 1
    assert found[-2:] == pts[-2:]


def test_a_moved_frame_ends_when_it_did() -> None:
    times = FrameTimes(Fraction(30), guessed=True)
    packets = [packet(0), packet(3700, duration=6000)]
    for each in packets:
        times.place(each)
    assert (packets[1].pts, packets[1].duration) == (3000, 6700)


@pytest.mark.parametrize("before_end_s", [0.001, 0.005, 0.012, 0.02, 0.03, 0.045, 0.2])
@pytest.mark.parametrize("is_told", [True, False], ids=["with a last repeat", "in standby"])
@pytest.mark.parametrize("extension", ["mp4", "mkv", "webm"])
def test_a_change_right_before_the_end_lasts_half_a_slot(
    extension: str, is_told: bool, before_end_s: float, tmp_path: Path
) -> None:
    path = tmp_path / f"made.{extension}"
    moments = [*np.arange(0.0, END_S - before_end_s - 0.5 / FPS, 1 / FPS), END_S - before_end_s]
    shown_s = shown_to_the_end(path, moments, is_told=is_told)
    assert abs(shown_s[-1] - moments[-1]) < 1 / FPS


@pytest.mark.parametrize("before_end_s", [(0.015, 0.001), (0.012, 0.006), (0.02, 0.01)])
@pytest.mark.parametrize("is_known", [True, False], ids=["known end", "sudden end"])
@pytest.mark.parametrize("is_told", [True, False], ids=["with a last repeat", "in standby"])
@pytest.mark.parametrize("extension", ["mp4", "mkv", "webm"])
def test_of_several_changes_right_before_the_end_the_last_is_shown_for_half_a_slot(
    extension: str, is_told: bool, is_known: bool, before_end_s: tuple[float, ...], tmp_path: Path
) -> None:
    path = tmp_path / f"made.{extension}"
    moments = [*np.arange(0.0, END_S - 0.05, 1 / FPS), *(END_S - before_s for before_s in before_end_s)]
    shown_s = shown_to_the_end(path, moments, is_told=is_told, is_known=is_known)
    # Each of them waits until the one before was shown for half a slot.
    assert 0 <= shown_s[-1] - moments[-1] < len(before_end_s) * 0.5 / FPS + 0.001


def shown_to_the_end(path: Path, moments: list[float], *, is_told: bool, is_known: bool = True) -> list[float]:
    """Record a picture at each moment; return when each is shown. Asserts that every frame lasts half a slot.

    With `is_told`, the frame grabber repeats the last one at the end; the writer may know beforehand where that is.
    """
    kind = CONTAINERS[path.suffix[1:]]
    encoder = VideoEncoder(str(kind.video_codec), WIDTH, HEIGHT, FPS)
    muxer = Muxer(path, kind)
    muxer.start([encoder.template])
    written, before_s = 0, END_S if is_known else math.inf
    for number, at_s in enumerate(moments):
        for each in encoder.encode(numbered(number), round(at_s * VIDEO_TICKS_PER_S)):
            written += muxer.write(0, each, before_s)
    if is_told:
        # As the frame grabber does at the end of a recording.
        pts = round(max(moments[-1] + 0.002, END_S - 1 / FPS) * VIDEO_TICKS_PER_S)
        for each in encoder.repeat(pts):
            if pts < END_S * VIDEO_TICKS_PER_S:
                each.duration = round(END_S * VIDEO_TICKS_PER_S) - pts
                written += muxer.write(0, each, END_S)
    encoder.finish()
    muxer.close(end_s=END_S)
    shown_s = shown_from_s(path)
    assert sorted(shown_s) == list(range(len(moments)))
    with av.open(str(path)) as container:
        packets = [each for each in container.demux(video=0) if each.size]
        moments_s = [float((each.pts or 0) * each.time_base) for each in packets]
        length_s = float(container.duration or 0) / av.time_base
    assert len(packets) == written
    is_mp4 = path.suffix == ".mp4"
    # Matroska rounds times to a millisecond.
    least_s = 0.5 / FPS - (1e-4 if is_mp4 else 0.0011)
    assert min(later - earlier for earlier, later in itertools.pairwise(moments_s)) >= least_s
    assert length_s - moments_s[-1] >= least_s
    # Later, where the picture has to be shown for longer; Matroska gives every frame a slot.
    last_s = max(moments[-1], shown_s[len(moments) - 1])
    assert length_s <= max(END_S, last_s + (0.5 if is_mp4 else 1.0) / FPS) + 0.001
    assert length_s - END_S >= -0.001 or not (is_mp4 or is_told)
    return list(shown_s.values())


@pytest.mark.parametrize("at_s", [1.1, 1.1667, 1.1833])
def test_the_grid_takes_no_time_from_the_last_frame(at_s: float) -> None:
    times = FrameTimes(Fraction(FPS), guessed=True)
    for each in (packets := [packet(0), packet(round(at_s * VIDEO_TICKS_PER_S))]):
        times.place(each, before_s=END_S)
    assert (packets[-1].pts or 0) <= (END_S - 0.5 / FPS) * VIDEO_TICKS_PER_S + 1


def packet(pts: int, duration: int = 0) -> av.Packet[Any]:
    made: av.Packet[Any] = av.Packet(b"frame")
    made.pts = made.dts = pts
    made.time_base = Fraction(1, VIDEO_TICKS_PER_S)
    if duration:
        made.duration = duration
    return made


def placed(times: FrameTimes, pts: list[int], duration: int = 0) -> list[int]:
    """Return the times that frames get."""
    packets = [packet(each, duration) for each in pts]
    for each in packets:
        times.place(each)
    return [each.pts or 0 for each in packets]
