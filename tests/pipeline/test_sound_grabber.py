"""The sound grabber passes on every block of a take, and takes follow each other, on a stepped clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from grabber_stage import EPOCH_S, LIMIT_S, STEP_S, GrabberStage

from capture.errors import SourceLostError
from capture.media import LOUDEST, SAMPLE_RATE, Samples
from capture.pipeline.sound_grabber import QUIET_S, STRAGGLERS_S, Heard, Quiet, SoundGrabber
from capture.sources.scripted import ScriptedBlock, ScriptedSamples
from capture.threads.mailbox import Closed, Mailbox
from capture.timing.timeline import Timeline


class Sound(GrabberStage):
    """A stage with a scripted sound source; each block is an eighth of a second long."""

    LENGTH = SAMPLE_RATE // 8

    #: Every sample of a block is its number in the script, in these steps.
    STEP = 1 / 32

    def __init__(
        self,
        late_s: Sequence[float],
        *,
        duration_s: float = math.inf,
        lost_at_s: float = math.inf,
        number: int = 0,
        begin_late_s: float = 0.0,
    ) -> None:
        super().__init__(duration_s)
        script = [
            ScriptedBlock(np.full((self.LENGTH, 2), place * self.STEP, np.float32), place / 8, late_s=late)
            for place, late in enumerate(late_s)
        ]
        self.source = ScriptedSamples("internal", self.clock, script, lost_at_s=lost_at_s)
        self.source.begin(EPOCH_S)
        self.quiet_s: list[float] = []
        self.blocks: Mailbox[tuple[int, Heard]] = Mailbox(1000)
        grabber = SoundGrabber(self.source, self.clock)
        self.ended = grabber.begin_take(self.timeline, lambda samples: self.blocks.put((number, samples)))
        self.clock.advance(begin_late_s)
        self.start(grabber)

    def settle(self) -> None:
        """Wait for the thread, and end it once the take is over."""
        super().settle()
        if self.ended.is_set():
            assert isinstance(self.grabber, SoundGrabber)
            self.grabber.close()
            self.worker.join(LIMIT_S)

    def taken(self) -> list[tuple[int, int]]:
        """Return (number of the source, number of the block) for each block passed on since the last call.

        `quiet_s` gets the moments until which nothing came.
        """
        found: list[tuple[int, int]] = []
        while True:
            try:
                number, samples = self.blocks.get(timeout_s=0)
            except (TimeoutError, Closed):
                return found
            if isinstance(samples, Quiet):
                self.quiet_s.append(samples.until_s - EPOCH_S)
                continue
            place = int(samples.data[0, 0] / self.STEP)
            assert samples.captured_at_s == EPOCH_S + place / 8
            found.append((number, place))

    @property
    def now_s(self) -> float:
        return self.clock.now_s() - EPOCH_S


def test_a_take_that_is_over_before_it_is_read_gets_its_sound() -> None:
    # The sound was kept; the source needs a moment to stamp it.
    begin_late_s = 1.0
    stage = Sound([begin_late_s] * 4, duration_s=0.25, begin_late_s=begin_late_s)
    stage.until(begin_late_s + QUIET_S + 2 * STEP_S)
    assert stage.worker.join(LIMIT_S)
    assert stage.taken() == [(0, 0), (0, 1)]
    assert stage.quiet_s == []


def test_a_take_that_is_over_before_it_is_read_does_not_wait_for_long() -> None:
    stage = Sound([9.0], duration_s=0.25, begin_late_s=1.0)
    stage.until(1.0 + QUIET_S + 2 * STEP_S)
    assert stage.worker.join(LIMIT_S)
    assert stage.taken() == []
    assert stage.quiet_s == [pytest.approx(1.0 + QUIET_S)]


def run_to_the_end(stage: Sound, limit_s: float) -> None:
    while not stage.worker.join(0):
        assert stage.now_s < limit_s
        stage.jump(STEP_S)


def test_every_block_is_passed_on_with_the_number_of_its_source() -> None:
    stage = Sound([0.0] * 8, duration_s=1, number=3)
    run_to_the_end(stage, 2)
    assert stage.taken() == [(3, place) for place in range(8)]


def test_reading_ends_when_all_sound_before_the_stop_has_arrived() -> None:
    stage = Sound([0.0] * 20, duration_s=1.1)
    run_to_the_end(stage, 2)
    assert stage.now_s == 1.125
    assert stage.taken()[-1] == (0, 8)


def test_a_silent_device_delays_the_end_only_briefly() -> None:
    stage = Sound([], duration_s=1)
    run_to_the_end(stage, 2)
    assert 1 + STRAGGLERS_S <= stage.now_s < 1 + STRAGGLERS_S + STEP_S
    assert stage.taken() == []
    assert stage.worker.error is None


def test_late_sound_from_before_the_stop_is_included() -> None:
    stage = Sound([0.125] * 8, duration_s=1)
    run_to_the_end(stage, 2)
    assert stage.now_s == 1.125
    assert len(stage.taken()) == 8


def test_sound_that_arrives_too_late_is_left_out() -> None:
    stage = Sound([0.0] * 7 + [0.5], duration_s=1)
    run_to_the_end(stage, 2)
    assert stage.now_s < 1 + STRAGGLERS_S + STEP_S
    assert len(stage.taken()) == 7


def test_a_take_learns_that_its_device_delivers_nothing() -> None:
    stage = Sound([0.0] * 8 + [1.5] * 8)
    stage.until(2.5)
    assert [place for _, place in stage.taken()] == list(range(8))
    assert np.diff(stage.quiet_s) == pytest.approx(QUIET_S, abs=STEP_S)
    assert stage.quiet_s[0] == pytest.approx(1.0 + QUIET_S, abs=STEP_S)
    assert stage.quiet_s[-1] > 2.5 - QUIET_S - STEP_S
    stage.timeline.stop(stage.clock.now_s())
    run_to_the_end(stage, 3)


def test_sound_that_waited_for_a_late_thread_is_included() -> None:
    stage = Sound([0.0] * 8, duration_s=1)
    stage.until(0.25)
    # The thread does not get to run until long after the stop.
    stage.clock.advance(5.0)
    run_to_the_end(stage, 6)
    assert [place for _, place in stage.taken()] == list(range(8))


def test_a_stop_is_noticed_while_the_device_delivers_nothing() -> None:
    stage = Sound([])
    stage.until(10)
    stage.timeline.stop(stage.clock.now_s())
    stage.grabber.wake()
    stage.settle()
    assert not stage.worker.join(0)
    run_to_the_end(stage, 10.5)
    assert stage.now_s < 10 + STRAGGLERS_S + STEP_S


def test_blocks_are_passed_on_during_a_pause() -> None:
    stage = Sound([0.0] * 16)
    stage.until(0.5)
    stage.pause()
    stage.until(1.5)
    stage.resume()
    stage.until(2)
    stage.stop()
    assert len(stage.taken()) == 16


def test_a_lost_device_ends_the_thread_with_its_error() -> None:
    stage = Sound([0.0] * 8, lost_at_s=0.5)
    stage.until(0.5)
    stage.end()
    assert isinstance(stage.worker.error, SourceLostError)
    assert len(stage.taken()) == 4


class Takes(GrabberStage):
    """A stage with an endless silent source that is read for several takes."""

    def __init__(self, *, keep_s: float = 0.0, lost_at_s: float = math.inf) -> None:
        super().__init__()
        script = [ScriptedBlock(np.zeros((Sound.LENGTH, 2), np.float32), place / 8) for place in range(800)]
        self.source = ScriptedSamples("internal", self.clock, script, lost_at_s=lost_at_s)
        self.source.begin(EPOCH_S)
        self.reader = SoundGrabber(self.source, self.clock, keep_s=keep_s)
        self.passed_on_s: list[float] = []

    def take(self, epoch_s: float) -> Timeline:
        timeline = Timeline(EPOCH_S + epoch_s)
        self.ended = self.reader.begin_take(timeline, self.note)
        return timeline

    def note(self, samples: Heard) -> None:
        assert isinstance(samples, Samples)
        self.passed_on_s.append(samples.captured_at_s - EPOCH_S)

    def finish(self, timeline: Timeline) -> None:
        timeline.stop(self.clock.now_s())
        self.reader.wake()
        self.settle()

    def close(self) -> None:
        self.reader.close()
        self.end()


def test_a_take_begins_with_the_kept_sound() -> None:
    stage = Takes(keep_s=0.5)
    stage.start(stage.reader)
    stage.until(2)
    timeline = stage.take(1.75)
    stage.settle()
    assert stage.passed_on_s == [1.375, 1.5, 1.625, 1.75, 1.875]
    stage.until(2.25)
    assert stage.passed_on_s[5:] == [2.0, 2.125]
    stage.finish(timeline)
    assert stage.ended.is_set()
    stage.until(3)
    assert len(stage.passed_on_s) == 7
    stage.close()


def test_takes_can_follow_each_other() -> None:
    stage = Takes()
    stage.start(stage.reader)
    for begin_s in (1, 2):
        stage.until(begin_s)
        timeline = stage.take(begin_s)
        stage.until(begin_s + 0.5)
        stage.finish(timeline)
        assert stage.ended.is_set()
    assert stage.passed_on_s == [1.0, 1.125, 1.25, 1.375, 2.0, 2.125, 2.25, 2.375]
    stage.close()


def test_a_take_ends_when_its_track_is_closed_and_the_device_goes_on() -> None:
    stage = Takes()
    stage.start(stage.reader)

    def refuse(samples: Heard) -> None:
        raise Closed

    ended = stage.reader.begin_take(Timeline(EPOCH_S), refuse)
    stage.until(0.25)
    assert ended.is_set()
    stage.take(0.25)
    stage.until(0.5)
    assert stage.passed_on_s == [0.25, 0.375]
    stage.close()


def test_a_take_of_a_lost_device_is_over_at_once() -> None:
    stage = Takes(lost_at_s=0.5)
    stage.start(stage.reader)
    stage.until(0.5)
    stage.end()
    assert isinstance(stage.worker.error, SourceLostError)
    stage.take(0.5)
    assert stage.ended.is_set()


def test_a_take_that_begins_while_the_thread_checks_for_one_is_not_lost() -> None:
    stage = Takes()

    class Interrupted(SoundGrabber):
        """Begins another take between the grabber's check and its next step."""

        _asked = 0
        _held: Any = None

        @property
        def _next_take(self) -> Any:
            found = self._held
            self._asked += 1
            if self._asked == 2:
                stage.take(0)
            return found

        @_next_take.setter
        def _next_take(self, take: Any) -> None:
            self._held = take

    stage.reader = Interrupted(stage.source, stage.clock)
    stage.start(stage.reader)
    stage.until(0.5)
    assert stage.passed_on_s == [0.125, 0.25, 0.375]
    stage.close()


def test_bad_samples_are_replaced_in_everything_that_leaves_the_grabber() -> None:
    stage = Takes()
    data = np.full((Sound.LENGTH, 2), 0.5, np.float32)
    data[:4, 1] = np.nan, np.inf, -np.inf, -1e30
    stage.source = ScriptedSamples("internal", stage.clock, [ScriptedBlock(data, 0), ScriptedBlock(data[4:], 0.125)])
    stage.source.begin(EPOCH_S)
    watched: list[Samples] = []
    taken: list[Samples] = []

    def take(heard: Heard) -> None:
        if isinstance(heard, Samples):
            taken.append(heard)

    stage.reader = SoundGrabber(stage.source, stage.clock, keep_s=1.0, watch=watched.append)
    stage.start(stage.reader)
    stage.until(0.5)
    stage.reader.begin_take(Timeline(EPOCH_S), take)
    stage.settle()
    for blocks in (watched, taken):
        assert [block.replaced for block in blocks] == [4, 0]
        assert blocks[0].data[:5, 1].tolist() == [0.0, 0.0, 0.0, -LOUDEST, 0.5]
        assert (blocks[0].data[:, 0] == 0.5).all()
        assert blocks[1].data is taken[1].data
    stage.close()
