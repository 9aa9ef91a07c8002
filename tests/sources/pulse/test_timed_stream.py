"""Samples are stamped by the server's timing, even after devices and processes were stopped."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from capture.media import SAMPLE_RATE, SampleArray, Samples
from capture.sources.pulse import timed_stream as module
from capture.sources.pulse.stream_clock import TIMING_INTERVAL_S
from capture.sources.pulse.timed_stream import TimestampedStream
from capture.timing.sample_timeline import STARVED_MARGIN_S, STARVED_S

#: Samples per fragment: 25 ms.
FRAGMENT = 1_200

#: The round trip of an answer.
TRIP_S = 0.0004

#: When the first sample of the stream was heard.
ORIGIN_S = 100.0


@dataclass
class Stream:
    """A stream of the server. `heard_s` has the time of every sample that the server has written so far. The value of a
    sample is its number.
    """

    delay_s: float = 0.0
    #: How long ago the last fragment ended.
    behind_s: float = 0.0
    heard_s: list[float] = field(default_factory=list)
    fragments: deque[SampleArray] = field(default_factory=deque)
    answer: Any = None
    ready: bool = True
    failed: bool = False
    suspended: bool = False

    def ask_timing(self) -> bool:
        if self.answer is None:
            delay_s = self.delay_s - self.behind_s
            self.answer = SimpleNamespace(write_index=8 * len(self.heard_s), delay_s=delay_s)
        return True

    def timing(self) -> Any:
        answer, self.answer = self.answer, None
        return answer

    def read(self) -> SampleArray | None:
        if not self.fragments:
            return None
        heard = np.concatenate(self.fragments)
        self.fragments.clear()
        return heard

    def close(self) -> None: ...


class Stage:
    """A stream read as a source does, on its own clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # The clock's time, and when the last fragment ended.
        self.now_s = self.over_s = ORIGIN_S
        self.stream = Stream()
        self.heard = TimestampedStream(cast(Any, self.stream), 2, lane=0)
        self.blocks: list[Samples] = []
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: self.now_s))

    def deliver(self, *, keeps: bool = True) -> None:
        """End a fragment: the server delivers it, or drops it for lack of room if `keeps` is false."""
        self.over_s += FRAGMENT / SAMPLE_RATE
        self.now_s = max(self.now_s, self.over_s)
        if keeps:
            first = len(self.stream.heard_s)
            began_s = self.over_s - FRAGMENT / SAMPLE_RATE + self.stream.delay_s
            self.stream.heard_s += [began_s + n / SAMPLE_RATE for n in range(FRAGMENT)]
            self.stream.fragments.append(np.repeat(np.arange(first, first + FRAGMENT, dtype=np.float32)[:, None], 2, 1))

    def look(self, *, held_up: bool = False) -> None:
        """Read the stream, and again as soon as a requested answer has come."""
        self.stream.behind_s = self.now_s - self.over_s
        self.heard.take_in(self.now_s, held_up=held_up)
        if self.stream.answer is not None:
            self.now_s += TRIP_S
            self.heard.take_in(self.now_s)
        while self.heard.complete and (samples := self.heard.hand_on()) is not None:
            self.blocks.append(samples)

    def go_on(self, seconds: float) -> None:
        for _ in range(round(seconds * SAMPLE_RATE / FRAGMENT)):
            self.deliver()
            self.look()

    def end(self) -> None:
        """Hand on the rest, and check that every sample has its own time."""
        while (samples := self.heard.hand_on(now=True)) is not None:
            self.blocks.append(samples)
        errors_s = self.errors_s()
        assert np.abs(errors_s).max() < 0.002, f"{errors_s.min():+.3f} to {errors_s.max():+.3f} s off"

    def errors_s(self) -> Any:
        """Return each sample's distance from its time; every sample of the stream is there, exactly once."""
        numbers = np.concatenate([block.data[:, 0] for block in self.blocks])
        assert np.array_equal(numbers, np.arange(len(self.stream.heard_s)))
        stamped_s = np.concatenate(
            [block.captured_at_s + np.arange(len(block.data)) / SAMPLE_RATE for block in self.blocks]
        )
        return stamped_s - np.array(self.stream.heard_s)


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(monkeypatch)


def test_samples_are_stamped_with_the_servers_timing(stage: Stage) -> None:
    stage.stream.delay_s = 0.08
    stage.go_on(3.0)
    stage.end()


def test_the_rest_ends_where_another_stream_begins(stage: Stage) -> None:
    stage.go_on(0.4)
    begins_at_s = stage.heard.begins_at_s
    assert begins_at_s is not None
    assert begins_at_s == pytest.approx(ORIGIN_S + 0.25, abs=0.002)
    stage.blocks += stage.heard.rest(begins_at_s + 0.1)
    assert stage.blocks[-1].ends_at_s == pytest.approx(begins_at_s + 0.1, abs=0.001)
    assert stage.heard.begins_at_s is None


def test_the_last_sound_is_handed_on_before_silence_replaces_it(stage: Stage) -> None:
    stage.go_on(1.03)
    waits_until_s = stage.heard.waits_until_s
    assert stage.blocks[-1].ends_at_s < ORIGIN_S + 1.01
    stage.now_s = waits_until_s - 0.001
    stage.look()
    assert stage.blocks[-1].ends_at_s < ORIGIN_S + 1.01
    stage.now_s = waits_until_s
    stage.look()
    assert stage.blocks[-1].ends_at_s == pytest.approx(ORIGIN_S + 1.025, abs=0.002)
    assert stage.heard.waits_until_s == math.inf
    assert waits_until_s - stage.blocks[-1].ends_at_s < STARVED_S - STARVED_MARGIN_S
    stage.end()


def test_a_late_read_of_continuous_sound_is_no_gap(stage: Stage) -> None:
    for _ in range(12):
        for _ in range(12):
            stage.deliver()
        stage.look()
    stage.end()
    assert {len(block.data) for block in stage.blocks} == {12 * FRAGMENT}


def test_a_device_that_was_stopped_leaves_a_gap(stage: Stage) -> None:
    stage.go_on(1.03)
    stage.over_s += 4.0
    stage.now_s = stage.over_s
    stage.look()
    stage.go_on(1.0)
    stage.end()


@pytest.mark.parametrize("stopped_s", [0.5, 5.0])
def test_a_stopped_process_loses_nothing_that_the_server_kept(stage: Stage, stopped_s: float) -> None:
    stage.go_on(1.03)
    for _ in range(round(stopped_s * SAMPLE_RATE / FRAGMENT)):
        stage.deliver()
    stage.look(held_up=True)
    stage.go_on(1.0)
    stage.end()


@pytest.mark.parametrize("piece", [1, 7, 400])
def test_a_process_stopped_for_longer_than_the_server_keeps_leaves_a_gap(stage: Stage, piece: int) -> None:
    stage.go_on(1.03)
    for number in range(round(30.0 * SAMPLE_RATE / FRAGMENT)):
        stage.deliver(keeps=number < 400)
    # The server delivers what it kept piece by piece, then the newest sound.
    waiting, stage.stream.fragments = stage.stream.fragments, deque()
    stage.stream.answer = None
    held_up = True
    while waiting:
        for _ in range(min(piece, len(waiting))):
            stage.stream.fragments.append(waiting.popleft())
        stage.now_s += 0.0005
        stage.look(held_up=held_up)
        held_up = False
    stage.go_on(2.0)
    stage.end()


def test_a_delayed_answer_does_not_count(stage: Stage) -> None:
    stage.go_on(1.0)
    for _ in range(20):
        stage.go_on(TIMING_INTERVAL_S)
        # It is given at once, and read two fragments later.
        stage.heard._asked_at_s = stage.now_s
        stage.stream.ask_timing()
        stage.deliver()
        stage.deliver()
        stage.look()
    stage.end()


def test_sound_without_an_answer_is_stamped_by_its_arrival(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stream, "timing", lambda stream: None)
    stage.go_on(1.0)
    stage.end()


def test_a_changing_delay_is_followed(stage: Stage) -> None:
    stage.go_on(2.0)
    stage.stream.delay_s = 0.02
    stage.go_on(3.0)
    while (samples := stage.heard.hand_on(now=True)) is not None:
        stage.blocks.append(samples)
    assert np.abs(stage.errors_s()[-SAMPLE_RATE:]).max() < 0.002
