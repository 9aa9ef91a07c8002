"""Takes from a replay buffer that goes on after them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from disks import fill, small_disk
from reopened import pictures, sound
from takes import LIMIT_S, Player, Recording, Stage, StandbyRecording, blocked_check, is_ok, tone

import capture.session.clip_summary as clips_module
from capture.errors import DiskFullError, OutputError, SourceLostError
from capture.events import Command
from capture.output.muxer import Muxer
from capture.pipeline.frame_grabber import FrameGrabber
from capture.recordings.check import check
from capture.sources.scripted import ScriptedBlock, ScriptedSamples


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
