"""The scripted devices, as users of the package meet them."""

from __future__ import annotations

import numpy as np
import pytest
from hasty import HastyClock

from capture import ScriptedBlock, ScriptedFrames, ScriptedSamples, SourceLostError
from capture.clock import Clock
from capture.media import SAMPLE_RATE, Pixels, SampleArray
from capture.sources.protocols import FrameSource, SampleSource

EPOCH_S = 64.0


def picture(value: int) -> Pixels:
    return np.full((4, 6, 4), value, np.uint8)


def block(value: float, count: int = 480) -> SampleArray:
    return np.full((count, 2), value, np.float32)


@pytest.fixture
def clock() -> HastyClock:
    return HastyClock(EPOCH_S)


def frames(clock: Clock, **options: float) -> ScriptedFrames:
    source = ScriptedFrames(clock, [(0.0, picture(1)), (1.0, picture(2)), (1.5, picture(3))], **options)
    source.open()
    source.begin(EPOCH_S)
    return source


def test_they_are_sources_like_any_other(clock: HastyClock) -> None:
    screen: FrameSource = frames(clock)
    sound: SampleSource = ScriptedSamples("mic", clock, [], channels=1)
    assert (screen.width, screen.height) == (6, 4)
    assert (sound.name, sound.device, sound.channels) == ("mic", "scripted mic", 1)
    screen.close()
    screen.close()
    sound.close()
    sound.close()


def test_a_picture_changes_at_its_time(clock: HastyClock) -> None:
    source = frames(clock)
    seen = []
    for _ in range(3):
        assert source.wait_for_change(EPOCH_S + 10)
        frame = source.grab()
        seen.append((frame.captured_at_s - EPOCH_S, int(frame.pixels[0, 0, 0])))
    assert seen == [(0.0, 1), (1.0, 2), (1.5, 3)]
    assert not source.wait_for_change(EPOCH_S + 10)
    assert clock.now_s() == EPOCH_S + 10
    assert source.grabs == 3


def test_only_a_picture_not_grabbed_yet_is_a_change(clock: HastyClock) -> None:
    source = frames(clock)
    clock.advance(1.2)
    assert source.wait_for_change(EPOCH_S)
    assert source.grab().pixels[0, 0, 0] == 2
    assert not source.wait_for_change(EPOCH_S + 1.3)


def test_a_grabbed_picture_belongs_to_the_grabber(clock: HastyClock) -> None:
    source = frames(clock)
    source.grab().pixels[:] = 99
    assert source.grab().pixels[0, 0, 0] == 1


def test_a_grab_takes_its_time_and_shows_the_picture_at_its_start(clock: HastyClock) -> None:
    source = frames(clock, grab_s=2.0)
    source.wake()
    frame = source.grab()
    assert (frame.captured_at_s, frame.pixels[0, 0, 0]) == (EPOCH_S, 1)
    assert clock.now_s() == EPOCH_S + 2
    assert source.grab().pixels[0, 0, 0] == 3


def test_a_wake_ends_the_wait_for_a_change(clock: HastyClock) -> None:
    source = frames(clock)
    source.grab()
    source.wake()
    assert not source.wait_for_change(EPOCH_S + 10)
    assert clock.now_s() == EPOCH_S


def test_a_lost_screen_raises_when_it_is_grabbed(clock: HastyClock) -> None:
    source = frames(clock, lost_at_s=0.5)
    source.grab()
    assert source.wait_for_change(EPOCH_S + 10)
    assert clock.now_s() == EPOCH_S + 0.5
    with pytest.raises(SourceLostError):
        source.grab()


def test_a_block_comes_no_earlier_than_its_last_sample(clock: HastyClock) -> None:
    second = SAMPLE_RATE
    source = ScriptedSamples(
        "internal", clock, [ScriptedBlock(block(0.25, second), 0.0), ScriptedBlock(block(0.5, second), 1.0, late_s=0.5)]
    )
    source.begin(EPOCH_S)
    came = []
    for _ in range(2):
        samples = source.read(EPOCH_S + 10)
        assert samples is not None
        came.append((clock.now_s() - EPOCH_S, samples.captured_at_s - EPOCH_S, float(samples.data[0, 0])))
    assert came == [(1.0, 0.0, 0.25), (2.5, 1.0, 0.5)]
    assert source.read(EPOCH_S + 10) is None
    assert clock.now_s() == EPOCH_S + 10


def test_a_read_returns_at_its_deadline_or_when_woken(clock: HastyClock) -> None:
    source = ScriptedSamples("internal", clock, [ScriptedBlock(block(0.1, SAMPLE_RATE), 0.0)])
    source.begin(EPOCH_S)
    assert source.read(EPOCH_S + 0.5) is None
    source.wake()
    assert source.read(EPOCH_S + 2) is None
    assert clock.now_s() == EPOCH_S + 0.5
    assert source.read(EPOCH_S + 2) is not None


def test_a_lost_device_still_delivers_earlier_blocks(clock: HastyClock) -> None:
    source = ScriptedSamples(
        "internal", clock, [ScriptedBlock(block(0.1), 0.0), ScriptedBlock(block(0.2), 1.0)], lost_at_s=0.5
    )
    source.begin(EPOCH_S)
    clock.advance(5.0)
    assert source.read(EPOCH_S + 10) is not None
    with pytest.raises(SourceLostError):
        source.read(EPOCH_S + 10)
