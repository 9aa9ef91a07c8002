"""The frame grabber drops and counts what a slow encoder or a late thread cannot take, on a stepped clock."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise

import pytest
from grabbed_pictures import ALWAYS, FPS, Pictures, moments_s, shown, ticks
from grabber_stage import EPOCH_S, STEP_S

from capture.media import VIDEO_TICKS_PER_S
from capture.pipeline.frame_grabber import BEHIND_S, FrameJob


def test_frames_are_dropped_and_counted_while_the_queue_is_full() -> None:
    stage = Pictures(ALWAYS)
    stage.until(0.25 - STEP_S)
    stage.jobs.declines = True
    stage.until(1.125 - STEP_S)
    assert stage.source.grabs == 2, "frames that cannot be sent must not be grabbed"
    assert moments_s(stage.taken()) == [0.0, 0.125]
    stage.jobs.declines = False
    stage.until(1.125 + BEHIND_S)
    (caught_up, *_) = stage.taken()
    assert caught_up.slot is None
    at_s = caught_up.pts / VIDEO_TICKS_PER_S
    assert 1.125 <= at_s <= 1.125 + BEHIND_S
    assert shown([caught_up]) == [round(at_s / STEP_S)]
    stage.stop()
    drops = [event for event in stage.events if event.at_s < at_s]
    assert {event.kind for event in drops} == {"dropped"}
    assert drops[0].at_s == 0.25
    assert [event.at_s for event in drops[1:]] == [event.to_s for event in drops[:-1]], "each slot is reported once"
    assert sum(event.count for event in drops) == round((at_s - 0.25) * FPS)
    assert stage.counts()[2] == sum(event.count for event in stage.events)


class SlowEncoder(Pictures):
    """A stage with a queue of eight frames, whose receiver takes one at each of these moments, if there is one."""

    def __init__(self, *takes_at_s: float, changes: Sequence[float] = ALWAYS) -> None:
        self._takes_at_s = takes_at_s
        self.encoded: list[FrameJob] = []
        super().__init__(changes, capacity=8, fps=32)

    def jump(self, by_s: float) -> None:
        before_s = self.clock.now_s() - EPOCH_S
        super().jump(by_s)
        for _ in [at_s for at_s in self._takes_at_s if before_s < at_s <= before_s + by_s]:
            with suppress(TimeoutError):
                self.encoded.append(self.jobs.get(timeout_s=0))
                self.settle()

    def longest_s(self, from_s: float, to_s: float) -> float:
        """Stop, and return the longest time between two frames that were grabbed in this time."""
        self.stop()
        found = [job.pts / VIDEO_TICKS_PER_S for job in (*self.encoded, *self.taken()) if job.part is not None]
        return max(later - earlier for earlier, later in pairwise([at_s for at_s in found if from_s <= at_s <= to_s]))


def test_drops_are_spread_while_the_encoder_is_stopped() -> None:
    # It takes eight frames a second, and none from 2 to 3 s.
    stage = SlowEncoder(*(slot / 8 for slot in range(16)), *(3 + slot / 8 for slot in range(16)))
    stage.until(4.5)
    assert stage.longest_s(1.0, 4.5) <= 0.75, "most of that second is bridged by frames in the queue"
    assert len(stage.encoded) >= 27, "it always had a frame to encode"


class BusyEncoder(SlowEncoder):
    """A stage whose receiver works for this long on each frame."""

    def __init__(self, work_s: float) -> None:
        super().__init__()
        self._work_s, self._free_at_s = work_s, 0.0

    def jump(self, by_s: float) -> None:
        super().jump(by_s)
        while self._free_at_s <= (now_s := self.clock.now_s() - EPOCH_S):
            try:
                self.encoded.append(self.jobs.get(timeout_s=0))
            except TimeoutError:
                return
            self.settle()
            # It is seen a step late that a frame is there.
            self._free_at_s = max(self._free_at_s, now_s - STEP_S) + self._work_s


@pytest.mark.parametrize("rate", [8, 13, 20, 28])
def test_a_steadily_slow_encoder_drops_evenly(rate: int) -> None:
    stage = BusyEncoder(1 / rate)
    stage.until(4.9)
    assert len(stage.encoded) >= 4.9 * rate - 1, "it always had a frame to encode"
    # With two slots to spare: frames come in whole slots, and the grabber aims at a queue that is half full.
    assert stage.longest_s(2.0, 4.9) <= 1 / rate + 2 / 32


def test_an_encoder_that_keeps_up_gets_every_frame() -> None:
    stage = SlowEncoder(*(slot / 64 for slot in range(256)))
    stage.until(3)
    assert stage.longest_s(0.0, 3.0) == pytest.approx(1 / 32, abs=1e-4)
    assert stage.counts()[2] == 0


def test_an_encoder_that_is_held_up_for_a_moment_gets_every_frame() -> None:
    stage = SlowEncoder(*(slot / 64 for slot in range(64)), *(1.08 + slot / 64 for slot in range(128)))
    stage.until(2.5)
    stage.stop()
    assert stage.counts()[2] == 0


def test_a_still_screen_is_no_slow_encoder() -> None:
    changes = [0.0, *(2 + number * STEP_S for number in range(128))]
    stage = SlowEncoder(
        *(slot / 64 for slot in range(64)), 2.07, *(2.1 + slot / 64 for slot in range(128)), changes=changes
    )
    stage.until(3.5)
    assert stage.longest_s(2.0, 3.5) <= 2.1 / 32
    assert stage.counts()[2] <= 1


def test_slots_that_pass_during_a_grab_are_dropped_if_something_changed() -> None:
    stage = Pictures(ALWAYS, grab_s=0.4)
    stage.until(0.9)
    # Each grab lasts into the third slot after its own.
    assert stage.counts() == (2, 0, 4)
    assert [job.pts for job in stage.taken()] == [0, ticks(0.40625)]
    assert [(event.at_s * FPS, event.end_s * FPS, event.count) for event in stage.events] == [(1, 3, 2), (4, 6, 2)]
    stage.timeline.stop(stage.clock.now_s())
    stage.until(1.5)
    stage.end()


def test_slots_that_pass_during_a_grab_are_unchanged_if_nothing_changed() -> None:
    stage = Pictures(grab_s=0.4)
    stage.until(0.4 + STEP_S)
    assert stage.counts() == (1, 2, 0)
    assert stage.events == []
    stage.stop()


def test_slots_missed_by_a_stalled_thread_are_unchanged_if_nothing_changed() -> None:
    stage = Pictures()
    stage.until(0.25)
    stage.jump(0.25)
    assert stage.counts() == (1, 3, 0)
    stage.stop()


def test_slots_from_before_the_thread_ran_are_not_lost() -> None:
    # The recording began three slots before it was known what encodes it.
    late_s = 3 / FPS + STEP_S
    stage = Pictures(ALWAYS, begin_late_s=late_s)
    stage.until(0.9)
    assert stage.counts() == (6, 2, 0)
    assert [job.pts for job in stage.taken()][:2] == [0, ticks(late_s + STEP_S)]
    assert stage.events == []
    stage.stop()


def test_a_still_screen_is_not_checked_in_every_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Pictures([0.0, 8.1], fps=64)
    looks: list[float] = []
    wait = stage.source.wait_for_change

    def look(until_s: float) -> bool:
        looks.append(until_s)
        return wait(until_s)

    monkeypatch.setattr(stage.source, "wait_for_change", look)
    stage.until(8)
    # It is checked slot by slot for half a second, then a few times a second.
    assert len(looks) < 0.5 * 64 + 8 * 5
    assert sum(stage.counts()) == pytest.approx(8 * 64, abs=64 // 2)
    stage.until(10)
    stage.stop()
    # The next change is still grabbed at once, and every slot is counted.
    new = next(job for job in stage.taken() if job.part is not None and job.pts)
    assert new.pts == pytest.approx(ticks(8.1), abs=ticks(STEP_S))
    assert sum(stage.counts()) == pytest.approx(10 * 64, abs=1)
