"""Takes on scripted devices from start to finish: the content of the files, and the answer to every command."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import numpy as np
import pytest
from disks import fill, small_disk
from reopened import chapters, each_picture, first_loud_s, pictures, sound
from running import eventually
from takes import LIMIT_S, Player, Recording, Stage, StandbyRecording, is_ok, tone

import capture.playback.preview as preview_module
import capture.session.clip_summary as clips_module
import capture.session.summaries as summaries_module
from capture.clock import Clock, MonotonicClock
from capture.errors import DiskFullError, NotReadyError, OutputError, SourceLostError, UsageError
from capture.events import Command, Progress, State
from capture.media import SAMPLE_RATE
from capture.output.muxer import Muxer
from capture.pipeline.frame_grabber import FrameGrabber
from capture.recordings.check import check
from capture.settings.audio_tracks import AudioTrack
from capture.sources.pattern import PatternTone, draw_pattern, pattern_tone, read_clock
from capture.sources.scripted import ScriptedBlock, ScriptedFrames, ScriptedSamples
from capture.timing.timeline import Timeline
from capture.triggers.sound import LEAD_S, TAIL_S

#: How far a start or an end may be off.
TOLERANCE_S: Final = 0.015

#: Files end with a whole packet; packets of uncompressed sound are the longest.
PACKET_S: Final = 0.12


# Started and stopped by sound


@pytest.mark.parametrize("extension", ["wav", "ogg", "m4a"])
def test_a_take_lasts_from_just_before_the_first_sound_to_just_after_the_last(
    extension: str, player: Player, tmp_path: Path
) -> None:
    path = tmp_path / f"out.{extension}"
    with Recording(path, wait_for_sound=True, stop_after_silence_s=0.4, sources=player.sources) as recording:
        recording.until_waiting()
        player.go_on_for(0.5)
        player.play(tone(0.3))
        summary = recording.finished()
    track = sound(path)
    assert first_loud_s(track) == pytest.approx(LEAD_S, abs=TOLERANCE_S)
    assert track.end_s == pytest.approx(LEAD_S + 0.3 + TAIL_S, abs=PACKET_S)
    assert (summary.stopped_by, summary.check) == ("silence", "ok")


def test_the_silence_that_stops_a_video_is_cut_off(player: Player, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with Recording(
        path, video=True, wait_for_sound=True, stop_after_silence_s=0.8, sources=player.sources
    ) as recording:
        recording.until_waiting()
        player.go_on_for(0.4)
        player.play(tone(0.5))
        summary = recording.finished()
    assert summary.check == "ok"
    assert recording.events("not_improved") == []
    assert first_loud_s(sound(path)) == pytest.approx(LEAD_S, abs=0.025)
    end_s = LEAD_S + 0.5 + TAIL_S
    assert sound(path).end_s == pytest.approx(end_s, abs=0.05)
    assert pictures(path).end_s == pytest.approx(end_s, abs=0.05)
    assert list(tmp_path.iterdir()) == [path]


def test_each_recording_gets_its_own_file(player: Player, tmp_path: Path) -> None:
    with Recording(
        tmp_path / "note.wav", wait_for_sound=True, stop_after_silence_s=0.3, repeat=True, sources=player.sources
    ) as recording:
        for count in range(3):
            recording.until(State.ARMED)
            player.go_on_for(0.4)
            player.play(tone(0.25))
            eventually(lambda count=count: len(recording.session.summaries) > count, "a file")  # type: ignore[misc]
        recording.until(State.ARMED)
        assert is_ok(recording.ask(Command.QUIT))
        recording.join()
    names = ["note.wav", "note (2).wav", "note (3).wav"]
    assert [Path(summary.path).name for summary in recording.session.summaries] == names
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    for name in names:
        track = sound(tmp_path / name)
        assert first_loud_s(track) == pytest.approx(LEAD_S, abs=TOLERANCE_S)
        assert track.end_s == pytest.approx(LEAD_S + 0.25 + TAIL_S, abs=PACKET_S)


def test_silence_during_a_pause_does_not_count(player: Player, tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    clock = MonotonicClock()
    with Recording(path, wait_for_sound=True, stop_after_silence_s=0.6, sources=player.sources) as recording:
        recording.until_waiting()
        player.go_on_for(0.4)
        player.play(tone(0.3))
        recording.until(State.RECORDING)
        player.play(tone(0.3))
        assert is_ok(recording.ask(Command.PAUSE))
        player.go_on_for(1.5)
        assert recording.session.state is State.PAUSED
        resumed_at_s = clock.now_s()
        assert recording.ask(Command.RESUME)["state"] == "recording"
        summary = recording.finished()
        assert clock.now_s() >= resumed_at_s + 0.6
    assert summary.stopped_by == "silence"
    assert summary.check == "ok"


def test_a_take_without_any_sound_is_not_cut(player: Player, tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    with Recording(path, stop_after_silence_s=0.5, sources=player.sources) as recording:
        summary = recording.finished()
    assert summary.stopped_by == "silence"
    assert 0.5 - TOLERANCE_S < sound(path).end_s < 0.5 + PACKET_S


# Answers


ENDING: Final = (Command.STOP, Command.QUIT, Command.TOGGLE, Command.DISCARD)
OTHERS: Final = tuple(command for command in Command if command not in ENDING)


@contextmanager
def blocked_check(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Block the check of finished files in `module` until the context ends; yield an event set once it is reached."""
    begun, let_go = threading.Event(), threading.Event()

    def block(path: Path, **more: Any) -> Any:
        begun.set()
        let_go.wait()
        return check(path, **more)

    monkeypatch.setattr(module, "check", block)
    try:
        yield begun
    finally:
        let_go.set()


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
    with Recording(tmp_path / "out.wav", sources=player.sources) as recording:
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
    assert wanted_s - 0.02 < summary.duration_s < wanted_s + 1.0
    recording.check_answers()


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


# Marks


@pytest.mark.parametrize("extension", ["mp4", "mkv", "webm"])
def test_marks_become_chapters(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"out.{extension}"
    with Recording(path, video=True) as recording:
        recording.until(State.RECORDING)
        recording.until_elapsed(0.3)
        recording.ask(Command.MARK, "Ähem\n\x1b[2J")
        recording.until_elapsed(0.6)
        # During a pause both marks fall on the same moment.
        recording.ask(Command.PAUSE)
        recording.ask(Command.MARK)
        recording.ask(Command.MARK, " last ")
        recording.ask(Command.RESUME)
        recording.until_elapsed(0.9)
        recording.ask(Command.STOP)
        summary = recording.finished()
    assert summary.check == "ok"
    marks = [event for event in summary.events if event.kind == "mark"]
    assert [mark.detail for mark in marks] == ["Ähem  [2J", "Mark 2", "last"]
    found = chapters(path)
    assert [title for title, _, _ in found] == ["Beginning", "Ähem  [2J", "Mark 2, last"]
    starts_s = [0.0, *(mark.at_s for mark in marks[:2])]
    assert [start_s for _, start_s, _ in found] == pytest.approx(starts_s, abs=0.002)
    assert [end_s for _, _, end_s in found[:-1]] == pytest.approx(starts_s[1:], abs=0.002)
    assert found[-1][2] == pytest.approx(summary.duration_s, abs=0.05)


def test_marks_that_arrive_out_of_order_become_ordered_chapters(player: Player, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    clock = MonotonicClock()
    with Recording(path, sources=player.sources) as recording:
        recording.until(State.RECORDING)
        recording.until_elapsed(0.5)
        now_s = clock.now_s()
        recording.send(Command.MARK, "later", at_s=now_s - 0.1)
        recording.send(Command.MARK, "earlier", at_s=now_s - 0.2)
        recording.ask(Command.STOP)
        assert recording.finished().check == "ok"
    found = chapters(path)
    assert [title for title, _, _ in found] == ["Beginning", "earlier", "later"]
    assert all(start_s < end_s for _, start_s, end_s in found)


# Names


def test_a_waiting_recording_reserves_its_name(player: Player, tmp_path: Path) -> None:
    path = tmp_path / "out.ogg"
    with Recording(path, wait_for_sound=True, sources=player.sources) as recording:
        recording.until_waiting()
        assert path.exists()
        with Recording(path, wait_for_sound=True, sources=player.sources) as second:
            second.join()
        assert isinstance(second.raised, UsageError)
        assert path.exists()
    assert list(tmp_path.iterdir()) == []


def test_the_old_file_comes_back_when_nothing_is_recorded(player: Player, tmp_path: Path) -> None:
    path = tmp_path / "out.ogg"
    path.write_bytes(b"old")
    with Recording(path, wait_for_sound=True, overwrite=True, sources=player.sources) as recording:
        recording.until_waiting()
        assert path.read_bytes() == b""
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


# Failures


def test_a_source_lost_while_the_session_waits_ends_it(tmp_path: Path) -> None:
    sources = Stage(samples=lambda name, clock: ScriptedSamples(name, clock, [], lost_at_s=0.2))
    with Recording(tmp_path / "out.ogg", wait_for_sound=True, sources=sources) as recording:
        assert recording.join() is None
    assert isinstance(recording.session.error, SourceLostError)
    assert recording.session.state is State.FAILED
    assert len(recording.events("device_lost")) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_source_lost_while_a_take_is_finished_ends_the_session(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = threading.Event()

    class Losing(ScriptedSamples):
        def read(self, until_s: float) -> Any:
            if lost.is_set():
                raise SourceLostError("the scripted device is gone")
            return super().read(until_s)

    sources = Stage(samples=lambda name, clock: Losing(name, clock, player.blocks()))

    def lose(path: Path, **more: Any) -> Any:
        lost.set()
        eventually(lambda: recording.session._devices.sounds[0][0].grabber._closed, "the end of the device")
        return check(path, **more)

    monkeypatch.setattr(summaries_module, "check", lose)
    with Recording(tmp_path / "out.ogg", hold="<f9>", repeat=True, sources=sources) as recording:
        recording.until_waiting()
        recording.ask(Command.START)
        recording.until_elapsed(0.2)
        recording.ask(Command.STOP)
        recording.join()
    assert isinstance(recording.session.error, SourceLostError)
    assert check(tmp_path / "out.ogg").ok


def test_a_finished_file_stays_even_if_the_check_fails(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out.ogg"
    path.write_bytes(b"old")

    def fail(path: Path, **_: Any) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(summaries_module, "check", fail)
    with Recording(path, overwrite=True, sources=player.sources) as recording:
        recording.until(State.RECORDING)
        recording.until_elapsed(0.3)
        recording.send(Command.STOP)
        recording.join()
    assert isinstance(recording.raised, ZeroDivisionError)
    assert check(path).ok
    assert list(tmp_path.iterdir()) == [path]
    recording.check_answers()


@pytest.mark.parametrize("error", [UsageError("no"), ZeroDivisionError("by zero")])
def test_a_file_stays_as_recorded_if_normalising_fails(
    error: Exception, player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, target_lufs: float) -> None:
        raise error

    monkeypatch.setattr("capture.recordings.loudness.normalise", fail)
    path = tmp_path / "out.ogg"
    with Recording(path, loudness_lufs=-16.0, sources=player.sources) as recording:
        recording.until(State.RECORDING)
        recording.until_elapsed(0.3)
        recording.send(Command.STOP)
        summary = recording.finished()
    assert summary.check == "ok"
    assert len(recording.events("not_improved")) == 1
    assert check(path).ok


def test_the_take_has_the_requested_loudness(player: Player, tmp_path: Path) -> None:
    from capture.recordings.loudness import measure

    path = tmp_path / "out.wav"
    player.play(tone(1.5, level=0.03))
    with Recording(path, loudness_lufs=-20.0, duration_s=1.2, sources=player.sources) as recording:
        summary = recording.finished()
    (loudness,) = measure(path)
    assert loudness.integrated_lufs == pytest.approx(-20.0, abs=0.5)
    (event,) = [event for event in summary.events if event.kind == "loudness"]
    assert event.at_s <= summary.duration_s + 0.01
    assert "-20.0 LUFS" in json.dumps(summary.as_json())


# Takes from a shared replay buffer


@pytest.mark.parametrize("ending", [Command.STOP, Command.TOGGLE, Command.DISCARD])
def test_the_buffer_goes_on_after_a_take_that_ends_in_a_pause(ending: Command, player: Player, tmp_path: Path) -> None:
    with StandbyRecording(tmp_path / "out.wav", sources=player.sources) as recording:
        recording.until_kept(0.3)
        assert is_ok(recording.ask(Command.START))
        recording.until_elapsed(0.3)
        assert recording.ask(Command.PAUSE)["state"] == "paused"
        assert is_ok(recording.ask(ending))
        kept_s = recording.ask(Command.STATUS)["buffer_s"]
        recording.until_kept(kept_s + 0.3)
        assert is_ok(recording.ask(Command.START))
        recording.until_elapsed(0.4)
        answer = recording.ask(Command.STOP)
        assert (answer["check"], answer["paused_s"]) == ("ok", 0.0)
        assert answer["duration_s"] >= 0.4
    recording.check_answers()


@pytest.mark.parametrize("error", [OutputError("no room"), ZeroDivisionError("by zero")])
def test_a_take_that_cannot_start_ends_the_session(
    error: Exception, player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: Muxer, *_: Any, **more: Any) -> None:
        raise error

    with StandbyRecording(tmp_path / "out.ogg", sources=player.sources) as recording:
        recording.until_kept(0.3)
        monkeypatch.setattr(Muxer, "start", fail)
        assert "no room" in recording.ask(Command.START)["error"] or isinstance(error, ZeroDivisionError)
        recording.join()
    assert recording.raised is error
    assert recording.session._core.feed is not None
    assert recording.session._core.feed.tee._writers == []
    recording.check_answers()
    assert list(tmp_path.iterdir()) == []


def test_a_write_error_names_the_file_and_the_pending_clip_is_saved(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clip = tmp_path / "out.wav", tmp_path / "clip.wav"
    write = Muxer.write
    fails = threading.Event()

    def fail(self: Muxer, stream: int, packet: Any, *more: float) -> bool:
        if self.path == path and fails.is_set():
            raise OutputError(f"{path} cannot be written on", "free some space")
        return write(self, stream, packet, *more)

    monkeypatch.setattr(Muxer, "write", fail)
    with StandbyRecording(path, sources=player.sources) as recording:
        recording.until_kept(0.3)
        recording.ask(Command.START)
        recording.until_elapsed(0.3)
        saved: list[dict[str, Any]] = []
        fails.set()
        recording.session.send(Command.CLIP, "test", answer=saved.append, options={"output": str(clip)})
        summary = recording.join()
    assert saved[0]["check"] == "ok"
    assert check(clip).ok
    assert summary is not None
    assert (summary.path, summary.stopped_by) == (str(path), "failed")
    assert str(path) in str(recording.session.error)
    recording.check_answers()


def test_a_full_disk_ends_the_take_but_not_the_buffer(player: Player, tmp_path: Path) -> None:
    with small_disk(tmp_path, 6_000_000) as place:
        elsewhere = tmp_path / "clip.wav"
        with StandbyRecording(place / "out.wav", sources=player.sources) as recording:
            recording.until_kept(0.3)
            assert is_ok(recording.ask(Command.START))
            recording.until_elapsed(0.3)
            filler = fill(place)
            recording.until_kept(0.6)
            (first,) = recording.session.summaries
            assert (first.stopped_by, first.check) == ("disk_full", "ok")
            assert check(Path(first.path)).ok
            refused = recording.ask(Command.START)
            assert "free at least" in refused["error"]
            recording.until_kept(0.9)
            recording.session.send(Command.CLIP, "test", options={"output": str(elsewhere)})
            filler.unlink()
            assert is_ok(recording.ask(Command.START))
            recording.until_elapsed(0.3)
            assert recording.ask(Command.STOP)["check"] == "ok"
        assert check(elsewhere).duration_s > 0.8
        assert isinstance(recording.session.error, DiskFullError)
        first, second = recording.session.summaries
        assert "disk_full" in [event.kind for event in first.events]
        assert second.stopped_by == "stop"
        assert "disk_full" not in [event.kind for event in second.events]
        assert recording.events("buffer_lost") == []
    recording.check_answers()


def test_a_lost_source_ends_a_session_with_a_buffer(tmp_path: Path) -> None:
    sources = Stage(samples=lambda name, clock: ScriptedSamples(name, clock, [], lost_at_s=0.5))
    with StandbyRecording(tmp_path / "out.ogg", sources=sources) as recording:
        assert recording.join() is None
    assert isinstance(recording.session.error, SourceLostError)
    assert list(tmp_path.iterdir()) == []


def test_sound_from_a_source_without_data_is_as_long_as_the_picture(tmp_path: Path) -> None:
    sources = Stage(samples=lambda name, clock: ScriptedSamples(name, clock, []))
    with StandbyRecording(tmp_path / "out.mkv", video=True, sources=sources) as recording:
        recording.until_kept(1.0)
        clip = recording.ask(Command.CLIP)
        recording.ask(Command.START)
        recording.until_elapsed(0.5)
        take = recording.ask(Command.STOP)
        for answer in (clip, take):
            assert answer["check"] == "ok"
            path = Path(answer["path"])
            assert sound(path).end_s == pytest.approx(pictures(path).end_s, abs=0.3)
    recording.check_answers()


def test_a_recording_without_anything_in_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.mp4"
    # The thread does not get to run before the end.
    monkeypatch.setattr(FrameGrabber, "run", lambda grabber: None)
    with Recording(path, video=True, audio=(), duration_s=0.05) as recording:
        assert recording.join() is None
    assert recording.session.error is not None
    assert str(recording.session.error) == "nothing was recorded: record for longer"
    assert recording.session.error.exit_code == 1
    assert not path.exists()


def test_a_discard_without_a_take_does_not_end_the_session(player: Player, tmp_path: Path) -> None:
    with StandbyRecording(tmp_path / "out.wav", sources=player.sources) as recording:
        recording.until_kept(0.3)
        assert not recording.ask(Command.DISCARD)["ok"]
        recording.session.send(Command.DISCARD, "hotkey")
        recording.until_kept(0.5)
    recording.check_answers()


def test_each_take_has_its_own_statistics(tmp_path: Path) -> None:
    # Loud sound, then a hole, then quiet sound.
    before = [ScriptedBlock(tone(0.02, 0.8), place * 0.02) for place in range(20)]
    after = [ScriptedBlock(tone(0.02, 0.1), 1.4 + place * 0.02) for place in range(2_000)]
    sources = Stage(samples=lambda name, clock: ScriptedSamples(name, clock, [*before, *after]))
    with StandbyRecording(tmp_path / "out.mkv", video=True, screen="primary", sources=sources) as recording:
        recording.until_kept(3.0)
        recording.ask(Command.START)
        recording.until_elapsed(0.5)
        answer = recording.ask(Command.STOP)
        (audio,) = answer["audio"]
        assert audio["inserted_silence_s"] == 0.0
        assert audio["peak_dbfs"] == pytest.approx(-20.0, abs=1.0)
        assert answer["video"]["frames"] == len(pictures(tmp_path / "out.mkv").moments_s)
    recording.check_answers()


def test_commands_while_the_last_clip_is_saved_are_answered(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StandbyRecording(tmp_path / "out.wav", sources=player.sources) as recording:
        with blocked_check(clips_module, monkeypatch) as saving:
            recording.until_kept(0.3)
            saved = recording.send(Command.CLIP)
            assert saving.wait(LIMIT_S)
            assert is_ok(recording.ask(Command.QUIT))
            assert is_ok(recording.ask(Command.STATUS))
            assert "shutting down" in recording.ask(Command.CLIP)["error"]
            assert saved == []
        recording.join()
    assert saved[0]["check"] == "ok"
    recording.check_answers()


# Pauses


def test_picture_and_sound_stay_in_sync_over_a_hundred_pauses(tmp_path: Path) -> None:
    fps, changes_per_s, media_s = 30, 15, 2.4
    script = [(n / changes_per_s, draw_pattern(n / changes_per_s, 320, 180)) for n in range(12 * changes_per_s)]
    screens: list[ScriptedFrames] = []

    def make_frames(clock: Clock) -> ScriptedFrames:
        screens.append(ScriptedFrames(clock, script))
        return screens[0]

    sources = Stage(frames=make_frames, samples=PatternTone)
    path = tmp_path / "out.mkv"
    random = np.random.default_rng(5)
    clock = MonotonicClock()
    never = threading.Event()
    tracks = (AudioTrack(("one",)), AudioTrack(("two",)))
    with Recording(path, video=True, audio=tracks, duration_s=media_s, sources=sources) as recording:
        recording.until(State.RECORDING)
        take = recording.session._core.take
        assert take is not None
        timeline = Timeline(take.timeline.epoch_s)
        pauses = 0
        # A busy machine does not get through all of them.
        while pauses < 100 and timeline.media_s(clock.now_s()) < media_s - 0.4:
            for command, note in ((Command.PAUSE, timeline.pause), (Command.RESUME, timeline.resume)):
                clock.wait_until(clock.now_s() + float(random.uniform(0.002, 0.025)), never)
                at_s = clock.now_s()
                recording.send(command, at_s=at_s)
                note(at_s)
            pauses += 1
        summary = recording.finished()
    recording.check_answers()
    assert (summary.check, summary.stopped_by) == ("ok", "duration")
    stopped_at_s = timeline.epoch_s + media_s + timeline.paused_s(math.inf)
    assert summary.paused_s == pytest.approx(timeline.paused_s(stopped_at_s), abs=0.001)
    assert [sound(path, number).end_s for number in (0, 1)] == pytest.approx([media_s] * 2, abs=0.02)
    # Matroska counts whole milliseconds.
    assert media_s - 1 / fps - 0.002 < pictures(path).moments_s[-1] <= media_s
    # The picture: each frame shows the clock at its own time.
    for number, (at_s, picture) in enumerate(each_picture(path)):
        late_s = at_s - timeline.media_s(timeline.epoch_s + read_clock(picture) / 1000)
        # The first frame is placed at the start, even if it was grabbed later.
        assert late_s < 0.5
        assert late_s >= -0.002 or number == 0
    # The sound: exactly what was played outside the pauses.
    index = np.arange(round((stopped_at_s - timeline.epoch_s) * SAMPLE_RATE))
    heard = pattern_tone(0, len(index))[:, 0]
    kept = np.ones(len(index), bool)
    for from_s, to_s in timeline.pauses():
        kept[round((from_s - timeline.epoch_s) * SAMPLE_RATE) : round((to_s - timeline.epoch_s) * SAMPLE_RATE)] = False
    expected = envelope(heard[kept])
    for number in (0, 1):
        found = envelope(sound(path, number).samples)[: len(expected)]
        assert np.mean(np.abs(found - expected[: len(found)]) > 0.1) < 0.1


def envelope(samples: Any) -> Any:
    """Return the peak of every 10 ms."""
    count = len(samples) // 480
    return np.abs(samples[: count * 480]).reshape(count, 480).max(axis=1)
