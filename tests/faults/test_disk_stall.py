"""A disk that stalls: nothing is lost, an event reports it, and repeated stop requests end the recorder."""

from __future__ import annotations

import errno
import itertools
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from callers import Control
from conftest import StartCapture
from disks import block_disk
from pattern_clock import clock_offsets_s
from reopened import pictures, sound
from running import eventually, kinds
from takes import Recording

from capture.clock import MonotonicClock
from capture.events import Command, State, Summary
from capture.output.output_file import OutputFile
from capture.output.replaced_file import left_aside
from capture.recordings.check import check
from capture.recordings.repair import repair
from capture.recordings.structure import Ending, read_structure
from capture.session.force_stop import INSISTS_AFTER_S, Impatience, StopEscalation

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

LIMIT_S: Final = 60.0

MB: Final = 1_000_000
FPS: Final = 10

#: A busy machine drops single slots; a disk that stalls would cost at least fifteen.
MOST_DROPPED: Final = 4


class Disk:
    """A fake disk: while it is held, every write into `folder` blocks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._goes = threading.Event()
        self._goes.set()
        self._is_waited_for = threading.Event()
        write = OutputFile._write_some

        def wait_and_write(file: OutputFile, data: memoryview) -> int:
            if folder in file._path.parents and not self._goes.is_set():
                self._is_waited_for.set()
                assert self._goes.wait(LIMIT_S)
            return write(file, data)

        monkeypatch.setattr(OutputFile, "_write_some", wait_and_write)

    def hold(self) -> None:
        self._goes.clear()

    def await_writer(self) -> None:
        """Wait until a write is blocked."""
        assert self._is_waited_for.wait(LIMIT_S)

    def stall(self) -> None:
        """Hold the disk and wait until a write is blocked."""
        self.hold()
        self.await_writer()

    def let_go(self) -> None:
        self._goes.set()


class PatternRecording(Recording):
    """A session that records the test pattern in a thread. Leaving the context ends it."""

    def __init__(self, path: Path, **more: Any) -> None:
        super().__init__(path, video=True, fps=FPS, **more)

    def join(self) -> Summary | None:
        summary = super().join()
        assert self.raised is None, repr(self.raised)
        return summary

    def until_more(self, more_s: float) -> None:
        """Wait until it has recorded `more_s` more seconds."""
        from_s = self.ask(Command.STATUS)["elapsed_s"]
        eventually(lambda: self.ask(Command.STATUS)["elapsed_s"] >= from_s + more_s, f"{more_s} s more")

    def until_recording(self) -> None:
        self.until(State.RECORDING)
        self.until_more(0.5)

    def insist(self) -> None:
        """Send stop requests until the session has ended."""

        def has_ended() -> bool:
            self.session.send(Command.QUIT, "interrupt")
            return not self.is_running

        eventually(has_ended, "the end")

    def last_summary(self) -> Summary:
        self.join()
        return self.session.summaries[-1]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Disk]:
    made = Disk(monkeypatch, folder)
    yield made
    made.let_go()


def assert_nothing_missing(path: Path) -> None:
    """Assert that a recording of the pattern has a beep at each whole second and each frame at its time."""
    assert check(path).problems == ()
    track = sound(path)
    loud = np.flatnonzero(np.abs(track.samples) > 0.1) / track.rate + track.start_s
    heard = set((loud + 0.02).astype(int))
    # If the file ends just after a beep starts, little of that beep is left.
    assert set(range(int(track.end_s - 0.05) + 1)) <= heard <= set(range(int(track.end_s + 0.02) + 1))
    assert ((loud + 0.02) % 1.0).max() < 0.15
    # A frame may be repeated a slot later, for a clip.
    assert max(map(abs, clock_offsets_s(path))) < 1 / FPS + 0.04


# A stalled disk


def test_a_stall_loses_nothing_and_is_reported_once(disk: Disk, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.session.vitals._SLOW_S", 0.3)
    path = folder / "out.mkv"
    with PatternRecording(path) as recording:
        recording.until_recording()
        disk.stall()
        recording.until_more(1.5)
        assert len(recording.events("disk_slow")) == 1
        disk.let_go()
        recording.until_more(0.5)
        recording.ask(Command.STOP)
        summary = recording.last_summary()
    assert summary.check == "ok"
    assert summary.video is not None
    assert summary.video.dropped <= MOST_DROPPED
    assert [track.inserted_silence_s for track in summary.audio] == [0.0]
    assert len([event for event in summary.events if event.kind == "disk_slow"]) == 1
    assert_nothing_missing(path)


def test_a_full_queue_drops_and_counts_frames_but_no_sound(
    disk: Disk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit_bytes = 30_000
    monkeypatch.setattr("capture.output.writer.BYTES_QUEUED", limit_bytes)
    path = folder / "out.mp4"
    with PatternRecording(path) as recording:
        recording.until_recording()
        disk.stall()
        recording.until_more(2.5)
        assert recording.session._core.take is not None
        assert recording.session._core.take._writer._inlet._weight < limit_bytes + 100_000, "and a picture"
        disk.let_go()
        recording.until_more(0.5)
        recording.ask(Command.STOP)
        summary = recording.last_summary()
    assert summary.check == "ok"
    assert summary.video is not None
    assert summary.video.dropped > 0
    assert [track.inserted_silence_s for track in summary.audio] == [0.0]
    assert_nothing_missing(path)


def test_a_stall_does_not_affect_the_replay_buffer(disk: Disk, folder: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    with PatternRecording(folder / "out.mkv", replay_s=20.0) as recording:
        recording.until_recording()
        disk.stall()
        recording.until_more(1.5)
        answer = recording.ask(Command.CLIP, output=str(clip), last_s=1.2)
        assert answer.get("check") == "ok", answer
        assert recording.ask(Command.STATUS)["buffer_s"] > 1.8
        disk.let_go()
    assert check(clip).ok
    assert pictures(clip).end_s > 1.1


# A disk that takes its time to store what it accepted


class SlowStore:
    """A fake disk that accepts every write at once; while it is held, no sync ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._goes = threading.Event()
        self._goes.set()
        self.is_waited_for = False
        monkeypatch.setattr("capture.output.syncer.INTERVAL_S", 0.1)
        monkeypatch.setattr("capture.session.vitals._BEHIND_S", 0.5)
        monkeypatch.setattr("capture.output.syncer.sync_content", self._sync)

    def _sync(self, descriptor: int) -> None:
        if not self._goes.is_set():
            self.is_waited_for = True
            assert self._goes.wait(LIMIT_S)

    def hold(self) -> None:
        self._goes.clear()

    def let_go(self) -> None:
        self._goes.set()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowStore]:
    made = SlowStore(monkeypatch)
    yield made
    made.let_go()


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_slow_syncs_cost_neither_sound_nor_the_stop(extension: str, store: SlowStore, folder: Path) -> None:
    path = folder / f"out.{extension}"
    with PatternRecording(path) as recording:
        recording.until_recording()
        store.hold()
        recording.until_more(1.5)
        assert len(recording.events("disk_slow")) == 1
        assert re.fullmatch(
            r"the disk is slow: a power cut now would cost the last \d s", recording.events("disk_slow")[0].detail
        )
        size_bytes = path.stat().st_size
        recording.until_more(1.0)
        assert path.stat().st_size > size_bytes, "the file goes on growing"
        take, clock = recording.session._core.take, MonotonicClock()
        assert take is not None
        stopped_at_s = clock.now_s()
        answers = recording.send(Command.STOP)
        recording.until(State.FINISHING)
        seen_at_s = clock.now_s()
        # The header waits for what it makes use of.
        assert store.is_waited_for
        assert read_structure(path).ending is Ending.NEVER_CLOSED
        assert answers == []
        store.let_go()
        summary = recording.last_summary()
    assert summary.check == "ok"
    ended_at_s = take.timeline.epoch_s + summary.duration_s
    assert stopped_at_s - 1 / FPS <= ended_at_s <= seen_at_s + 1 / FPS, "it ended when it was stopped"
    assert summary.video is not None
    assert summary.video.dropped <= MOST_DROPPED
    assert [track.inserted_silence_s for track in summary.audio] == [0.0]
    assert_nothing_missing(path)


def test_a_discard_on_a_slow_disk_leaves_nothing(store: SlowStore, folder: Path) -> None:
    path = folder / "out.mp4"
    path.write_bytes(b"old")
    with PatternRecording(path, overwrite=True) as recording:
        recording.until_recording()
        store.hold()
        recording.until_more(0.5)
        recording.send(Command.DISCARD)
        store.let_go()
        recording.join()
    assert path.read_bytes() == b"old"
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("when", ["recording", "finishing"])
def test_a_disk_that_fails_to_store_ends_the_recording(
    when: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = folder / "out.mp4"
    path.write_bytes(b"old")
    monkeypatch.setattr("capture.output.syncer.INTERVAL_S", 0.1 if when == "recording" else 3600.0)
    with PatternRecording(path, overwrite=True) as recording:
        recording.until_recording()
        # The kernel reports it once, and then says that all is well.
        monkeypatch.setattr("capture.output.syncer.sync_content", fail)
        if when == "finishing":
            recording.send(Command.STOP)
        summary = recording.last_summary()
    assert str(recording.session.error).startswith(f"{path} could not be ")
    assert "(Input/output error)" in str(recording.session.error)
    assert summary.path == str(path)
    # The fragments play; the header that hides them was not written.
    assert pictures(path).end_s > 0.3
    (aside,) = left_aside(path)
    assert aside.read_bytes() == b"old"
    assert [event.detail for event in recording.events("old_file")] == [
        f"the file that {path} was to replace is kept as {aside}"
    ]


# Repeated stop requests


def test_requests_escalate_only_after_a_while() -> None:
    patience = StopEscalation(10.0)
    quick = [patience.ask(10.0 + number / 100) for number in range(100)]
    assert set(quick) == {Impatience.NONE}
    assert patience.ask(10.0 + INSISTS_AFTER_S) is Impatience.WARNED
    assert patience.ask(10.1 + INSISTS_AFTER_S) is Impatience.NONE
    assert patience.ask(10.0 + 2 * INSISTS_AFTER_S) is Impatience.ABANDONED


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_the_third_request_leaves_the_file_unfinished(
    extension: str, disk: Disk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.session.force_stop.INSISTS_AFTER_S", 0.0)
    path = folder / f"out.{extension}"
    with PatternRecording(path) as recording:
        recording.until_recording()
        eventually(lambda: path.stat().st_size > 10_000, "a picture in the file")
        disk.stall()
        recording.insist()
        summary = recording.last_summary()
        assert recording.session.is_stuck
        assert recording.session.error is not None
        assert str(recording.session.error) == f"{path} was left unfinished: to fix it, run capture repair"
        assert [event.detail for event in recording.events("unfinished")] == [
            f"{path} is still being finished: stop once more to abandon it as it is"
        ]
        assert (summary.path, summary.stopped_by) == (str(path), "interrupt")
        assert summary.check == "the file was left unfinished"
        assert summary.video is not None
        assert len(pictures(path).moments_s) > 0
        disk.let_go()
    # The abandoned thread ends by itself when the disk answers.
    eventually(lambda: check(path).ok, "the end of the file")


def test_a_clip_that_hangs_is_left_unfinished_too(
    disk: Disk, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("capture.session.force_stop.INSISTS_AFTER_S", 0.0)
    with PatternRecording(tmp_path / "out.mkv", standby=True, replay_s=20.0) as recording:
        eventually(lambda: recording.ask(Command.STATUS).get("buffer_s", 0.0) > 0.5, "a buffer")
        disk.hold()
        recording.session.send(Command.CLIP, "test", options={"output": str(folder / "clip.mkv")})
        disk.await_writer()
        recording.insist()
        assert recording.session.is_stuck
        assert "a clip was left unfinished" in str(recording.session.error)
        disk.let_go()


# A real disk


@contextmanager
def frozen(place: Path) -> Iterator[None]:
    """Freeze the file system until the context ends."""
    subprocess.run(["fsfreeze", "--freeze", place], check=True, timeout=60)
    try:
        yield
    finally:
        subprocess.run(["fsfreeze", "--unfreeze", place], check=True, timeout=60)


def test_a_disk_frozen_for_three_seconds_loses_nothing(start_capture: StartCapture, tmp_path: Path) -> None:
    with block_disk(tmp_path, 30 * MB) as place:
        path, clip = place / "out.mp4", tmp_path / "clip.mp4"
        arguments = ("record", path, "--source", "pattern", "--fps", str(FPS), "--replay", "20s", "--json")
        with start_capture(*arguments) as recorder:
            recorder.until_recording(path)
            recorder.until_grown(path)
            control = Control(recorder)
            with frozen(place):
                from_s = control.status["elapsed_s"]
                recorder.until(lambda: control.status["elapsed_s"] > from_s + 3.0, "three seconds")
                assert control.ask("clip", output=str(clip), last_s=2.0)["check"] == "ok"
            recorder.until_grown(path)
            summary = recorder.stop()
            assert recorder.stderr.count("the disk has accepted nothing") == 1
        assert (summary["check"], kinds(summary)) == ("ok", [])
        assert "disk_slow" in {event["kind"] for event in summary["events"]}
        assert summary["duration_s"] > 3.0
        assert [track["inserted_silence_s"] for track in summary["audio"]] == [0.0]
        assert_nothing_missing(path)
        assert pictures(clip).end_s > 1.9


def test_repeated_signals_end_a_recorder_on_a_frozen_disk(start_capture: StartCapture, tmp_path: Path) -> None:
    with block_disk(tmp_path, 30 * MB) as place:
        path = place / "out.mkv"
        arguments = ("record", path, "--source", "pattern", "--fps", str(FPS), "--json")
        with start_capture(*arguments) as recorder:
            recorder.until_recording(path)
            recorder.until_grown(path)
            with frozen(place):
                recorder.process.send_signal(signal.SIGINT)
                numbers = itertools.cycle((signal.SIGTERM, signal.SIGHUP, signal.SIGINT))

                def is_left() -> bool:
                    recorder.process.send_signal(next(numbers))
                    return "was left unfinished" in recorder.stderr

                recorder.until(is_left, "it to give up")
            # A process cannot exit while one of its threads waits for a frozen disk.
            assert recorder.wait() == 1
            summary = recorder.summary()
            assert recorder.stderr.count("stop once more to abandon it as it is") == 1
            assert recorder.stderr.splitlines()[-1].startswith(
                f"capture: {path} was left unfinished: to fix it, run capture repair"
            )
        assert summary["stopped_by"] in ("interrupt", "terminate", "hangup")
        assert summary["check"] == "the file was left unfinished"
        assert len(pictures(path).moments_s) > 0
        assert repair(path).after.ok
