"""An exception raised into `run`, Ctrl+C above all, ends the recording, finishes its file, and goes on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from reopened import pictures
from running import eventually
from takes import Player, Recording, Stage

from capture.clock import MonotonicClock
from capture.events import Command, State
from capture.recordings.check import check
from capture.session.session import Session
from capture.settings.record_settings import RecordSettings


class Stumble(BaseException):
    """Not an `Exception`: only `except BaseException` catches it."""


class StumblingClock(MonotonicClock):
    """A clock that raises `error` once, in `thread`."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.thread: threading.Thread | None = None

    def now_s(self) -> float:
        if self.error is not None and threading.current_thread() is self.thread:
            error, self.error = self.error, None
            raise error
        return super().now_s()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), Stumble(), ZeroDivisionError("by zero")])
@pytest.mark.parametrize("name", ["out.mp4", "out.ogg"])
def test_an_exception_keeps_what_was_recorded(error: BaseException, name: str, tmp_path: Path) -> None:
    clock = StumblingClock()
    with Recording(tmp_path / name, video=name.endswith("mp4"), clock=clock) as recording:
        recording.until_elapsed(0.5)
        clock.thread, clock.error = recording.thread, error
        recording.join()
    assert recording.raised is error
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert check(tmp_path / name).ok
    (summary,) = recording.session.summaries
    assert (summary.stopped_by, summary.check) == ("interrupt", "ok")
    assert summary.duration_s >= 0.5
    assert recording.session.state is State.FINISHED


def test_an_exception_before_anything_is_recorded_leaves_nothing(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = KeyboardInterrupt()

    def stumble(request: object) -> bool:
        raise error

    with Recording(tmp_path / "out.ogg", wait_for_sound=True, sources=player.sources) as recording:
        recording.until_waiting()
        monkeypatch.setattr(recording.session._waiting, "_can_begin", stumble)
        recording.session.send(Command.START, "test")
        recording.join()
    assert recording.raised is error
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_recording_replaces_the_old_file(tmp_path: Path) -> None:
    path, clock = tmp_path / "out.mp4", StumblingClock()
    path.write_bytes(b"old")
    with Recording(path, video=True, overwrite=True, clock=clock) as recording:
        recording.until_elapsed(0.3)
        clock.thread, clock.error = recording.thread, KeyboardInterrupt()
        recording.join()
    assert [each.name for each in tmp_path.iterdir()] == ["out.mp4"]
    assert check(path).ok


@pytest.mark.skipif(sys.platform == "win32", reason="only Unix can send a signal to one thread")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_the_main_thread_keeps_what_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    session = Session(RecordSettings(path, pattern=True))

    def press() -> None:
        eventually(lambda: session.state is State.RECORDING, "the recording")
        eventually(lambda: path.stat().st_size > 10_000, "packets in the file")
        os.kill(os.getpid(), signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        session.run()
    pressing.join()
    assert check(path).ok
    assert len(pictures(path).moments_s) > 0
    assert [summary.stopped_by for summary in session.summaries] == ["interrupt"]


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_while_the_file_is_finished_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import capture.session.summaries as summaries_module

    checking, let_go = threading.Event(), threading.Event()

    def slow(path: Path, **more: Any) -> Any:
        checking.set()
        let_go.wait()
        return check(path, **more)

    monkeypatch.setattr(summaries_module, "check", slow)
    path = tmp_path / "out.mp4"
    session = Session(RecordSettings(path, pattern=True, duration_s=0.3), sources=Stage())
    inbox = session._core.inbox
    receive, receiving = inbox.receive, threading.Event()

    def noted(timeout_s: float) -> Any:
        if checking.is_set():
            receiving.set()
        return receive(timeout_s)

    monkeypatch.setattr(inbox, "receive", noted)

    def press() -> None:
        receiving.wait()
        os.kill(os.getpid(), signal.SIGINT)
        eventually(lambda: session._finishing._interrupt is not None, "the interrupt to arrive")
        let_go.set()

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        session.run()
    pressing.join()
    assert [summary.check for summary in session.summaries] == ["ok"]
