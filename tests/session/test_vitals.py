"""A disk that falls behind is reported once, when that begins; a recorder that did not run, in fitting words."""

from __future__ import annotations

import pytest

from capture.events import EventKind
from capture.session.vitals import STANDSTILL_S, Vitals


def reported(readings: list[tuple[float, float]]) -> list[str]:
    """Return what is said of a disk with these values of `busy_s` and `behind_s`, one after the other."""
    vitals = Vitals()
    found = [event for reading in readings for event in vitals.look_at_disk(*reading)]
    assert {kind for kind, _ in found} <= {EventKind.DISK_SLOW}
    return [detail for _, detail in found]


def syncs_of(length_s: float) -> list[tuple[float, float]]:
    """Return the readings of a minute in which each sync takes `length_s`, at most one beginning in a second."""
    found = []
    rest_s = max(1.0, length_s)
    for tick in range(600):
        into_s = tick / 10 % rest_s
        found.append((0.0, into_s + rest_s if into_s < length_s else into_s))
    return found


@pytest.mark.parametrize(("length_s", "times"), [(0.01, 0), (0.5, 0), (1.0, 0), (1.6, 1), (2.5, 1), (10.0, 1)])
def test_a_disk_with_slow_syncs_is_reported_once(length_s: float, times: int) -> None:
    assert len(reported(syncs_of(length_s))) == times


def test_the_time_of_a_stopped_recorder_is_not_the_disks() -> None:
    vitals = Vitals()
    assert vitals.look_at_standstill(2.0, 12.0, has_picture=True)
    # A write and what waited for its sync were there when the process was stopped, and for a moment afterwards.
    for reading in ((10.2, 10.8), (0.0, 11.1), (0.0, 0.4)):
        assert vitals.look_at_disk(*reading) == []
    assert vitals.look_at_disk(1.2, 1.4) == [
        (EventKind.DISK_SLOW, "the disk has accepted nothing for 1 s: packets wait in memory")
    ]
    vitals = Vitals()
    vitals.look_at_standstill(2.0, 12.0, has_picture=True)
    vitals.look_at_disk(0.0, 10.8)
    # It goes on waiting, long after the process ran again.
    assert vitals.look_at_disk(0.0, 14.0) == [
        (EventKind.DISK_SLOW, "the disk is slow: a power cut now would cost the last 14 s")
    ]


def test_a_disk_that_is_slow_again_is_reported_again() -> None:
    assert reported([(0.0, 3.2), (0.0, 1.6), (0.0, 0.2), (0.0, 4.0)]) == [
        "the disk is slow: a power cut now would cost the last 3 s",
        "the disk is slow: a power cut now would cost the last 4 s",
    ]


def test_one_stall_is_one_report() -> None:
    # A stalled write is noticed first, and nothing is stored meanwhile either.
    readings = [(0.0, 0.5), (1.0, 1.5), (3.0, 3.5), (0.0, 2.0), (0.0, 0.3)]
    assert reported(readings) == ["the disk has accepted nothing for 1 s: packets wait in memory"]


def test_a_standstill_is_put_into_words_that_fit_the_recording() -> None:
    vitals = Vitals()
    assert vitals.look_at_standstill(2.0, 2.0 + STANDSTILL_S, has_picture=True) == []
    (event,) = vitals.look_at_standstill(2.0, 5.0, has_picture=True)
    assert (event.kind, event.at_s, event.end_s) == (EventKind.STOOD_STILL, 2.0, 5.0)
    assert event.detail.endswith(": picture frozen")
    (event,) = vitals.look_at_standstill(2.0, 5.0, has_picture=False)
    assert event.detail == "the recorder was stopped, or the machine too busy"
