"""Events of a take in its summary and its ledger: pauses, marks, gaps, dropped slots. No devices."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import RunCapture
from reopened import ledger_lines, sound
from takes import Player, Recording, Stage, StandbyRecording, is_ok, tone

from capture.events import Command, Event, EventKind, State, Summary
from capture.media import Pixels
from capture.output.naming import ledger_of
from capture.pipeline.pipeline import Pipeline
from capture.sources.scripted import ScriptedBlock, ScriptedFrames, ScriptedSamples

pytestmark = pytest.mark.usefixtures("undisturbed")


def event_lines(summary: Summary) -> list[dict[str, Any]]:
    return [event.as_json() for event in summary.events]


def between_ends(path: Path, recording: Path, stopped_by: str) -> list[dict[str, Any]]:
    """Check the first and last line of a ledger and return those between.

    Of lines that update the same event, only the last is returned.
    """
    first, *found, last = ledger_lines(path)
    assert first == {"at_s": 0.0, "kind": "begun", "detail": str(recording)}
    assert (last["kind"], last["detail"]) == ("ended", stopped_by)
    latest = {(line["at_s"], line["kind"], line["detail"]): line for line in found}
    return list(latest.values())


def test_pauses_and_marks_are_in_the_summary_and_the_ledger(player: Player, tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    with Recording(path, ledger=True, sources=player.sources) as recording:
        recording.until(State.RECORDING)
        recording.until_elapsed(0.3)
        assert is_ok(recording.ask(Command.MARK, "here"))
        paused = recording.ask(Command.PAUSE)
        recording.ask(Command.MARK)
        resumed = recording.ask(Command.RESUME)
        recording.until_elapsed(paused["elapsed_s"] + 0.3)
        recording.ask(Command.PAUSE)
        recording.ask(Command.STOP)
        summary = recording.finished()
    kinds = [event.kind for event in summary.events]
    # The recording ends in the second pause.
    assert kinds == ["mark", "pause", "mark", "resume", "pause"]
    first, second, third, fourth, fifth = summary.events
    assert first.detail == "here"
    assert second.at_s == third.at_s == fourth.at_s == pytest.approx(paused["elapsed_s"], abs=0.001)
    assert fourth.detail == f"after {resumed['paused_s']:.3f} s"
    assert fifth.at_s == pytest.approx(summary.duration_s, abs=0.03)
    assert summary.ledger == str(ledger_of(path))
    assert summary.as_json()["ledger"] == summary.ledger
    assert between_ends(ledger_of(path), path, "stop") == event_lines(summary)
    assert ledger_of(path).stat().st_mode & 0o777 == 0o600


def with_gaps() -> Iterator[ScriptedBlock]:
    """Yield no data for 0.4 s, then sound with a hole of 0.2 s, no data for 1.5 s, and sound again."""
    for from_s, to_s in ((0.4, 0.8), (1.0, 1.6), (3.1, 30.0)):
        for place in range(round(from_s * 50), round(to_s * 50)):
            yield ScriptedBlock(tone(0.02), place / 50)


def test_missing_sound_is_reported_where_it_is_missing(tmp_path: Path) -> None:
    sources = Stage(samples=lambda name, clock: ScriptedSamples(name, clock, with_gaps()))
    path = tmp_path / "out.wav"
    with Recording(path, ledger=True, duration_s=3.6, sources=sources) as recording:
        summary = recording.finished()
    # A thread that does not get to run while no data comes finds a hole afterwards; test_sound_track.py steps both.
    assert {event.kind for event in summary.events} <= {"no_data", "hole"}
    found = [(round(event.at_s, 2), round(event.end_s, 2)) for event in summary.events]
    assert found == [(0.0, 0.4), (0.8, 1.0), (1.6, 3.1)]
    (audio,) = summary.audio
    assert audio.inserted_silence_s == pytest.approx(sum(e.end_s - e.at_s for e in summary.events), abs=0.01)
    # The file is silent in the same places.
    silent = np.abs(sound(path).samples.reshape(-1, 480)).max(axis=1) == 0
    expected = np.zeros(len(silent), bool)
    for event in summary.events:
        expected[round(event.at_s * 100) : round(event.end_s * 100)] = True
    assert np.count_nonzero(silent != expected) <= 2 * len(summary.events)
    assert between_ends(ledger_of(path), path, "duration") == event_lines(summary)
    begun, *others = [event for event in recording.emitted if isinstance(event, Event)]
    assert begun.kind == "begun"
    latest = {event.at_s: event for event in others}
    assert tuple(latest.values()) == summary.events


def test_every_dropped_slot_is_counted_in_an_event(tmp_path: Path) -> None:
    still: Pixels = np.zeros((48, 64, 4), np.uint8)
    # The screen changes all the time, except for 1.5 s in the middle, and a grab takes several slots.
    changes = [(slot / 30, still) for slot in (*range(30), *range(75, 300))]

    sources = Stage(frames=lambda clock: ScriptedFrames(clock, changes, grab_s=0.12))
    with Recording(
        tmp_path / "out.mkv", video=True, audio=(), duration_s=3.5, ledger=True, sources=sources
    ) as recording:
        summary = recording.finished()
    assert summary.video is not None
    assert summary.video.dropped > 20
    runs = [event for event in summary.events if event.kind == "dropped"]
    assert sum(run.count for run in runs) == summary.video.dropped
    assert len(runs) == 2
    assert runs[0].end_s < 2.0 < 2.4 < runs[1].at_s
    found = [line for line in ledger_lines(ledger_of(tmp_path / "out.mkv")) if line["kind"] == "dropped"]
    assert found[-1] == runs[-1].as_json()


def test_slots_dropped_while_the_take_still_begins_are_in_an_event(
    monkeypatch: pytest.MonkeyPatch, player: Player, tmp_path: Path
) -> None:
    begin = Pipeline.begin

    def report_at_once(pipeline: Pipeline, *arguments: float) -> None:
        begin(pipeline, *arguments)
        pipeline._record_event(lost)

    lost = Event(EventKind.DROPPED, 0.1, "the machine was too slow", 0.2, 3)
    monkeypatch.setattr(Pipeline, "begin", report_at_once)
    with Recording(tmp_path / "out.wav", duration_s=0.5, sources=player.sources) as recording:
        summary = recording.finished()
    assert summary.events == (lost,)


def test_what_happens_before_a_take_from_the_buffer_is_not_in_it(player: Player, tmp_path: Path) -> None:
    with StandbyRecording(tmp_path / "out.wav", sources=player.sources) as recording:
        recording.until_kept(0.3)
        feed = recording.session._core.feed
        assert feed is not None
        feed.pipeline._record_event(Event(EventKind.DROPPED, 0.1, "the machine was too slow", 0.2, 3))
        recording.ask(Command.START)
        take = recording.ask(Command.STOP)
    assert take["events"] == []


def test_a_clip_reports_the_events_within_it(tmp_path: Path) -> None:
    before = [ScriptedBlock(tone(0.02), place * 0.02) for place in range(20)]
    after = [ScriptedBlock(tone(0.02), 0.7 + place * 0.02) for place in range(2_000)]
    sources = Stage(samples=lambda name, clock: ScriptedSamples(name, clock, [*before, *after]))
    clip, short = tmp_path / "clip.ogg", tmp_path / "short.ogg"
    with StandbyRecording(tmp_path / "out.ogg", ledger=True, sources=sources) as recording:
        recording.until_kept(1.5)
        answers = []
        for path, last_s in ((clip, 20.0), (short, 0.3)):
            done: list[dict[str, Any]] = []
            options = {"output": str(path), "last_s": last_s}
            recording.session.send(Command.CLIP, "test", answer=done.append, options=options)
            recording.until_answered(lambda answer, done=done: done != [])  # type: ignore[misc]
            answers += done
        # This recording starts now: the hole came before it.
        assert is_ok(recording.ask(Command.START))
        recording.until_elapsed(0.2)
        take = recording.ask(Command.STOP)
    whole, part = answers
    (hole,) = whole["events"]
    assert hole["kind"] == "hole"
    assert (hole["at_s"], hole["to_s"]) == pytest.approx((0.4, 0.7), abs=0.03)
    assert part["events"] == take["events"] == []
    assert whole["ledger"] == str(ledger_of(clip))
    assert between_ends(ledger_of(clip), clip, "clip") == whole["events"]
    assert between_ends(ledger_of(short), short, "clip") == []
    assert between_ends(Path(take["ledger"]), Path(take["path"]), "stop") == []


def test_a_clip_has_the_events_of_a_take_but_for_those_of_its_file(player: Player, tmp_path: Path) -> None:
    settings = {"pre_roll_s": 20.0, "voice": True, "sources": player.sources}
    with StandbyRecording(tmp_path / "out.ogg", **settings) as recording:
        recording.until_kept(0.3)
        recording.ask(Command.START)
        marked = recording.ask(Command.MARK, "here")
        # At the very end, a mark begins no chapter.
        recording.until_elapsed(marked["elapsed_s"] + 0.1)
        take = recording.ask(Command.STOP)
        clip = recording.ask(Command.CLIP)
    assert [event["kind"] for event in take["events"]] == ["mark", "chapters"]
    assert take["events"][1]["detail"].startswith("a voice note holds no chapters: ")
    # It says this of itself, in a note.
    assert [event["kind"] for event in clip["events"]] == ["mark"]
    assert clip["note"].startswith("a voice note holds no chapters: ")


def test_a_take_from_the_buffer_reports_the_events_of_its_past(tmp_path: Path) -> None:
    before = [ScriptedBlock(tone(0.02), place * 0.02) for place in range(20)]
    after = [ScriptedBlock(tone(0.02), 0.7 + place * 0.02) for place in range(2_000)]
    sources = Stage(samples=lambda name, clock: ScriptedSamples(name, clock, [*before, *after]))
    with StandbyRecording(tmp_path / "out.wav", pre_roll_s=20.0, sources=sources) as recording:
        recording.until_kept(1.2)
        recording.ask(Command.START)
        recording.ask(Command.MARK, "begun")
        take = recording.ask(Command.STOP)
        clip = recording.ask(Command.CLIP)
    hole, mark = take["events"]
    assert (hole["kind"], hole["at_s"]) == ("hole", pytest.approx(0.4, abs=0.03))
    assert mark["at_s"] >= 1.2
    # The clip has the mark of the recording too: it falls within the buffered time.
    assert [event["kind"] for event in clip["events"]] == ["hole", "mark"]
    assert clip["events"][1]["at_s"] == pytest.approx(mark["at_s"], abs=0.03)


@pytest.mark.parametrize("ending", [Command.STOP, Command.DISCARD])
def test_a_ledger_is_kept_or_discarded_with_its_recording(ending: Command, player: Player, tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    path.write_bytes(b"old")
    ledger_of(path).write_text("old")
    with Recording(path, ledger=True, overwrite=True, sources=player.sources) as recording:
        recording.until(State.RECORDING)
        recording.until_elapsed(0.2)
        recording.ask(ending)
        recording.join()
    assert {each.name for each in tmp_path.iterdir()} == {"out.wav", "out.wav.ledger.jsonl"}
    assert (ledger_of(path).read_text() == "old") is (ending is Command.DISCARD)


def test_a_ledger_that_fails_does_not_harm_the_recording(
    player: Player, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int, event: Event) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("capture.output.ledger_file._write", fail)
    path = tmp_path / "out.wav"
    with Recording(path, ledger=True, duration_s=0.5, sources=player.sources) as recording:
        summary = recording.finished()
    assert (summary.check, recording.session.error) == ("ok", None)
    (event,) = summary.events
    assert event.kind == "no_ledger"
    assert "No space left on device" in event.detail


def test_the_ledger_option_writes_a_ledger(run_capture: RunCapture, tmp_path: Path) -> None:
    arguments = ("record", "out.ogg", "--source", "pattern", "--duration", "0.3s", "--log", "--json")
    done = run_capture(*arguments)
    assert done.returncode == 0, done.stderr
    path = Path(json.loads(done.stdout)["path"])
    assert json.loads(done.stdout)["ledger"] == str(ledger_of(path))
    assert between_ends(ledger_of(path), path, "duration") == []
    path.unlink()
    again = run_capture(*arguments)
    assert again.returncode == 2
    assert again.stderr.startswith("capture: out.ogg.ledger.jsonl exists already: ")
    assert not path.exists()
