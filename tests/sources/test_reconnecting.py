"""A source whose device is lost delivers silence, reports the loss once and retries in time, whatever was raised."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hasty import HastyClock

from capture.clock import Clock, SteppedClock
from capture.errors import NotReadyError, SourceLostError
from capture.events import EventKind
from capture.media import Samples
from capture.pipeline.sound_grabber import Heard, SoundGrabber
from capture.sources.reconnecting import LONGEST_WAIT_S, STEADY_S, ReconnectingSource
from capture.threads.worker import Worker
from capture.timing.timeline import Timeline

EPOCH_S = 64.0

Report = Callable[[EventKind, str], None]
Script = list[Samples | BaseException | None]


@dataclass
class Device:
    """A sound device that may be missing; `script` is what it does next: return samples or None, or raise an error."""

    clock: Clock
    script: Script = field(default_factory=list)
    refuses: BaseException | None = None
    name: str = "internal"
    device: str = "Speakers"
    channels: int = 2
    is_open: bool = False
    begun_at_s: float | None = None

    def open(self) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.is_open = True

    def begin(self, epoch_s: float) -> None:
        self.begun_at_s = epoch_s

    def read(self, until_s: float) -> Samples | None:
        assert self.is_open
        if not self.script:
            self.clock.wait_until(until_s, threading.Event())
            return None
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    def wake(self) -> None: ...

    def close(self) -> None:
        self.is_open = False


def block(at_s: float, lane: int = 0) -> Samples:
    return Samples(np.full((4800, 2), 0.5, np.float32), EPOCH_S + at_s, lane)


class Stage:
    """A reconnecting source over devices that are made one after the other."""

    def __init__(self, *devices: Device, clock: SteppedClock | None = None) -> None:
        self.clock = clock or HastyClock(EPOCH_S)
        self.devices = list(devices)
        self.made: list[tuple[float, Device]] = []
        self.events: list[tuple[str, str]] = []
        for device in devices:
            device.clock = self.clock
        self.source = ReconnectingSource(
            self._make, self.clock, lambda kind, detail: self.events.append((kind, detail))
        )
        self.report: Report

    def _make(self, report: Report) -> Device:
        self.report = report
        device = self.devices.pop(0) if len(self.devices) > 1 else self.devices[0]
        self.made.append((self.clock.now_s() - EPOCH_S, device))
        return device

    def open(self) -> ReconnectingSource:
        self.source.open()
        self.source.begin(EPOCH_S)
        return self.source

    def read(self, seconds: float = 1.0) -> Samples | None:
        return self.source.read(self.clock.now_s() + seconds)

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.events]


def device(*script: Samples | BaseException | None, refuses: BaseException | None = None, **more: Any) -> Device:
    return Device(SteppedClock(), list(script), refuses, **more)


GONE = SourceLostError("Speakers is gone (Connection terminated)")
NO_SERVER = NotReadyError("no sound server answers (Connection refused)", "start PulseAudio")


def test_a_working_source_is_passed_through_unchanged() -> None:
    stage = Stage(device(first := block(0), None, second := block(0.1)))
    assert (stage.source.name, stage.source.device, stage.source.channels) == ("internal", "Speakers", 2)
    source = stage.open()
    assert [stage.read() for _ in range(3)] == [first, None, second]
    source.close()
    source.close()
    assert stage.events == []
    assert not stage.made[0][1].is_open


def test_a_loss_and_a_return_are_each_reported_once() -> None:
    first, second = device(block(0), GONE), device(block(3), block(3.1), device="Headphones")
    stage = Stage(first, device(refuses=NO_SERVER), device(refuses=NO_SERVER), second)
    stage.open()
    found = [stage.read(10.0) for _ in range(4)]
    lengths = [len(samples.data) for samples in found if samples is not None]
    # The break comes where the sound ended.
    assert lengths == [4800, 0, 4800, 4800]
    assert found[1] is not None
    assert found[1].captured_at_s == pytest.approx(EPOCH_S + 0.1)
    assert stage.events == [
        ("device_lost", "internal: Speakers is gone (Connection terminated); recording silence until it is back"),
        ("device_back", "internal: now Headphones"),
    ]
    assert stage.source.device == "Headphones"
    assert not first.is_open
    assert second.begun_at_s == EPOCH_S


@pytest.mark.parametrize(
    "error",
    [
        AssertionError(),
        AttributeError("x"),
        KeyError("x"),
        MemoryError("x"),
        OSError("x"),
        RuntimeError("x"),
        TypeError("x"),
        ValueError("x"),
        ZeroDivisionError("x"),
    ],
)
@pytest.mark.parametrize("where", ["open", "read", "close", "make"])
def test_any_exception_in_any_call_is_survived(where: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object) -> None:
        raise error

    first, last = device(block(0), GONE), device(block(1), block(1.1))
    bad = device(error if where == "read" else block(0.5), GONE, refuses=error if where == "open" else None)
    stage = Stage(first, bad, last)
    if where == "close":
        monkeypatch.setattr(first, "close", fail)
        monkeypatch.setattr(bad, "close", fail)
    stage.open()
    if where == "make":
        make, failures = stage.source._make, iter([fail, fail])
        monkeypatch.setattr(stage.source, "_make", lambda report: next(failures, make)(report))
    heard = [samples for _ in range(10) if (samples := stage.read(2.0)) is not None and len(samples.data)]
    # The device after the failure is heard: only the last one if opening or reading fails, else both.
    assert len(heard) == (3 if where in ("open", "read") else 4)
    assert heard[-1].captured_at_s == EPOCH_S + 1.1
    assert stage.kinds() == ["device_lost", "device_back"] * (1 if where in ("open", "read") else 2)


def test_an_exception_that_is_not_ours_is_named() -> None:
    stage = Stage(device(RuntimeError("0x88890004")), device())
    stage.open()
    assert stage.read() is None
    assert stage.events[0] == (
        "device_lost",
        "internal: Speakers is gone (RuntimeError: 0x88890004); recording silence until it is back",
    )


@pytest.mark.parametrize("error", [RuntimeError("in use"), AssertionError("in use")])
def test_a_failed_first_open_is_not_ready(error: Exception) -> None:
    stage = Stage(device(refuses=error))
    with pytest.raises(NotReadyError, match=r"Speakers cannot be recorded \(\w+: in use\): see capture doctor"):
        stage.source.open()
    assert stage.events == []


def test_a_not_ready_error_of_the_first_open_is_passed_on() -> None:
    with pytest.raises(NotReadyError) as caught:
        Stage(device(refuses=NO_SERVER)).source.open()
    assert caught.value is NO_SERVER


def test_retries_start_soon_and_are_neither_too_late_nor_too_frequent() -> None:
    stage = Stage(device(GONE), device(refuses=NO_SERVER))
    stage.open()
    stage.clock.advance(STEADY_S)
    assert stage.read(60.0) is None
    tries_s = np.array([at_s for at_s, _ in stage.made[1:]]) - STEADY_S
    assert tries_s[0] <= 0.1
    waits_s = np.diff(tries_s)
    assert np.all(waits_s <= LONGEST_WAIT_S + 1e-9)
    # The return may take two seconds in all, of which a running server needs a tenth of one.
    assert LONGEST_WAIT_S <= 1.0
    assert len(tries_s) <= 60.0 / LONGEST_WAIT_S + 5
    assert stage.kinds() == ["device_lost"]


def test_a_device_lost_again_and_again_is_not_retried_constantly() -> None:
    stage = Stage(device(GONE), *(device(block(n), GONE) for n in range(10)), device())
    stage.open()
    for _ in range(40):
        stage.read(2.0)
    assert stage.kinds() == ["device_lost", "device_back"] * 11
    tries_s = [at_s for at_s, _ in stage.made[5:11]]
    assert np.all(np.diff(tries_s) >= LONGEST_WAIT_S - 1e-9)


def test_every_lane_with_sound_gets_a_break_where_it_ended() -> None:
    broken_off = Samples(block(0).data[:0], EPOCH_S + 0.1, 2)
    script: Script = [block(0, 0), block(0, 1), block(0.1, 0), block(0, 2), broken_off, GONE]
    stage = Stage(device(*script), device())
    stage.open()
    for _ in range(5):
        stage.read()
    ended_s = {}
    for _ in range(2):
        samples = stage.read()
        assert samples is not None
        assert samples.data.shape == (0, 2)
        ended_s[samples.lane] = samples.captured_at_s - EPOCH_S
    assert ended_s == pytest.approx({0: 0.2, 1: 0.1})
    assert stage.read() is None


# Events that the source reports itself


def test_a_loss_that_the_source_reported_is_not_reported_again() -> None:
    stage = Stage(device(None, GONE), device(None, block(3)))
    stage.open()
    stage.report(EventKind.DEVICE_LOST, "internal: no output is left")
    stage.read()
    assert stage.events == [("device_lost", "internal: no output is left")]
    stage.read()
    assert stage.events == [("device_lost", "internal: no output is left"), ("device_back", "internal: now Speakers")]


def test_a_suspended_device_is_not_back() -> None:
    stage = Stage(device(GONE), second := device())

    def open_suspended() -> None:
        Device.open(second)
        stage.report(EventKind.DEVICE_LOST, "internal: Speakers is suspended")

    second.open = open_suspended  # type: ignore[method-assign]
    stage.open()
    for _ in range(3):
        assert stage.read() is None
    assert stage.kinds() == ["device_lost"]
    stage.report(EventKind.DEVICE_BACK, "internal: now Speakers")
    second.script.append(block(4))
    stage.read()
    assert stage.kinds() == [EventKind.DEVICE_LOST, EventKind.DEVICE_BACK]


def test_other_events_of_the_source_are_passed_on() -> None:
    stage = Stage(device())
    stage.open()
    stage.report(EventKind.DEVICE_CHANGED, "internal: now Headphones")
    stage.report(EventKind.WAITING, "firefox is not playing yet")
    assert stage.kinds() == [EventKind.DEVICE_CHANGED, "waiting"]


# Waiting


def test_a_reader_woken_while_the_device_is_lost_gets_an_empty_block() -> None:
    clock = SteppedClock(EPOCH_S)
    stage = Stage(device(GONE), device(refuses=NO_SERVER), clock=clock)
    stage.open()
    found: list[Samples | None] = []
    reader = threading.Thread(target=lambda: found.append(stage.source.read(EPOCH_S + 3600)))
    reader.start()
    clock.await_waiters(1)
    stage.source.wake()
    reader.join(30)
    (samples,) = found
    assert samples is not None
    assert (samples.data.shape, samples.ends_at_s) == ((0, 2), EPOCH_S)


def test_a_wake_reaches_a_source_that_is_being_opened() -> None:
    opening, woken = threading.Event(), threading.Event()
    second = device()

    def open_slowly() -> None:
        opening.set()
        assert woken.wait(30)
        raise NO_SERVER

    second.open = open_slowly  # type: ignore[method-assign]
    second.wake = woken.set  # type: ignore[method-assign]
    stage = Stage(device(GONE), second)
    stage.open()
    found: list[Samples | None] = []
    reader = threading.Thread(target=lambda: found.append(stage.source.read(EPOCH_S + 3600)))
    reader.start()
    assert opening.wait(30)
    stage.source.wake()
    reader.join(30)
    assert found[0] is not None


def test_a_take_of_a_lost_device_ends_without_waiting() -> None:
    clock = SteppedClock(EPOCH_S)
    stage = Stage(device(block(0), GONE), device(refuses=NO_SERVER), clock=clock)
    stage.open()
    grabber = SoundGrabber(stage.source, clock)
    timeline = Timeline(EPOCH_S)
    handed_on: list[Heard] = []
    ended = grabber.begin_take(timeline, handed_on.append)
    worker = Worker("sound", grabber.run)
    worker.start()
    clock.await_waiters(1)
    timeline.stop(EPOCH_S)
    grabber.wake()
    # The clock does not move, so nothing here waits for time.
    assert ended.wait(30)
    assert sum(len(samples.data) for samples in handed_on if isinstance(samples, Samples)) > 0
    grabber.close()
    worker.join(30)
    assert worker.error is None
