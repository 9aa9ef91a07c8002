"""A session whose surroundings hang or fail, or that is stopped at an awkward moment."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import eventually
from takes import Recording, Stage, StandbyRecording

import capture.pipeline.device_thread as device_thread_module
import capture.session.preparation as preparation_module
from capture.clock import Clock, MonotonicClock
from capture.codecs.audio_encoder import AudioEncoder
from capture.codecs.video_encoder import VideoEncoder
from capture.errors import NotReadyError, SourceLostError, UsageError
from capture.events import Command, Event, EventKind, Progress, Send, State, Summary
from capture.output.reserved_file import ReservedFile
from capture.recordings.check import check
from capture.session.session import Session
from capture.session.vitals import STANDSTILL_S
from capture.settings.record_settings import RecordSettings
from capture.sources.pattern import PatternFrames
from capture.sources.scripted import ScriptedFrames, ScriptedSamples
from capture.threads.worker import Worker

LIMIT_S = 30.0


def settings(path: Path, **more: Any) -> RecordSettings:
    return RecordSettings(path, pattern=True, **{"duration_s": 0.5, **more})


def run_aside(session: Session) -> Callable[[], Any]:
    """Run a session in a thread. The returned function waits for its end and returns its result."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(session.run()))
    thread.start()

    def finish() -> Any:
        thread.join(LIMIT_S)
        assert not thread.is_alive(), "the session hangs"
        return results[0]

    return finish


def test_a_listener_that_raises_does_not_harm_the_recording(tmp_path: Path) -> None:
    def fail(event: Event | Progress | Summary) -> None:
        raise OSError("the terminal is gone")

    session = Session(settings(tmp_path / "out.mp4"), emit=fail)
    summary = session.run()
    assert summary is not None
    assert (summary.check, summary.stopped_by, session.error) == ("ok", "duration", None)


def test_a_listener_that_hangs_does_not_block_the_session(tmp_path: Path) -> None:
    let_go = threading.Event()

    def hang(event: Event | Progress | Summary) -> None:
        let_go.wait()

    finish = run_aside(Session(settings(tmp_path / "out.ogg", screen=None), emit=hang))
    try:
        assert finish().check == "ok"
    finally:
        let_go.set()


def test_a_trigger_that_hangs_does_not_block_the_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation_module, "TRIGGER_LIMIT_S", 0.05)
    let_go = threading.Event()

    class Hanging:
        unavailable_event = EventKind.NO_HOTKEYS
        notes = ()

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


def test_a_machine_that_stands_still_is_no_trigger_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started, reported = threading.Event(), list[tuple[EventKind, str]]()
    join = Worker.join

    def stand_still(worker: Worker, timeout_s: float | None = None) -> bool:
        # All of the time is over before the trigger's thread runs again.
        monkeypatch.setattr(Worker, "join", join)
        started.set()
        return False

    class Started:
        unavailable_event = EventKind.NO_HOTKEYS
        notes = ()

        def start(self, send: Send) -> None:
            assert started.wait(LIMIT_S)

        def take_began(self, path: str) -> None: ...

        def take_ended(self) -> None: ...

        def stop(self) -> None: ...

    monkeypatch.setattr(preparation_module, "TRIGGER_LIMIT_S", LIMIT_S)
    monkeypatch.setattr(Worker, "join", stand_still)
    preparation_module.start_triggers(
        [Started()], lambda *_, **__: None, lambda kind, detail: reported.append((kind, detail))
    )
    assert reported == []


class SkippingClock(MonotonicClock):
    """Skips as much time as a test says, as if nothing had run meanwhile."""

    def __init__(self) -> None:
        self.skipped_s = 0.0

    def now_s(self) -> float:
        return super().now_s() + self.skipped_s

    def wait_until(self, moment_s: float, woken: threading.Event) -> bool:
        return super().wait_until(moment_s - self.skipped_s, woken)


class SlowTrigger:
    """Takes its time to start."""

    unavailable_event = EventKind.NO_HOTKEYS
    notes = ()

    def __init__(self, clock: SkippingClock, start_s: float) -> None:
        self._clock = clock
        self._start_s = start_s

    def start(self, send: Send) -> None:
        self._clock.skipped_s += self._start_s

    def take_began(self, path: str) -> None: ...

    def take_ended(self) -> None: ...

    def stop(self) -> None: ...


def test_time_in_which_triggers_start_is_no_standstill(tmp_path: Path) -> None:
    clock = SkippingClock()
    triggers = [SlowTrigger(clock, 2 * STANDSTILL_S)]
    with Recording(tmp_path / "out.ogg", clock=clock, triggers=triggers, sources=Stage()) as recording:
        recording.until_elapsed(2 * STANDSTILL_S + 0.3)
        clock.skipped_s += 3 * STANDSTILL_S
        recording.until_elapsed(5 * STANDSTILL_S)
    stood = [event.at_s for event in recording.finished().events if event.kind == EventKind.STOOD_STILL]
    assert stood, "one while it runs is seen"
    assert min(stood) >= 2 * STANDSTILL_S


def test_progress_and_events_reach_the_listener(tmp_path: Path) -> None:
    emitted: list[Event | Progress | Summary] = []
    session = Session(settings(tmp_path / "out.mp4", duration_s=1.0), emit=emitted.append)
    assert session.run() is not None
    states = [event.state for event in emitted if isinstance(event, Progress)]
    assert states[-1] is State.FINISHING
    assert State.RECORDING in states


def test_a_stop_before_the_start_leaves_no_file(tmp_path: Path) -> None:
    session = Session(settings(tmp_path / "out.mkv"))
    session.send(Command.STOP, "interrupt")
    assert session.run() is None
    assert list(tmp_path.iterdir()) == []


def test_a_stop_while_devices_are_chosen_leaves_no_file(tmp_path: Path) -> None:
    looking, let_go, closed = threading.Event(), threading.Event(), threading.Event()

    class Screen(PatternFrames):
        def close(self) -> None:
            closed.set()

    def hang(clock: Clock) -> PatternFrames:
        looking.set()
        let_go.wait()
        return Screen(clock)

    session = Session(settings(tmp_path / "out.mp4"), sources=Stage(frames=hang))
    finish = run_aside(session)
    try:
        assert looking.wait(LIMIT_S)
        session.send(Command.STOP, "terminate")
        assert finish() is None
        assert list(tmp_path.iterdir()) == []
    finally:
        let_go.set()
    assert closed.wait(LIMIT_S), "what was chosen then, such as a screen that the desktop shares, is given back"


def test_the_session_gives_up_on_devices_that_never_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    monkeypatch.setattr(preparation_module, "PREPARATION_LIMIT_S", 0.05)

    def hang(*_: object) -> Any:
        let_go.wait()

    try:
        with pytest.raises(NotReadyError, match="does not answer"):
            Session(settings(tmp_path / "out.mp4"), sources=Stage(frames=hang)).run()
    finally:
        let_go.set()


def test_a_screen_that_is_lost_before_the_sound_is_there_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_thread_module, "IDLE_INTERVAL_S", 0.01)
    is_open = threading.Event()

    class LostScreen(ScriptedFrames):
        def open(self) -> None:
            is_open.set()

    class SlowSound(ScriptedSamples):
        def open(self) -> None:
            assert is_open.wait(LIMIT_S)
            eventually(
                lambda: all(thread.name != "screen" for thread in threading.enumerate()), "the screen to be lost"
            )

    sources = Stage(
        frames=lambda clock: LostScreen(clock, [(0.0, np.zeros((48, 64, 4), np.uint8))], lost_at_s=0.0),
        samples=lambda name, clock: SlowSound(name, clock, []),
    )
    with pytest.raises(NotReadyError, match="the scripted screen is gone"):
        Session(settings(tmp_path / "out.mp4"), sources=sources).run()
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_comes_back_if_nothing_was_recorded(tmp_path: Path) -> None:
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

    def lost(clock: Clock) -> ScriptedFrames:
        return ScriptedFrames(clock, [(0.0, np.zeros((48, 64, 4), np.uint8))], lost_at_s=0.0)

    failed = Session(settings(path, overwrite=True, audio=()), sources=Stage(frames=lost))
    assert failed.run() is None
    assert isinstance(failed.error, SourceLostError)
    assert path.read_bytes() == b"old", "a recording that failed before its first picture"

    summary = Session(settings(path, overwrite=True)).run()
    assert summary is not None
    assert check(path).ok
    assert list(tmp_path.iterdir()) == [path]


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> set[type]:
    """The kinds of encoders that were closed."""
    found: set[type] = set()

    def noting(close: Callable[[Any], None]) -> Callable[[Any], None]:
        def note(encoder: Any) -> None:
            found.add(type(encoder))
            close(encoder)

        return note

    for kind in (VideoEncoder, AudioEncoder):
        monkeypatch.setattr(kind, "close", noting(kind.close))
    return found


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks there")
def test_a_file_that_another_recorder_writes_leaves_no_encoder_open(closed: set[type], tmp_path: Path) -> None:
    other = ReservedFile(tmp_path / "out.mp4")
    with pytest.raises(UsageError, match="is being recorded by another recorder"):
        Session(settings(tmp_path / "out.mp4", overwrite=True)).run()
    assert closed == {VideoEncoder, AudioEncoder}
    other.discard()


def test_a_recording_that_gets_no_thread_leaves_no_encoder_open(
    closed: set[type], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = Worker.start

    def start_others(worker: Worker) -> None:
        if worker.name.endswith(("video encoder", "sound encoder internal")):
            raise NotReadyError("there are no more threads")
        start(worker)

    monkeypatch.setattr(Worker, "start", start_others)
    with pytest.raises(NotReadyError, match="no more threads"):
        Session(settings(tmp_path / "out.mp4")).run()
    assert closed == {VideoEncoder, AudioEncoder}
    assert list(tmp_path.iterdir()) == []


def test_all_that_records_is_loaded_and_open_before_the_session_is_ready(tmp_path: Path) -> None:
    calls: list[str] = []
    loaded, ready = partial(calls.append, "loaded"), partial(calls.append, "ready")
    Session(settings(tmp_path / "out.mp4"), on_ready=ready, on_loaded=loaded).run()
    assert calls == ["loaded", "ready"]


def test_a_relative_path_means_the_folder_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(here)
    with StandbyRecording(Path("out.ogg"), sources=Stage()) as recording:
        monkeypatch.chdir(elsewhere)
        recording.until_kept(0.5)
        # As the key asks for it.
        clip = recording.ask(Command.CLIP)
        assert recording.ask(Command.START)["ok"]
        recording.until_elapsed(0.3)
        taken = recording.ask(Command.STOP)
    assert Path(clip["path"]).parent == here
    assert taken["path"] == str(here / "out.ogg")
    assert list(elsewhere.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not remove a current folder")
def test_a_relative_path_in_a_removed_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(UsageError, match="the current folder was removed"):
        Session(settings(Path("out.ogg")))
    assert Session(settings(tmp_path / "out.ogg")).settings.output == tmp_path / "out.ogg"


def test_a_generated_name_avoids_existing_files(tmp_path: Path) -> None:
    path = tmp_path / "Capture.ogg"
    path.write_bytes(b"somebody else's")
    summary = Session(settings(path, screen=None, numbered=True)).run()
    assert summary is not None
    assert summary.path == str(tmp_path / "Capture (2).ogg")
    assert path.read_bytes() == b"somebody else's"


def test_a_recording_whose_file_is_removed_fails(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    session = Session(settings(path), on_ready=path.unlink)
    summary = session.run()
    assert summary is not None
    assert summary.size_bytes == 0
    assert session.error is not None
    assert session.state is State.FAILED


def test_an_unknown_encoder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="libx264"):
        Session(settings(tmp_path / "out.mp4", encoder="nonsense")).run()
    with pytest.raises(UsageError, match="libvpx"):
        Session(settings(tmp_path / "out.webm", encoder="libx264")).run()
    assert list(tmp_path.iterdir()) == []


def test_pauses_are_cut_from_both_tracks(tmp_path: Path) -> None:
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
