"""Takes on scripted devices from start to finish: the content of the files."""

from __future__ import annotations

import json
import math
import threading
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from reopened import chapters, each_picture, first_loud_s, pictures, sound
from running import eventually
from takes import Player, Recording, Stage, is_ok, tone

import capture.session.summaries as summaries_module
from capture.clock import Clock, MonotonicClock
from capture.errors import SourceLostError, UsageError
from capture.events import Command, State
from capture.media import SAMPLE_RATE
from capture.recordings.check import check
from capture.settings.audio_tracks import AudioTrack
from capture.sources.pattern import PatternTone, draw_pattern, pattern_tone, read_clock
from capture.sources.scripted import ScriptedFrames, ScriptedSamples
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


def test_the_frames_of_the_summary_are_those_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As if the last frame came right before the last repeat, which is then left out.
    monkeypatch.setattr("capture.output.frame_times.FrameTimes.is_too_near", lambda *_: True)
    path = tmp_path / "out.mp4"
    with Recording(path, video=True, audio=(), duration_s=0.5) as recording:
        summary = recording.finished()
    assert summary.video is not None
    assert summary.video.frames == len(pictures(path).moments_s) > 3


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
