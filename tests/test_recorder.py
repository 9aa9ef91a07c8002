"""The Python interface: `record`, and `Recorder` around a block of code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from reopened import chapters, pictures, sound
from running import eventually
from takes import Stage

import capture
from capture.events import EventKind, State
from capture.recordings.check import check
from capture.sources.scripted import ScriptedSamples


def test_a_file_is_recorded_in_two_lines(tmp_path: Path) -> None:
    summary = capture.record(str(tmp_path / "talk.mp4"), duration_s=0.5, pattern=True)
    assert (summary.path, summary.check, summary.stopped_by) == (str(tmp_path / "talk.mp4"), "ok", "duration")
    assert check(tmp_path / "talk.mp4").ok


def test_a_format_for_sound_alone_needs_no_screen_setting(tmp_path: Path) -> None:
    assert capture.record(tmp_path / "talk.ogg", duration_s=0.3, pattern=True).video is None


def test_a_block_is_recorded_from_start_to_end(tmp_path: Path) -> None:
    with capture.Recorder(tmp_path / "talk.mkv", pattern=True) as recorder:
        assert recorder.state is State.RECORDING
        assert recorder.summary is None
        eventually(lambda: recorder.elapsed_s > 0.5, "half a second")
        recorder.mark("a")
        eventually(lambda: recorder.elapsed_s > 0.7, "a moment between")
        recorder.mark()
        eventually(lambda: recorder.elapsed_s > 0.9, "a moment after it")
    assert recorder.summary is not None
    assert (recorder.summary.check, recorder.summary.stopped_by) == ("ok", "program")
    assert [title for title, *_ in chapters(tmp_path / "talk.mkv")][-2:] == ["a", "Mark 2"]
    assert sound(tmp_path / "talk.mkv").samples.any()
    assert len(pictures(tmp_path / "talk.mkv").moments_s) > 5


def test_a_pause_is_left_out(tmp_path: Path) -> None:
    with capture.Recorder(tmp_path / "talk.ogg", pattern=True) as recorder:
        eventually(lambda: recorder.elapsed_s > 0.2, "some of it")
        recorder.pause()
        assert recorder.state.value == "paused"
        before_s = recorder.elapsed_s
        recorder.resume()
        assert recorder.state.value == "recording"
        assert recorder.elapsed_s == pytest.approx(before_s, abs=0.2)
    assert recorder.summary is not None
    assert recorder.summary.paused_s > 0


def test_events_are_iterated_until_the_end(tmp_path: Path) -> None:
    heard: list[EventKind] = []
    with capture.Recorder(
        tmp_path / "talk.ogg", pattern=True, duration_s=0.6, on_event=lambda event: heard.append(event.kind)
    ) as recorder:
        recorder.mark("here")
        found = [(event.kind, event.detail) for event in recorder]
    assert (EventKind.MARK, "here") in found
    assert heard == [kind for kind, _ in found]
    assert recorder.summary is not None
    assert recorder.summary.stopped_by == "duration"


def test_a_clip_is_saved_in_standby(tmp_path: Path) -> None:
    with capture.Recorder(tmp_path / "talk.mp4", pattern=True, standby=True, replay_s=10) as recorder:
        assert recorder.state is State.STANDBY
        path = tmp_path / "best.mp4"

        def saved() -> bool:
            # The buffer may still be empty.
            with suppress(capture.RecordingError):
                return recorder.save_clip(path, last_s=5) == path
            return False

        eventually(saved, "a clip")
        with pytest.raises(capture.RecordingError, match="exists already"):
            recorder.save_clip(path)
        recorder.start()
        eventually(lambda: recorder.elapsed_s > 0.3, "some of it")
        stopped = recorder.stop()
        assert stopped is not None
        assert stopped.check == "ok"
    assert check(path).ok
    assert [clip.path for clip in recorder.clips] == [str(path)]
    assert recorder.summaries == (stopped,)


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), KeyboardInterrupt(), SystemExit(1)])
def test_an_exception_in_the_block_keeps_the_recording(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    recorder = capture.Recorder(path, pattern=True)

    def use() -> None:
        with recorder:
            eventually(lambda: recorder.elapsed_s > 0.3, "some of it")
            raise error

    with pytest.raises(type(error)) as caught:
        use()
    assert caught.value is error
    assert check(path).ok
    assert recorder.summary is not None
    assert recorder.summary.duration_s >= 0.3


@pytest.mark.skipif(sys.platform == "win32", reason="only Unix can send SIGINT to one process")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_in_the_block_keeps_the_recording(tmp_path: Path) -> None:
    path = tmp_path / "talk.mp4"
    recorder = capture.Recorder(path, pattern=True)

    def use() -> None:
        with recorder:
            eventually(lambda: recorder.elapsed_s > 0.3, "some of it")
            os.kill(os.getpid(), signal.SIGINT)
            threading.Event().wait(30)

    with pytest.raises(KeyboardInterrupt):
        use()
    assert check(path).ok


def test_a_discarded_recording_leaves_nothing(tmp_path: Path) -> None:
    with capture.Recorder(tmp_path / "talk.mp4", pattern=True) as recorder:
        recorder.discard()
        with pytest.raises(capture.UsageError):
            recorder.mark("too late")
    assert recorder.summary is None
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_gives_the_reason(tmp_path: Path) -> None:
    with capture.Recorder(tmp_path / "talk.ogg", pattern=True) as recorder:
        with pytest.raises(capture.RecordingError, match="keeps no replay buffer"):
            recorder.save_clip()
        with pytest.raises(capture.UsageError, match="-3 s is not a valid clip length"):
            recorder.save_clip(last_s=-3)


def test_a_mistake_is_raised_before_anything_is_touched(tmp_path: Path) -> None:
    with pytest.raises(capture.SettingError, match=r"fps=0 .*from 0\.1 to 240"):
        capture.record(tmp_path / "talk.mp4", fps=0)
    with pytest.raises(capture.UsageError, match="does not exist"):
        capture.Recorder(tmp_path / "nowhere" / "talk.mp4", pattern=True).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_raised_with_the_summary_of_what_was_kept(tmp_path: Path) -> None:
    def make(name: str, clock: Any) -> ScriptedSamples:
        return ScriptedSamples(name, clock, [], lost_at_s=0.4)

    with pytest.raises(capture.SourceLostError) as caught:
        capture.record(tmp_path / "talk.ogg", sources=Stage(samples=make))
    assert caught.value.summary.check == "ok"
    recorder = capture.Recorder(tmp_path / "block.ogg", sources=Stage(samples=make))

    def use() -> None:
        with recorder:
            list(recorder)

    with pytest.raises(capture.SourceLostError):
        use()
    assert recorder.summary is not None
    assert recorder.summary.path == str(tmp_path / "block.ogg")


def test_sources_must_match_the_settings(tmp_path: Path) -> None:
    clock = capture.MonotonicClock()
    tone = capture.PatternTone("tone", clock)
    with pytest.raises(capture.UsageError, match="screen is 'primary', but no frame source was given"):
        capture.record(tmp_path / "talk.mp4", sources=capture.GivenSources(None, [tone]))
    with pytest.raises(capture.UsageError, match="audio asks for 2 tracks, but 1 were given"):
        capture.record(tmp_path / "talk.mkv", screen=None, audio=["a", "b"], sources=capture.GivenSources(None, [tone]))
    frames = capture.PatternFrames(clock)
    with pytest.raises(capture.UsageError, match="screen is None, but a frame source was given"):
        capture.record(tmp_path / "talk.mkv", screen=None, sources=capture.GivenSources(frames, [tone]))
    assert list(tmp_path.iterdir()) == []


def test_given_sources_are_recorded(tmp_path: Path) -> None:
    clock = capture.MonotonicClock()
    sources = capture.GivenSources(
        capture.PatternFrames(clock), [[capture.PatternTone("a", clock), capture.PatternTone("b", clock)]]
    )
    summary = capture.record(tmp_path / "talk.mkv", audio="a+b", duration_s=0.6, sources=sources)
    assert summary.check == "ok"
    assert [track.source for track in summary.audio] == ["a+b"]
    assert summary.video is not None


def test_setting_options_has_every_field_of_the_settings() -> None:
    from dataclasses import fields

    from capture.settings.record_settings import RecordSettings, SettingOptions

    named = {field.name for field in fields(RecordSettings) if field.init}
    assert set(SettingOptions.__annotations__) == named - {"output"}


def test_check_and_repair_are_public(tmp_path: Path) -> None:
    path = str(tmp_path / "talk.mp4")
    capture.record(path, duration_s=0.3, pattern=True)
    assert capture.check(path).ok
    assert capture.repair(path).was_needed is False
    assert capture.__version__.count(".") == 2
