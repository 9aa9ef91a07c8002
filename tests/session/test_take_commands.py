"""Commands of a session on scripted devices, and the answer to each."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any, Final

import pytest
from running import eventually
from takes import LIMIT_S, Player, Recording, Stage, blocked_check, is_ok

import capture.playback.preview as preview_module
import capture.session.summaries as summaries_module
from capture.clock import MonotonicClock
from capture.errors import NotReadyError
from capture.events import Command, Progress, Request, State
from capture.recordings.check import check
from capture.session.core import SessionCore
from capture.session.finishing import Finishing
from capture.session.force_stop import INSISTS_AFTER_S
from capture.settings.record_settings import RecordSettings

ENDING: Final = (Command.STOP, Command.QUIT, Command.TOGGLE, Command.DISCARD)
OTHERS: Final = tuple(command for command in Command if command not in ENDING)


@pytest.mark.parametrize("ending", ENDING)
def test_commands_while_the_session_prepares(ending: Command, tmp_path: Path) -> None:
    looking, let_go = threading.Event(), threading.Event()

    def hang(*_: object) -> Any:
        looking.set()
        let_go.wait()
        raise NotReadyError("let go")

    sources = Stage(samples=hang)
    with Recording(tmp_path / "out.ogg", sources=sources) as recording:
        try:
            assert looking.wait(LIMIT_S)
            for command in OTHERS:
                assert is_ok(recording.ask(command)) is (command is Command.STATUS)
            answer = recording.ask(ending)
            assert (answer["ok"], answer["path"]) == (True, None)
            assert recording.join() is None
        finally:
            let_go.set()
    recording.check_answers()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [Command.STOP, Command.QUIT, Command.DISCARD])
def test_commands_while_the_session_waits_for_sound(ending: Command, player: Player, tmp_path: Path) -> None:
    path = tmp_path / "out.ogg"
    with Recording(path, wait_for_sound=True, sources=player.sources) as recording:
        recording.until_waiting()
        for command in OTHERS:
            if command is not Command.START:
                answer = recording.ask(command)
                assert is_ok(answer) is (command is Command.STATUS), command
        status = recording.ask(Command.STATUS)
        assert (status["state"], status["path"], status["elapsed_s"]) == ("armed", str(path), 0.0)
        answers = recording.send(ending)
        assert recording.join() is None
        assert answers[0]["state"] == "armed"
    recording.check_answers()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("beginning", [Command.START, Command.TOGGLE])
def test_a_command_can_start_the_take_before_any_sound(beginning: Command, player: Player, tmp_path: Path) -> None:
    with Recording(tmp_path / "out.ogg", wait_for_sound=True, sources=player.sources) as recording:
        recording.until_waiting()
        begun = recording.ask(beginning)
        assert begun["ok"]
        assert begun["state"] == "recording"
        recording.until_elapsed(0.3)
        assert recording.ask(Command.STOP)["path"] == str(tmp_path / "out.ogg")
        assert recording.finished().check == "ok"
    recording.check_answers()


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize("ending", ENDING)
def test_commands_while_a_take_is_recorded(
    ending: Command, paused: bool, player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[Path] = []
    monkeypatch.setattr(preview_module.Preview, "start", lambda self: played.append(self._path))
    path = tmp_path / "out.ogg"
    with Recording(path, sources=player.sources) as recording:
        recording.until(State.RECORDING)
        recording.until_elapsed(0.2)
        assert is_ok(recording.ask(Command.START))
        assert "pause first" in recording.ask(Command.PREVIEW)["error"]
        assert is_ok(recording.ask(Command.MARK, "here"))
        assert recording.ask(Command.TOGGLE_PAUSE)["state"] == "paused"
        assert recording.ask(Command.PAUSE)["state"] == "paused"
        assert is_ok(recording.ask(Command.PREVIEW))
        assert played == [path]
        assert is_ok(recording.ask(Command.MARK))
        assert recording.ask(Command.RESUME)["state"] == "recording"
        assert recording.ask(Command.RESUME)["state"] == "recording"
        if paused:
            assert recording.ask(Command.PAUSE)["state"] == "paused"
        answer = recording.ask(ending)
        recording.join()
        if ending is Command.DISCARD:
            assert (answer["path"], answer["discarded"]) == (None, str(path))
            assert list(tmp_path.iterdir()) == []
        else:
            summary = recording.finished()
            assert answer == {"ok": True, "state": "finished", **summary.as_json()}
            assert (summary.stopped_by, summary.check) == (ending.value, "ok")
            assert [event.detail for event in summary.events if event.kind == "mark"] == ["here", "Mark 2"]
            assert summary.paused_s > 0
    recording.check_answers()


class LateClock(MonotonicClock):
    """Once `until_s` is set, the thread `late` hangs when it next asks for the time, until that moment is over."""

    def __init__(self) -> None:
        super().__init__()
        self.late: threading.Thread | None = None
        self.until_s: float | None = None

    def now_s(self) -> float:
        if self.until_s is not None and threading.current_thread() is self.late:
            until_s, self.until_s = self.until_s, None
            eventually(lambda: super(LateClock, self).now_s() > until_s, "the moment")
        return super().now_s()


@pytest.mark.parametrize("is_after_the_end", [False, True])
def test_a_pause_counts_if_it_was_before_the_end_however_late_it_is_read(
    is_after_the_end: bool, player: Player, tmp_path: Path
) -> None:
    length_s, clock = 0.5, LateClock()
    with Recording(tmp_path / "out.ogg", duration_s=length_s, sources=player.sources, clock=clock) as recording:
        recording.until_elapsed(0.1)
        clock.late = recording.thread
        clock.until_s = ends_at_s = clock.now_s() + length_s
        eventually(lambda: clock.until_s is None, "it to hang")
        paused = recording.send(Command.PAUSE, at_s=ends_at_s if is_after_the_end else None)
        if not is_after_the_end:
            recording.until(State.PAUSED)
            assert recording.ask(Command.RESUME)["state"] == "recording"
        summary = recording.finished()
        assert (summary.stopped_by, is_ok(paused[0])) == ("duration", not is_after_the_end)
        assert (summary.paused_s > 0) is not is_after_the_end
        assert summary.duration_s == pytest.approx(length_s, abs=0.03)
    recording.check_answers()


def test_commands_while_a_take_is_finished(player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Recording(tmp_path / "out.ogg", sources=player.sources) as recording:
        recording.until(State.RECORDING)
        recording.until_elapsed(0.2)
        with blocked_check(summaries_module, monkeypatch) as finishing:
            ended = recording.send(Command.STOP)
            assert finishing.wait(LIMIT_S)
            endings = [recording.send(command) for command in (Command.STOP, Command.QUIT, Command.TOGGLE)]
            others = (Command.STATUS, Command.DISCARD, Command.MARK, Command.PAUSE, Command.PREVIEW)
            answers = {command: recording.ask(command) for command in others}
            assert not any(endings)
        assert recording.finished().check == "ok"
    # Every command to end is answered once the take has ended.
    for ending in (ended, *endings):
        assert (ending[0]["state"], ending[0]["check"]) == ("finished", "ok")
    assert answers[Command.STATUS]["state"] == "finishing"
    for command in (Command.DISCARD, Command.MARK, Command.PAUSE, Command.PREVIEW):
        assert "being finished" in answers[command]["error"]
    recording.check_answers()


def test_commands_after_the_stop_are_answered_too(player: Player, tmp_path: Path) -> None:
    with Recording(tmp_path / "out.ogg", wait_for_sound=True, sources=player.sources) as recording:
        recording.until_waiting()
        for command in (Command.STOP, *Command):
            recording.send(command)
        assert recording.join() is None
    recording.check_answers()


def test_thousands_of_status_requests_do_not_delay_the_stop(player: Player, tmp_path: Path) -> None:
    clock = MonotonicClock()
    late_s: list[float] = []
    # A busy machine may delay it, but not each time.
    while len(late_s) < 4 and min(late_s, default=math.inf) >= 1.0:
        with Recording(tmp_path / f"out{len(late_s)}.wav", sources=player.sources) as recording:
            recording.until(State.RECORDING)
            recording.until_elapsed(0.2)
            for _ in range(2_500):
                recording.send(Command.STATUS)
            take = recording.session._core.take
            assert take is not None
            wanted_s = clock.now_s() - take.timeline.epoch_s
            recording.send(Command.STOP)
            for _ in range(2_500):
                recording.send(Command.STATUS)
            summary = recording.finished()
        assert summary.stopped_by == "stop"
        late_s.append(summary.duration_s - wanted_s)
        assert late_s[-1] > -0.02
        recording.check_answers()
    assert min(late_s) < 1.0


# What a session waits for


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"wait_for_sound": True}, "waiting for sound"),
        ({"hold": "<ctrl>+<alt>+space"}, "hold Ctrl+Alt+Space to record"),
        ({"wait_for_sound": True, "hold": "<f9>"}, "waiting for sound, or hold F9 to record"),
        ({"standby": True}, "waiting for a key"),
        ({"standby": True, "hold": "<f9>"}, "hold F9 to record"),
    ],
)
def test_a_waiting_session_says_what_starts_the_recording(
    options: dict[str, Any], said: str, player: Player, tmp_path: Path
) -> None:
    with Recording(tmp_path / "out.ogg", sources=player.sources, **options) as recording:
        recording.until_waiting()
    found = {item.waiting_for for item in recording.emitted if isinstance(item, Progress)}
    assert found - {""} == {said}


# A held key


def test_releasing_a_held_key_late_stops_nothing_else(player: Player, tmp_path: Path) -> None:
    with Recording(tmp_path / "out.ogg", hold="<f9>", repeat=True, duration_s=0.3, sources=player.sources) as recording:
        for count in range(2):
            recording.until(State.ARMED)
            recording.session.send(Command.START, "hotkey")
            eventually(lambda count=count: len(recording.session.summaries) > count, "a file")  # type: ignore[misc]
            recording.until(State.ARMED)
            recording.session.send(Command.STOP, "hotkey")
        assert recording.ask(Command.STATUS)["state"] == "armed"
    assert [summary.stopped_by for summary in recording.session.summaries] == ["duration", "duration"]


def test_a_key_pressed_while_the_last_take_is_finished_starts_the_next(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = MonotonicClock()

    def hold_again(path: Path, **more: Any) -> Any:
        if not again:
            again.append(clock.now_s())
            recording.session.send(Command.START, "hotkey")
            clock.wait_until(again[0] + 0.35, threading.Event())
            recording.session.send(Command.STOP, "hotkey")
        return check(path, **more)

    again: list[float] = []
    monkeypatch.setattr(summaries_module, "check", hold_again)
    with Recording(tmp_path / "out.wav", hold="<f9>", repeat=True, sources=player.sources) as recording:
        recording.until_waiting()
        recording.ask(Command.START)
        recording.until_elapsed(0.2)
        recording.session.send(Command.STOP, "hotkey")
        eventually(lambda: len(recording.session.summaries) == 2, "the second file")
        recording.until(State.ARMED)
    second = recording.session.summaries[1]
    assert second.stopped_by == "hotkey"
    assert second.duration_s >= 0.3


def test_a_request_for_the_next_recording_is_answered_although_the_file_is_abandoned(tmp_path: Path) -> None:
    settings = RecordSettings(tmp_path / "out.ogg", screen=None, pattern=True, standby=True)
    core = SessionCore(settings, MonotonicClock(), lambda event: None)
    finishing = Finishing(core)
    finishing.begin()
    now_s = core.clock.now_s()
    answers: list[dict[str, Any]] = []
    core.inbox.put(Request(Command.START, "hotkey", now_s, answer=answers.append))
    for turn in (1, 2):
        core.inbox.put(Request(Command.QUIT, "interrupt", now_s + turn * 2 * INSISTS_AFTER_S))
    let_go = threading.Event()

    def hang() -> None:
        let_go.wait(LIMIT_S)

    try:
        assert not finishing.run(hang, lambda: Progress(State.FINISHING, 0.0, 0), "out.ogg")
        core.inbox.refuse_all("the recorder has ended")
    finally:
        let_go.set()
    assert answers == [{"ok": False, "error": "the recorder has ended"}]
