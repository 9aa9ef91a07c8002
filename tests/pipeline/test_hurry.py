"""On a machine that is too slow, pictures cost less before any is dropped."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import numpy as np
import pytest
from grabber_stage import AS_GRABBED, EPOCH_S, STEP_S, GrabberStage

from capture.codecs.search_choice import SearchChoice
from capture.codecs.video_encoder import VideoEncoder
from capture.media import VIDEO_TICKS_PER_S, Frame
from capture.pipeline.frame_grabber import FrameGrabber, FrameJob
from capture.pipeline.video_track import VideoTrack
from capture.pixels.yuv_part import YuvPart
from capture.threads.mailbox import Mailbox

FPS = 32
KEY_BYTES = 100_000
PICTURE = np.zeros((48, 64, 4), np.uint8)


class Encoder:
    """Says how long each picture takes: as long as these seconds with the wide and with the narrow search.

    Its pictures are so small that only a hurry changes the search.
    """

    def __init__(self, wide_s: float, narrow_s: float) -> None:
        self.choice = SearchChoice()
        self.took_s = 0.0
        self.shown_at_s: list[float] = []
        self._works_s = (wide_s, narrow_s)
        self._last_key_pts = -1_000_000

    def hurry(self, pts: int) -> None:
        self.choice.hurry(pts)

    def encode_part(self, part: YuvPart, pts: int) -> list[Any]:
        is_key = self.choice.wants_key(pts) or pts - self._last_key_pts > 2 * VIDEO_TICKS_PER_S
        if is_key:
            self.choice.choose(pts)
            self._last_key_pts = pts
        self.choice.note(KEY_BYTES if is_key else KEY_BYTES // 100, is_key=is_key)
        self.took_s = self._works_s[self.choice.is_narrow]
        self.shown_at_s.append(pts / VIDEO_TICKS_PER_S)
        return []


class Source:
    """A screen that always changes."""

    width, height = 64, 48

    def __init__(self, stage: GrabberStage) -> None:
        self._stage = stage

    def wait_for_change(self, until_s: float) -> bool:
        return True

    def grab(self) -> Frame:
        return Frame(PICTURE, self._stage.clock.now_s())

    def wake(self) -> None:
        pass

    def idle(self) -> None:
        pass


class Recording(GrabberStage):
    """A grabber and a track whose encoder is busy for as long as each picture takes it."""

    def __init__(self, capacity: int, encoder: Encoder) -> None:
        super().__init__()
        self._jobs: Mailbox[FrameJob] = Mailbox(capacity)
        self._encoder = encoder
        self._track = VideoTrack(cast(VideoEncoder, encoder), self._jobs, lambda packets: None, FPS)
        self._free_at_s = 0.0
        #: How many pictures had been dropped when the search became narrow.
        self.dropped_before: int | None = None
        source = cast(Any, Source(self))
        self.start(FrameGrabber(source, AS_GRABBED, self.timeline, self._jobs, self.clock, FPS))

    @property
    def dropped(self) -> int:
        return cast(FrameGrabber, self.grabber).dropped

    def jump(self, by_s: float) -> None:
        super().jump(by_s)
        while self._free_at_s <= (now_s := self.clock.now_s() - EPOCH_S) and self._jobs.filled():
            self._track._encode_next()
            self.settle()
            self._free_at_s = max(self._free_at_s, now_s - STEP_S) + self._encoder.took_s
            if self.dropped_before is None and self._encoder.choice.is_narrow:
                self.dropped_before = self.dropped


@pytest.mark.parametrize("capacity", [2, 4, 7, 8])
@pytest.mark.parametrize("rate", [20, 28])
def test_an_encoder_that_can_be_faster_drops_nothing(capacity: int, rate: int) -> None:
    encoder = Encoder(wide_s=1 / rate, narrow_s=1 / 64)
    recording = Recording(capacity, encoder)
    recording.until(6)
    recording.stop()
    assert encoder.choice.is_narrow
    assert recording.dropped == 0


def test_an_encoder_that_stays_too_slow_drops_evenly_and_no_earlier() -> None:
    encoder = Encoder(wide_s=1 / 20, narrow_s=1 / 24)
    recording = Recording(7, encoder)
    recording.until(6)
    recording.stop()
    assert recording.dropped_before == 0
    assert recording.dropped > 0
    steadily = [at_s for at_s in encoder.shown_at_s if at_s > 2]
    # With two slots to spare: frames come in whole slots, and the grabber aims at a queue that is half full.
    assert max(later - earlier for earlier, later in pairwise(steadily)) <= 1 / 24 + 2 / FPS


def test_an_encoder_that_keeps_up_is_not_hurried() -> None:
    encoder = Encoder(wide_s=1 / 40, narrow_s=1 / 64)
    recording = Recording(7, encoder)
    recording.until(6)
    recording.stop()
    assert not encoder.choice.is_narrow
    assert recording.dropped == 0
