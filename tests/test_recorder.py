"""The Python interface: `record`, and `Recorder` around a block of code."""

from __future__ import annotations

import asyncio
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
import capture.recorder
from capture.events import EventKind, State
from capture.recordings.check import check
from capture.sources.scripted import ScriptedSamples


def test_a_file_is_recorded_in_two_lines(tmp_path: Path) -> None:
    summary = capture.record(str(tmp_path / "talk.mp4"), duration_s=0.5, pattern=True)
    assert (summary.path, summary.check, summary.stopped_by) == (str(tmp_path / "talk.mp4"), "ok", "duration")
    assert check(tmp_path / "talk.mp4").ok


def test_a_format_for_sound_alone_needs_no_screen_setting(tmp_path: Path) -> None:
    assert capture.record(tmp_path / "talk.ogg", duration_s=0.3, pattern=True).video is None


def test_remedies_name_keywords_and_no_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSE_SERVER", "unix:/nonexistent")
    with pytest.raises(capture.NotReadyError, match=r"audio=None$") as caught:
        capture.record(tmp_path / "talk.ogg", duration_s=1)
    assert "--" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("remedy", "keywords"),
    [
        ("start PulseAudio or PipeWire, or use --audio none", "start PulseAudio or PipeWire, or use audio=None"),
        ("use --screen none, or capture headless -- COMMAND", "use screen=None, or capture headless -- COMMAND"),
        ("choose another name, or give --overwrite", "choose another name, or give overwrite=True"),
        ("record without --show-clicks and --show-keys", "record without show_clicks and show_keys"),
        ("give --region WxH+X+Y or --window TITLE instead", "give region='WxH+X+Y' or window='TITLE' instead"),
        ("try another --encoder or --quality", "try another encoder or quality"),
    ],
)
def test_options_become_keywords(remedy: str, keywords: str) -> None:
    assert capture.recorder._as_keywords(remedy) == keywords


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
        assert [clip.path for clip in recorder.clips] == [str(path)]
        with pytest.raises(capture.UsageError, match="exists already"):
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


def test_what_is_refused_says_why(tmp_path: Path) -> None:
    with (
        capture.Recorder(tmp_path / "talk.ogg", pattern=True) as recorder,
        pytest.raises(capture.UsageError, match=r"keeps no replay buffer: .*replay_s"),
    ):
        recorder.save_clip()
    with capture.Recorder(tmp_path / "more.ogg", pattern=True, standby=True, replay_s=5) as recorder:
        with pytest.raises(capture.UsageError, match="is not a valid clip length"):
            recorder.save_clip(last_s=-3)

        def saved() -> bool:
            with suppress(capture.RecordingError):
                return recorder.save_clip().parent == tmp_path
            return False

        eventually(saved, "the first packets")
        with pytest.raises(capture.RecordingError, match="nowhere"):
            recorder.save_clip(tmp_path / "nowhere" / "clip.ogg")


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

    with pytest.raises(capture.SourceLostError) as caught:
        use()
    assert caught.value.summary is recorder.summary
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


def test_a_recorder_records_once(tmp_path: Path) -> None:
    recorder = capture.Recorder(tmp_path / "talk.ogg", pattern=True)
    for _ in range(2):
        for early in (recorder.stop, recorder.mark, recorder.start, recorder.discard, recorder.pause, recorder.resume):
            with pytest.raises(capture.UsageError, match="with statement"):
                early()
    with pytest.raises(capture.UsageError, match="with statement"):
        list(recorder)
    assert (recorder.elapsed_s, recorder.summary, recorder.state) == (0.0, None, State.IDLE)
    with recorder:
        assert recorder.state is State.RECORDING, "what was asked for before has no effect"
        with pytest.raises(capture.UsageError, match="used already"):
            recorder.__enter__()
        eventually(lambda: recorder.elapsed_s > 0.2, "some of it")
    before = (tmp_path / "talk.ogg").read_bytes()
    with pytest.raises(capture.UsageError, match="used already"):
        recorder.__enter__()
    assert (tmp_path / "talk.ogg").read_bytes() == before
    assert check(tmp_path / "talk.ogg").ok


def test_after_the_end_there_is_nothing_to_command(tmp_path: Path) -> None:
    with capture.Recorder(tmp_path / "talk.ogg", pattern=True, duration_s=0.3) as recorder:
        recorder.wait()
        summary = recorder.stop()
        assert summary is not None
        assert summary is recorder.summary is recorder.stop()
        assert (summary.stopped_by, summary.check) == ("duration", "ok")
        assert recorder.elapsed_s == summary.duration_s
        with pytest.raises(capture.UsageError, match="nothing is being recorded"):
            recorder.mark("too late")
        assert [(event.kind, event.detail) for event in recorder] == [("begun", str(tmp_path / "talk.ogg"))]
        assert list(recorder.events()) == []


def test_each_event_is_yielded_once_and_every_iteration_ends(tmp_path: Path) -> None:
    found: list[str] = []
    with capture.Recorder(tmp_path / "talk.ogg", pattern=True) as recorder:
        readers = [threading.Thread(target=lambda: found.extend(event.detail for event in recorder)) for _ in range(3)]
        for reader in readers:
            reader.start()
        names = [f"mark {number}" for number in range(20)]
        for name in names:
            recorder.mark(name)
        recorder.stop()
        for reader in readers:
            reader.join(30)
            assert not reader.is_alive()
    assert sorted(name for name in found if name in names) == sorted(names)


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), SystemExit(3)])
def test_a_listener_that_fails_is_raised_at_the_end(error: BaseException, tmp_path: Path) -> None:
    path = tmp_path / "talk.ogg"
    calls: list[str] = []

    def fail(event: capture.Event) -> None:
        calls.append(event.detail)
        raise error

    recorder = capture.Recorder(path, pattern=True, on_event=fail)

    def use() -> None:
        with recorder:
            recorder.mark("a")
            recorder.mark("b")
            found = [next(recorder.events()).detail for _ in range(3)]
            assert found == [str(path), "a", "b"], "it is not called again, and all else goes on"

    with pytest.raises(type(error)) as caught:
        use()
    assert caught.value is error
    assert calls == [str(path)]
    assert check(path).ok


def failing(name: str, clock: Any) -> ScriptedSamples:
    return ScriptedSamples(name, clock, [], lost_at_s=0.2)


@pytest.mark.parametrize("command", ["stop", "mark"])
def test_a_command_after_a_failure_raises_the_failure(command: str, tmp_path: Path) -> None:
    recorder = capture.Recorder(tmp_path / "talk.ogg", sources=Stage(samples=failing))

    def use() -> None:
        with recorder:
            recorder.wait()
            getattr(recorder, command)()
            raise AssertionError("nothing was raised")

    with pytest.raises(capture.SourceLostError) as caught:
        use()
    assert caught.value.summary is recorder.summary is not None
    assert not hasattr(caught.value, "__notes__")


def test_a_failure_is_noted_on_the_exception_that_leaves_the_block(tmp_path: Path) -> None:
    recorder = capture.Recorder(tmp_path / "talk.ogg", sources=Stage(samples=failing))

    def use() -> None:
        with recorder:
            recorder.wait()
            raise ZeroDivisionError("by zero")

    with pytest.raises(ZeroDivisionError) as caught:
        use()
    (note,) = caught.value.__notes__
    assert note.startswith("the recording failed too: ")


def test_two_recorders_at_once(tmp_path: Path) -> None:
    with (
        capture.Recorder(tmp_path / "a.ogg", pattern=True) as first,
        capture.Recorder(tmp_path / "b.mp4", pattern=True) as second,
    ):
        with pytest.raises(capture.UsageError, match="exists already"):
            capture.Recorder(tmp_path / "a.ogg", pattern=True).__enter__()
        with pytest.raises(capture.UsageError, match="another recorder"):
            capture.Recorder(tmp_path / "b.mp4", pattern=True, overwrite=True).__enter__()
        first.mark("only here")
        eventually(lambda: min(first.elapsed_s, second.elapsed_s) > 0.3, "some of both")
    for recorder, marks in ((first, ["only here"]), (second, [])):
        assert recorder.summary is not None
        assert recorder.summary.check == "ok"
        assert [event.detail for event in recorder.summary.events if event.kind is EventKind.MARK] == marks
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ogg", "b.mp4"]


def test_a_coroutine_that_is_cancelled_keeps_the_recording(tmp_path: Path) -> None:
    async def use(recording: asyncio.Event) -> None:
        with capture.Recorder(tmp_path / "talk.ogg", pattern=True) as recorder:
            await asyncio.to_thread(eventually, lambda: recorder.elapsed_s > 0.2, "some of it")
            recording.set()
            await asyncio.Event().wait()

    async def cancel() -> None:
        recording = asyncio.Event()
        task = asyncio.create_task(use(recording))
        await recording.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert check(tmp_path / "talk.ogg").ok


class Stubborn(capture.PatternTone):
    """Cannot be woken."""

    def wake(self) -> None:
        raise ValueError("odd")


class StubbornFrames(capture.PatternFrames):
    def wake(self) -> None:
        raise ValueError("odd")


def test_sources_that_cannot_be_woken_are_recorded(tmp_path: Path) -> None:
    clock = capture.MonotonicClock()
    sources = capture.GivenSources(StubbornFrames(clock), [Stubborn("a", clock), Stubborn("b", clock)])
    with capture.Recorder(tmp_path / "talk.mkv", audio=["a", "b"], sources=sources) as recorder:
        eventually(lambda: recorder.elapsed_s > 0.3, "some of it")
        recorder.pause()
        recorder.resume()
    assert recorder.summary is not None
    assert recorder.summary.check == "ok"


def test_options_are_typed_as_the_settings_are() -> None:
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
