"""Clips saved from a running feed: folders, file names, answers and events. No devices."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from takes import Player, Stage, StandbyRecording

import capture.session.clip_saver as clips_module
from capture.codecs.audio_encoder import AudioEncoder
from capture.events import Command, Event, Request, Summary
from capture.media import SAMPLE_RATE
from capture.output.muxer import Muxer
from capture.pipeline.feed import Feed
from capture.recordings.animation_report import report_animation
from capture.recordings.check import check
from capture.replay.buffer import ReplayBuffer
from capture.replay.clip import Clip
from capture.replay.clip_writer import save
from capture.replay.packets import ReplayTrack
from capture.session.clip_saver import ClipSaver
from capture.settings.audio_tracks import AudioTrack
from capture.settings.record_settings import RecordSettings
from capture.sources.scripted import ScriptedSamples
from capture.timing.timeline import Timeline

LIMIT_S = 30.0
KEPT_S = 3.0


class Saving:
    """A clip saver, and a feed whose replay buffer holds three seconds of a tone."""

    def __init__(self, folder: Path, **more: Any) -> None:
        self.emitted: list[Event | Summary] = []
        settings = RecordSettings(folder / "out.ogg", screen=None, replay_s=10.0, **more)
        self.saver = ClipSaver(settings, self.emitted.append)
        encoder = AudioEncoder("opus", 2)
        buffer = ReplayBuffer(10.0, 1 << 30, [ReplayTrack.of(encoder.template)])
        times_s = np.arange(round(KEPT_S * SAMPLE_RATE)) / SAMPLE_RATE
        wave = np.repeat(0.3 * np.sin(2 * np.pi * 440 * times_s)[:, None], 2, axis=1)
        buffer.add(0, encoder.encode(wave.astype(np.float32)))
        pipeline = SimpleNamespace(
            timeline=Timeline(0.0),
            video_between=lambda *_: None,
            audio_between=lambda *_: (),
        )
        self.feed = cast(
            Feed, SimpleNamespace(buffer=buffer, pipeline=pipeline, ledger=None, catch_up=lambda media_s: None)
        )

    def ask(self, count: int = 1, **options: Any) -> list[dict[str, Any]]:
        """Save `count` clips at once and return the answers."""
        answers: list[dict[str, Any]] = []
        for _ in range(count):
            self.saver.save(self.feed, Request(Command.CLIP, "test", KEPT_S, answer=answers.append, options=options))
        self.saver.close()
        return answers


def test_clips_saved_in_the_same_second_get_different_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    monkeypatch.setattr(clips_module, "_now", lambda: moment)
    # Every saver sees that the name is free before the first one takes it.
    together = threading.Barrier(4)

    def meet_and_save(clip: Clip, path: Path, **more: Any) -> float:
        if "(" not in path.name:
            together.wait(LIMIT_S)
        return save(clip, path, **more)

    monkeypatch.setattr(clips_module, "save", meet_and_save)
    saving = Saving(tmp_path)
    answers = saving.ask(4)
    assert [answer.get("error") for answer in answers] == [None] * 4
    name = "Capture 2026-01-02 03.04.05"
    names = {f"{name}.ogg", *(f"{name} ({number}).ogg" for number in (2, 3, 4))}
    assert {path.name for path in tmp_path.iterdir()} == {Path(answer["path"]).name for answer in answers} == names
    assert all(check(path).ok for path in tmp_path.iterdir())


def test_a_clip_is_transcoded_on_file_systems_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    saving = Saving(tmp_path)
    path = tmp_path / "clip.m4a"
    (answer,) = saving.ask(output=str(path))
    assert (answer.get("error"), answer.get("path")) == (None, str(path))
    assert check(path).ok
    assert list(tmp_path.iterdir()) == [path]
    (again,) = saving.ask(output=str(path))
    assert "exists" in again["error"]
    assert again["exit_code"] == 2


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [
        ({"output": "/nowhere/at/all/clip.ogg"}, 1),
        ({"output": "clip.ogg"}, 2),
        ({"output": "/nowhere/a\0b.ogg"}, 2),
        ({"last_s": 10**400}, 2),
        ({"nonsense": 1}, 2),
    ],
)
def test_a_clip_that_cannot_be_saved_gets_one_answer_of_one_line(
    options: dict[str, Any], exit_code: int, tmp_path: Path
) -> None:
    saving = Saving(tmp_path)
    (answer,) = saving.ask(**options)
    assert answer["ok"] is False
    assert answer["exit_code"] == exit_code
    assert answer["error"].isprintable()
    assert [event.kind for event in saving.emitted if isinstance(event, Event)] == ["clip_failed"]
    assert list(tmp_path.iterdir()) == []
    (saved,) = saving.ask()
    assert saved["ok"]


def test_a_clip_that_fails_midway_is_removed_and_saved_in_the_fallback_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, place = tmp_path / "other", tmp_path / "place"
    other.mkdir()
    place.mkdir()
    write = Muxer.write
    written: list[Fraction] = []

    def fill_up(self: Any, stream: int, packet: Any, *more: float) -> bool:
        written.append(packet.time_base)
        if place in self.path.parents and len(written) > 20:
            raise OSError(28, "No space left on device")
        return write(self, stream, packet, *more)

    monkeypatch.setattr(Muxer, "write", fill_up)
    saving = Saving(place, fallback_folder=other)
    (answer,) = saving.ask()
    assert Path(answer["path"]).parent == other
    assert str(place) in answer["note"]
    assert list(place.iterdir()) == []
    assert check(Path(answer["path"])).ok


@pytest.mark.parametrize(("max_bytes", "shrinks"), [(20_000, True), (50_000_000, False)])
def test_a_clip_that_was_shrunk_says_so_and_gives_its_own_size(max_bytes: int, shrinks: bool, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with StandbyRecording(tmp_path / "out.mp4", video=True) as recording:
        recording.until_kept(2.0)
        done: list[dict[str, Any]] = []
        options = {"output": str(path), "max_bytes": max_bytes}
        recording.session.send(Command.CLIP, "test", answer=done.append, options=options)
        recording.until_answered(lambda _: done != [])
        # Nothing is converted any more.
        assert recording.ask(Command.STATUS)["clip_done"] == 0.0
    (answer,) = done
    picture = next(stream for stream in check(path).streams if stream.kind == "video")
    assert (answer["video"]["width"], answer["video"]["height"]) == (picture.width, picture.height)
    note = f"shrunk to {picture.width}x{picture.height} to fit 20KB"
    assert answer["note"] == (note if shrinks else "")
    assert [event.detail for event in recording.events("clip")] == ([note] if shrinks else [])


@pytest.mark.parametrize(
    ("recorded", "saved", "codecs", "encoder"),
    [
        ("mp4", "gif", ("gif", []), "gif"),
        ("mp4", "webp", ("webp", []), "libwebp_anim"),
        # Two tracks are recorded; this holds one.
        ("mp4", "ogg", (None, ["opus"]), None),
        ("webm", "mp4", ("h264", ["aac", "aac"]), "libx264"),
        ("mkv", "mkv", ("h264", ["opus", "opus"]), "libx264"),
    ],
)
def test_the_summary_of_a_clip_describes_its_file(
    recorded: str, saved: str, codecs: tuple[str | None, list[str]], encoder: str | None, tmp_path: Path
) -> None:
    path = tmp_path / f"clip.{saved}"
    tracks = (AudioTrack(("one",)), AudioTrack(("two",)))
    sources = Stage(samples=lambda name, clock: ScriptedSamples(name, clock, Player().blocks()))
    with StandbyRecording(tmp_path / f"out.{recorded}", video=True, audio=tracks, sources=sources) as recording:
        recording.until_kept(1.0)
        done: list[dict[str, Any]] = []
        recording.session.send(Command.CLIP, "test", answer=done.append, options={"output": str(path)})
        recording.until_answered(lambda _: done != [])
    (answer,) = done
    assert answer["ok"], answer
    picture, sounds = answer["video"], answer["audio"]
    assert (picture and picture["codec"], [track["codec"] for track in sounds]) == codecs
    assert (answer["container"], answer["size_bytes"]) == (saved, path.stat().st_size)
    is_animation = saved in ("gif", "webp")
    length_s = (report_animation(path) if is_animation else check(path)).duration_s
    assert answer["duration_s"] == pytest.approx(length_s, abs=0.1)
    assert answer["duration_s"] > 0.1
    if picture is not None:
        assert picture["encoder"] == encoder
        streams = [report_animation(path)] if is_animation else check(path).streams
        assert (picture["width"], picture["height"]) == (streams[0].width, streams[0].height)
        assert picture["frames"] == streams[0].frames
