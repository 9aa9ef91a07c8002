"""The test picture and tone show and sound exactly as their time demands."""

from __future__ import annotations

import math
from typing import Any, cast

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from capture.clock import SteppedClock
from capture.codecs.video_encoder import VideoEncoder
from capture.media import SAMPLE_RATE, Pixels, SampleArray
from capture.sources.pattern import (
    BEEP_S,
    FLASH_S,
    PATTERN_SIZE,
    PatternFrames,
    PatternTone,
    draw_pattern,
    pattern_tone,
    read_clock,
)
from capture.sources.protocols import FrameSource, SampleSource

EPOCH_S = 64.0
BLOCK = 960

MOMENTS_S = (0.0, 0.001, 0.099, 1.0, 1.5, 59.999, 61.234, 3599.98, 4_000_000.001)


# The picture


@settings(max_examples=30)
@given(milliseconds=st.integers(0, 2**32 - 1))
def test_the_clock_is_read_as_it_was_drawn(milliseconds: int) -> None:
    assert read_clock(draw_pattern(milliseconds / 1000, 320, 180)) == milliseconds


@pytest.mark.parametrize("size", [PATTERN_SIZE, (640, 360), (1920, 1080), (322, 182)])
def test_the_clock_is_read_in_any_size(size: tuple[int, int]) -> None:
    for media_s in MOMENTS_S:
        picture = draw_pattern(media_s, *size)
        assert picture.shape == (size[1], size[0], 4)
        assert picture.dtype == np.uint8
        assert read_clock(picture) == round(media_s * 1000)


def test_a_computed_time_is_not_rounded_down() -> None:
    moment_s = 64.029 - 64
    assert moment_s < 0.029
    assert read_clock(draw_pattern(moment_s, 320, 180)) == 29


def coded(pictures: list[Pixels], codec: str, scale: tuple[int, int] | None) -> list[Pixels]:
    """Return the pictures after encoding at medium quality and decoding."""
    encoder = VideoEncoder(codec, *PATTERN_SIZE, 30, scale=scale, quality="medium")
    packets: list[av.Packet[Any] | None] = []
    for number, picture in enumerate(pictures):
        packets += encoder.encode(picture, number * 3000)
    decoder = cast(av.VideoCodecContext, av.CodecContext.create(codec, "r"))
    decoder.extradata = encoder.template.codec_context.extradata
    frames = [frame for packet in [*packets, None] for frame in decoder.decode(packet)]
    return [np.asarray(frame.to_ndarray(format="bgra")) for frame in frames]


@pytest.mark.parametrize("scale", [None, (640, 360), (426, 240)])
@pytest.mark.parametrize("codec", ["h264", "vp8"])
def test_the_clock_survives_coding_and_scaling(codec: str, scale: tuple[int, int] | None) -> None:
    found = coded([draw_pattern(media_s) for media_s in MOMENTS_S], codec, scale)
    assert found[0].shape[:2] == ((scale or PATTERN_SIZE)[1], (scale or PATTERN_SIZE)[0])
    assert [read_clock(picture) for picture in found] == [round(media_s * 1000) for media_s in MOMENTS_S]


def is_flashing(picture: Pixels) -> bool:
    height, width = picture.shape[:2]
    return bool(picture[height * 3 // 4, width // 2, :3].min() > 250)


def test_it_flashes_at_the_start_of_each_second() -> None:
    for second in (0, 1, 7):
        flashing = [is_flashing(draw_pattern(second + part / 16)) for part in range(16)]
        assert flashing == [part / 16 < FLASH_S for part in range(16)]


def test_the_digits_show_minutes_seconds_and_thousandths() -> None:
    """The digits of two times differ exactly where the digits' pictures do."""

    def digits(media_s: float) -> list[bytes]:
        area = draw_pattern(media_s)[180:330, :, 1] == 255
        columns = np.flatnonzero(area.any(axis=0))
        groups = np.split(columns, np.flatnonzero(np.diff(columns) > 10) + 1)
        return [area[:, group[0] : group[0] + 72].tobytes() for group in groups]

    # Times outside the flash, and without a 1, whose shape is narrower.
    shown = digits(23 * 60 + 45.678)
    assert len(shown) == 7
    assert len(set(shown)) == 7
    for later_s, changed in ((23 * 60 + 45.679, 6), (23 * 60 + 46.678, 3), (24 * 60 + 45.678, 1)):
        later = digits(later_s)
        assert [place for place in range(7) if shown[place] != later[place]] == [changed]
    assert len(set(digits(55 * 60 + 55.555))) == 1


def test_something_moves_in_every_frame() -> None:
    bottoms = [draw_pattern(number / 30)[-1].tobytes() for number in range(120)]
    assert len(set(bottoms)) == 120
    assert draw_pattern(0.5)[-1].tobytes() == draw_pattern(4.5)[-1].tobytes()


def test_the_picture_as_a_source_shows_the_time_of_its_clock() -> None:
    clock = SteppedClock(EPOCH_S)
    source: FrameSource = PatternFrames(clock)
    source.open()
    assert (source.width, source.height) == PATTERN_SIZE
    clock.advance(1.0)
    source.begin(EPOCH_S + 2.5)
    before = source.grab()
    assert (read_clock(before.pixels), before.captured_at_s) == (0, EPOCH_S + 1)
    clock.advance(2.75)
    assert source.wait_for_change(math.inf)
    frame = source.grab()
    assert (read_clock(frame.pixels), frame.captured_at_s) == (1250, EPOCH_S + 3.75)
    source.wake()
    source.close()
    source.close()


# The tone


def beeping(tone: SampleArray) -> list[tuple[int, int]]:
    """Return the runs of samples that sound; a wave crosses zero, but silence stays there."""
    sounds = np.convolve(tone[:, 0] != 0.0, np.ones(3), "same") > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], sounds, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def test_it_beeps_at_the_start_of_each_second() -> None:
    tone = pattern_tone(0, 3 * SAMPLE_RATE)
    assert tone.shape == (3 * SAMPLE_RATE, 2)
    assert tone.dtype == np.float32
    assert np.array_equal(tone[:, 0], tone[:, 1])
    assert 0.45 < np.abs(tone).max() <= 0.5
    found = beeping(tone)
    assert len(found) == 3
    for second, (start, end) in enumerate(found):
        assert start == pytest.approx(second * SAMPLE_RATE, abs=1)
        assert end == pytest.approx((second + BEEP_S) * SAMPLE_RATE, abs=2)


def test_the_beep_has_its_pitch() -> None:
    beep = pattern_tone(SAMPLE_RATE, round(BEEP_S * SAMPLE_RATE))[:, 0]
    spectrum = np.abs(np.fft.rfft(beep))
    assert np.argmax(spectrum) / BEEP_S == pytest.approx(1000)


@settings(max_examples=50)
@given(start=st.integers(0, 10**9), count=st.integers(0, 3000))
def test_any_part_of_the_tone_is_cut_from_the_same_whole(start: int, count: int) -> None:
    part = pattern_tone(start, count)
    second = start // SAMPLE_RATE
    whole = pattern_tone(second * SAMPLE_RATE, SAMPLE_RATE + 3000)
    offset = start - second * SAMPLE_RATE
    assert np.array_equal(part, whole[offset : offset + count])


def test_the_tone_as_a_source_delivers_each_block_when_it_is_over() -> None:
    clock = SteppedClock(EPOCH_S)
    source = PatternTone("internal", clock)
    device: SampleSource = source
    device.open()
    device.begin(EPOCH_S)
    assert (device.name, device.device, device.channels) == ("internal", "test tone", 2)
    assert source.read(EPOCH_S) is None, "nothing has sounded yet"
    clock.advance(BLOCK / SAMPLE_RATE / 2)
    assert source.read(clock.now_s()) is None
    clock.advance(BLOCK / SAMPLE_RATE)
    samples = source.read(clock.now_s())
    assert samples is not None
    assert samples.captured_at_s == EPOCH_S
    assert np.array_equal(samples.data, pattern_tone(0, BLOCK))
    assert source.read(clock.now_s()) is None
    device.close()
    device.close()


def test_the_tone_skips_nothing_however_late_it_is_read() -> None:
    clock = SteppedClock(EPOCH_S)
    source = PatternTone("internal", clock)
    source.begin(EPOCH_S)
    clock.advance(2.5)
    blocks = list(iter(lambda: source.read(clock.now_s()), None))
    assert len(blocks) == 125
    assert np.array_equal(np.concatenate([block.data for block in blocks if block]), pattern_tone(0, 125 * BLOCK))
    for number, block in enumerate(blocks):
        assert block is not None
        assert block.captured_at_s == EPOCH_S + number * BLOCK / SAMPLE_RATE


def test_a_wake_ends_the_wait_for_the_tone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteppedClock(EPOCH_S)
    source = PatternTone("internal", clock)
    source.begin(EPOCH_S)
    source.wake()
    assert source.read(EPOCH_S + 100) is None
    assert clock.now_s() == EPOCH_S
    woken: list[bool] = []
    monkeypatch.setattr(clock, "wait_until", lambda moment_s, event: woken.append(event.is_set()))
    assert source.read(EPOCH_S + 100) is None
    assert woken == [False], "one wake ends one wait"


def test_picture_and_tone_mark_the_same_moments() -> None:
    tone = pattern_tone(0, 5 * SAMPLE_RATE)
    for number in range(80):
        media_s = number / 16
        place = round(media_s * SAMPLE_RATE)
        sounds = bool(np.abs(tone[place + 5 : place + 50]).max() > 0)
        assert sounds is is_flashing(draw_pattern(media_s))
