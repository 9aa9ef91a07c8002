"""At a constant rate, every slot has a frame, on a stepped clock."""

from __future__ import annotations

import math

import pytest
from grabbed_pictures import ALWAYS, SLOT, Pictures, shown
from grabber_stage import STEP_S

from capture.media import VIDEO_TICKS_PER_S


@pytest.mark.parametrize("fps", [8, 25, 30, 29.97, 7])
def test_a_constant_rate_gives_an_exact_grid(fps: float) -> None:
    stage = Pictures([0.0, 0.5, 1.1], fps=fps, constant=True, duration_s=2)
    stage.until(2)
    stage.end()
    jobs = stage.taken()
    assert [job.pts for job in jobs] == [round(slot * VIDEO_TICKS_PER_S / fps) for slot in range(math.ceil(2 * fps))]
    assert {job.duration for job in jobs} == {round(VIDEO_TICKS_PER_S / fps)}
    assert [number for number in shown(jobs) if number is not None] == [0, 1, 2]
    assert stage.counts() == (len(jobs), 0, 0)


def test_slots_missed_on_the_grid_repeat_the_last_picture() -> None:
    stage = Pictures(ALWAYS, constant=True, grab_s=0.4, duration_s=1)
    stage.until(1.5)
    stage.end()
    jobs = stage.taken()
    assert [job.pts for job in jobs] == [slot * SLOT for slot in range(8)]
    # Grabs follow each other without a break; the third ends after the stop.
    assert shown(jobs) == [0, None, None, 26, None, None, 52, None]
    assert stage.counts() == (8, 0, 5)


@pytest.mark.parametrize("fps", [8, 30])
def test_the_grid_ends_at_the_stop_even_if_the_thread_stalls_past_it(fps: float) -> None:
    stage = Pictures(fps=fps, constant=True, duration_s=1.03125)
    stage.until(0.5)
    stage.jump(5)
    stage.end()
    slots = math.ceil(1.03125 * fps)
    assert [job.pts for job in stage.taken()] == [round(slot * VIDEO_TICKS_PER_S / fps) for slot in range(slots)]


def test_the_grid_continues_after_a_pause() -> None:
    stage = Pictures(ALWAYS, constant=True)
    stage.until(1.0625)
    stage.pause()
    stage.until(3)
    assert [job.pts for job in stage.taken()] == [slot * SLOT for slot in range(9)]
    stage.resume()
    stage.until(4)
    stage.stop()
    assert [job.pts for job in stage.taken()] == [slot * SLOT for slot in range(9, 17)]


def test_the_grid_stays_complete_while_the_queue_is_full() -> None:
    stage = Pictures(ALWAYS, constant=True, duration_s=1)
    stage.until(0.375 - STEP_S)
    stage.jobs.declines = True
    stage.until(0.625 - STEP_S)
    stage.jobs.declines = False
    stage.until(1)
    stage.end()
    jobs = stage.taken()
    assert [job.pts for job in jobs] == [slot * SLOT for slot in range(8)]
    assert shown(jobs) == [0, 8, 16, None, None, 40, 48, 56]
    assert stage.counts() == (8, 0, 2)
