"""The session: what it does when something around it hangs, fails, or asks it to stop at an awkward moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from takes import Stage

import capture.session.preparation as preparation_module
from capture.errors import NotReadyError, UsageError
from capture.event_kinds import EventKind
from capture.events import Command, Event, Progress, Send, State, Summary
from capture.recordings.check import check
from capture.session.session import Session
from capture.settings import RecordSettings

LIMIT_S = 30.0


def settings(path: Path, **more: Any) -> RecordSettings:
    return RecordSettings(path, pattern=True, **{"duration_s": 0.5, **more})


def run_aside(session: Session) -> Callable[[], Any]:
    """Run a session in a thread; what is returned waits for its end and gives what it returned."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(session.run()))
    thread.start()

    def finish() -> Any:
        thread.join(LIMIT_S)
        assert not thread.is_alive(), "the session hangs"
        return results[0]

    return finish


def test_a_listener_that_fails_harms_nothing(tmp_path: Path) -> None:
    def fail(event: Event | Progress | Summary) -> None:
        raise OSError("the terminal is gone")

    session = Session(settings(tmp_path / "out.mp4"), emit=fail)
    summary = session.run()
    assert summary is not None
    assert (summary.check, summary.stopped_by, session.error) == ("ok", "duration", None)


def test_a_listener_that_hangs_holds_up_nothing(tmp_path: Path) -> None:
    let_go = threading.Event()

    def hang(event: Event | Progress | Summary) -> None:
        let_go.wait()

    finish = run_aside(Session(settings(tmp_path / "out.ogg", screen=None), emit=hang))
    try:
        assert finish().check == "ok"
    finally:
        let_go.set()


def test_a_trigger_that_hangs_holds_up_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation_module, "TRIGGER_LIMIT_S", 0.05)
    let_go = threading.Event()

    class Hanging:
        absence = EventKind.NO_HOTKEYS

        def start(self, send: Send) -> None:
            let_go.wait()

        def take_began(self, path: str) -> None: ...

        def take_ended(self) -> None: ...

        def stop(self) -> None: ...

    try:
        summary = Session(settings(tmp_path / "out.ogg", screen=None), triggers=[Hanging()]).run()
    finally:
        let_go.set()
    assert summary is not None
    assert summary.check == "ok"
    assert [event.detail for event in summary.events if event.kind == "no_hotkeys"] == [
        "the display does not answer: stop with Ctrl+C"
    ]


def test_progress_and_events_reach_the_listener(tmp_path: Path) -> None:
    told: list[Event | Progress | Summary] = []
    session = Session(settings(tmp_path / "out.mp4", duration_s=1.0), emit=told.append)
    assert session.run() is not None
    states = [event.state for event in told if isinstance(event, Progress)]
    assert states[-1] is State.FINISHING
    assert State.RECORDING in states


def test_a_stop_that_comes_before_everything_leaves_nothing(tmp_path: Path) -> None:
    session = Session(settings(tmp_path / "out.mkv"))
    session.send(Command.STOP, "interrupt")
    assert session.run() is None
    assert list(tmp_path.iterdir()) == []


def test_a_stop_that_comes_while_devices_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looking, let_go = threading.Event(), threading.Event()

    def hang(*_: object) -> Any:
        looking.set()
        let_go.wait()
        raise NotReadyError("let go")

    session = Session(settings(tmp_path / "out.mp4"), sources=Stage(frames=hang))
    finish = run_aside(session)
    try:
        assert looking.wait(LIMIT_S)
        session.send(Command.STOP, "terminate")
        assert finish() is None
        assert list(tmp_path.iterdir()) == []
    finally:
        let_go.set()


def test_devices_that_never_answer_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(preparation_module, "PREPARATION_LIMIT_S", 0.05)

    def hang(*_: object) -> Any:
        let_go.wait()

    try:
        with pytest.raises(NotReadyError, match="does not answer"):
            Session(settings(tmp_path / "out.mp4"), sources=Stage(frames=hang)).run()
    finally:
        let_go.set()


def test_what_is_overwritten_comes_back_when_nothing_replaces_it(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"old")

    def refuse() -> None:
        raise UsageError("no such program")

    with pytest.raises(UsageError):
        Session(settings(path, overwrite=True), on_ready=refuse).run()
    discarded = Session(settings(path, overwrite=True))
    discarded.send(Command.DISCARD, "hotkey")
    assert discarded.run() is None
    thrown_away: Session = Session(
        settings(path, overwrite=True), on_ready=lambda: thrown_away.send(Command.DISCARD, "hotkey")
    )
    assert thrown_away.run() is None
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]

    summary = Session(settings(path, overwrite=True)).run()
    assert summary is not None
    assert check(path).ok
    assert list(tmp_path.iterdir()) == [path]


def test_a_name_nobody_chose_gives_way(tmp_path: Path) -> None:
    path = tmp_path / "Capture.ogg"
    path.write_bytes(b"somebody else's")
    summary = Session(settings(path, screen=None, numbered=True)).run()
    assert summary is not None
    assert summary.path == str(tmp_path / "Capture (2).ogg")
    assert path.read_bytes() == b"somebody else's"


def test_a_recording_that_somebody_removes_is_no_success(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    session = Session(settings(path), on_ready=path.unlink)
    summary = session.run()
    assert summary is not None
    assert summary.size_bytes == 0
    assert session.error is not None
    assert session.state is State.FAILED


def test_an_encoder_that_does_not_exist_is_a_mistake_of_the_call(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="libx264"):
        Session(settings(tmp_path / "out.mp4", encoder="nonsense")).run()
    with pytest.raises(UsageError, match="libvpx"):
        Session(settings(tmp_path / "out.webm", encoder="libx264")).run()
    assert list(tmp_path.iterdir()) == []


def test_pauses_are_left_out_of_both_tracks(tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    paused = threading.Event()
    session: Session

    def watch(event: Event | Progress | Summary) -> None:
        if isinstance(event, Progress) and event.state is State.RECORDING and not paused.is_set():
            paused.set()
            session.send(Command.PAUSE, "hotkey")
        elif isinstance(event, Progress) and event.state is State.PAUSED:
            session.send(Command.RESUME, "hotkey")

    session = Session(settings(path, duration_s=1.5), emit=watch)
    summary = session.run()
    assert summary is not None
    assert summary.paused_s > 0
    report = check(path)
    assert report.ok, report.problems
    assert all(abs(stream.duration_s - 1.5) < 0.1 for stream in report.streams)
