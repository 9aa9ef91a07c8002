"""Standby and the replay buffer: clips of the last seconds are complete and in sync, and saving them loses nothing."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from buses import bus
from callers import Control
from conftest import RunCapture, StartCapture
from notification_server import NotificationServer
from pattern_clock import clock_offsets_s
from reopened import loudness, pictures, probe, sound
from running import eventually
from stage import Stage, playing, press, write_tone

from capture.recordings.check import check
from capture.virtual.desk import VirtualDesk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")

RATE: Final = 48_000
PATTERN: Final = ("--source", "pattern")

#: A clip starts at most this long before the requested moment, one frame included.
LEAD_S: Final = 2.04


@contextmanager
def waiting(start_capture: StartCapture, *arguments: str | Path, state: str = "standby") -> Iterator[Control]:
    """Run a recorder until the context ends; yield its control client once the recorder is in `state`."""
    with start_capture(*arguments, "--json") as recorder:
        found = Control(recorder)
        found.until(state)
        yield found


def beeps_s(path: Path) -> list[float]:
    """Return when the beeps of the pattern start in a file, in seconds."""
    track = sound(path)
    loud = np.abs(track.samples) > 0.1
    quiet_before = np.convolve(loud, np.ones(RATE // 20), "full")[: len(loud)] - loud < 0.5
    return [track.start_s + place / RATE for place in np.flatnonzero(loud & quiet_before) if place > RATE // 20]


# Clips


def test_clips_of_any_moment_are_complete_and_in_sync(start_capture: StartCapture, tmp_path: Path) -> None:
    asked_s, answered_s, ends_s = [], [], []
    with waiting(start_capture, "replay", "--last", "6s", *PATTERN) as replay:
        replay.until("standby", buffer_s=3.5)
        for number, last_s in enumerate((1.0, 2.3, 3.1)):
            path = tmp_path / f"{number}.mp4"
            asked_s.append(time.monotonic())
            summary = replay.ask("clip", output=str(path), last_s=last_s)
            answered_s.append(time.monotonic())
            assert (summary["path"], summary["stopped_by"], summary["check"]) == (str(path), "clip", "ok")
            assert last_s - 0.05 <= summary["duration_s"] <= last_s + LEAD_S
            assert check(path).ok
            shifts_s = clock_offsets_s(path)
            shift_s = float(np.median(shifts_s))
            # The picture: each frame in its place. Those between key frame and requested start may be shown quickly.
            assert max(abs(each_s - shift_s) for each_s in shifts_s[-20:]) < 0.05
            # The sound: a beep at each whole second of the clock in the picture.
            for beep_s in beeps_s(path):
                assert (beep_s + shift_s + 0.5) % 1.0 - 0.5 == pytest.approx(0.0, abs=0.04)
            ends_s.append(pictures(path).end_s + shift_s)
    # Each clip ends at the moment of its request, which comes between the question and the answer.
    for number, end_s in enumerate(ends_s):
        assert asked_s[number] - answered_s[0] - 0.1 < end_s - ends_s[0] < answered_s[number] - asked_s[0] + 0.1


def test_a_hotkey_saves_a_clip_while_the_user_types(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tmp_path: Path
) -> None:
    tone = write_tone(tmp_path / "tone.wav", 440, 30.0)
    videos = Path(capture_environment["XDG_VIDEOS_DIR"], "Captures")
    before, after = "the quick brown fox jumps ", "over the lazy dog 0123456789"
    with (
        playing(capture_environment, tone, desk.sink),
        waiting(start_capture, "replay", "--last", "20s") as replay,
    ):
        replay.until("standby", buffer_s=1.5)

        # The hotkeys become active a little later than the commands.
        def pressed() -> bool:
            press(capture_environment, "ctrl+alt+c")
            return videos.exists() and any(videos.glob("Capture*.mp4"))

        replay.recorder.until(pressed, "a clip by key")
        with Stage(capture_environment) as stage:
            stage.take_focus()
            for text in (before, after):
                subprocess.run(
                    ["xdotool", "type", "--delay", "1", text], env=capture_environment, check=True, timeout=30
                )
                if text is before:
                    press(capture_environment, "ctrl+alt+c")
            # The recorder gets its hotkey, and the window everything else.
            assert stage.typed(len(before) + len(after)) == f"{before}{after}"
        eventually(lambda: "saved" in replay.recorder.stderr, "the clip is reported")
    for path in sorted(videos.glob("Capture*.mp4"))[:2]:
        assert check(path).ok
        assert loudness(sound(path).between(0.5, 1.0), 440, RATE) > 0.4
        assert probe(path)["streams"][0]["codec_name"] == "h264"


def test_many_clips_saved_at_once_lose_nothing(
    capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    with waiting(start_capture, "replay", "--screen", "none", "--last", "30s", *PATTERN) as replay:
        replay.until("standby", buffer_s=2.0)
        paths = [tmp_path / f"{number}.ogg" for number in range(8)]
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "capture", "clip", path], env=capture_environment, stdout=subprocess.DEVNULL
            )
            for path in paths
        ]
        assert [process.wait(60) for process in processes] == [0] * len(paths)
        replay.until("standby", buffer_s=4.0)
        whole = tmp_path / "whole.ogg"
        replay.ask("clip", output=str(whole))
    for path in (*paths, whole):
        found = beeps_s(path)
        assert np.diff(found) == pytest.approx(np.ones(len(found) - 1), abs=0.002)
    assert len(beeps_s(whole)) >= 3


@pytest.mark.parametrize(
    ("arguments", "name", "kinds"),
    [(("--screen", "none"), "sound.ogg", ["audio"]), (("--audio", "none"), "picture.mp4", ["video"])],
)
def test_clips_of_sound_alone_and_picture_alone(
    arguments: tuple[str, ...], name: str, kinds: list[str], start_capture: StartCapture, tmp_path: Path
) -> None:
    with waiting(start_capture, "replay", *arguments, "--last", "10s", *PATTERN) as replay:
        replay.until("standby", buffer_s=2.0)
        summary = replay.ask("clip", output=str(tmp_path / name), last_s=1.0)
    assert summary["check"] == "ok"
    assert [stream["codec_type"] for stream in probe(tmp_path / name)["streams"]] == kinds


def test_a_clip_that_cannot_be_saved_leaves_the_buffer_intact(
    start_capture: StartCapture, run_capture: RunCapture, tmp_path: Path
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    with waiting(start_capture, "replay", folder / "base.mp4", "--last", "20s", *PATTERN) as replay:
        replay.until("standby", buffer_s=1.5)
        folder.rmdir()
        failed = run_capture("clip")
        assert failed.returncode == 1
        assert str(folder) in failed.stderr
        assert len(failed.stderr.splitlines()) == 1
        kept_s = replay.status["buffer_s"]
        assert kept_s >= 1.5
        folder.mkdir()
        assert run_capture("clip").returncode == 0
        assert check(next(folder.glob("Capture*.mp4"))).ok
        replay.recorder.until_said("the buffer is kept")


def test_a_clip_goes_to_the_fallback_folder_if_its_folder_is_gone(
    start_capture: StartCapture, run_capture: RunCapture, tmp_path: Path
) -> None:
    folder, other = tmp_path / "gone", tmp_path / "other"
    folder.mkdir()
    other.mkdir()
    arguments = ("replay", folder / "base.mp4", "--last", "20s", "--fallback-dir", other, *PATTERN)
    with waiting(start_capture, *arguments) as replay:
        replay.until("standby", buffer_s=1.0)
        folder.rmdir()
        done = run_capture("clip", "--json")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
    assert Path(answer["path"]).parent == other
    assert str(folder) in answer["note"]
    assert check(Path(answer["path"])).ok


def test_the_duration_of_a_replay_buffer_ends_it(run_capture: RunCapture) -> None:
    done = run_capture("replay", "--screen", "none", "--duration", "0.5s", "--json", *PATTERN)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"recordings": []}


def test_a_clip_replaces_a_file_only_when_asked_to(
    start_capture: StartCapture, run_capture: RunCapture, tmp_path: Path
) -> None:
    clip, record = tmp_path / "best.ogg", tmp_path / "take.ogg"
    clip.write_bytes(b"mine")
    with waiting(start_capture, "record", record, "--replay", "9s", *PATTERN, state="recording") as recorder:
        recorder.until("recording", buffer_s=1.0)
        refused = run_capture("clip", clip)
        assert (refused.returncode, clip.read_bytes()) == (2, b"mine")
        assert "give --overwrite" in refused.stderr
        assert run_capture("clip", "-o", clip, "--overwrite", "--log").returncode == 0
        assert check(clip).ok
        assert run_capture("clip", clip, "--overwrite", "--log").returncode == 0
        # The recording that is being written is not replaced.
        own = run_capture("clip", record, "--overwrite")
        assert own.returncode == 2
        assert "is being recorded" in own.stderr
        # What cannot be made so small is said of the clip, not of a scratch file.
        for size, form in (("1KB", "small.ogg"), ("1KB", "small.m4a")):
            small = run_capture("clip", tmp_path / form, "--max-size", size)
            assert small.returncode == 2
            assert small.stderr.startswith(f"capture: {tmp_path / form} does not fit into 1KB: the smallest possible")
        recorder.recorder.stop()
    assert check(record).ok
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".ogg") == ["best.ogg", "take.ogg"]


def test_invalid_clip_requests_are_refused(
    start_capture: StartCapture, run_capture: RunCapture, tmp_path: Path
) -> None:
    without_recorder = run_capture("clip")
    assert without_recorder.returncode == 1
    assert "capture replay" in without_recorder.stderr
    taken = tmp_path / "taken.mp4"
    taken.write_bytes(b"mine")
    with waiting(start_capture, "replay", "--last", "5s", *PATTERN) as replay:
        replay.until("standby", buffer_s=1.0)
        for arguments, words in (
            (("--last", "0"), "zero"),
            (("--last", "-3s"), "-3s"),
            ((taken,), "exists"),
            (("x.nonsense",), "nonsense"),
            (("--max-size", "0"), "zero"),
        ):
            refused = run_capture("clip", *arguments)
            assert refused.returncode == 2, (arguments, refused.stderr)
            assert words in refused.stderr
        assert taken.read_bytes() == b"mine"
        longer = run_capture("clip", tmp_path / "all.mp4", "--last", "1h")
        assert longer.returncode == 0
        assert "but the buffer has only" in longer.stdout + longer.stderr
    with waiting(start_capture, "record", "out.ogg", *PATTERN, state="recording"):
        refused = run_capture("clip")
        assert refused.returncode == 1
        assert "capture replay --last" in refused.stderr


# Recordings


def test_standby_records_repeatedly_and_nothing_in_between(
    start_capture: StartCapture, run_capture: RunCapture, tmp_path: Path
) -> None:
    output = tmp_path / "take.mp4"
    with waiting(start_capture, "standby", output, *PATTERN) as standby:
        paths = [output, tmp_path / "take (2).mp4", tmp_path / "take (3).mp4"]
        for path in paths:
            assert standby.status["buffer_bytes"] == 0
            assert not path.exists()
            assert run_capture("toggle").returncode == 0
            standby.until("recording")
            standby.recorder.until_grown(path)
            stopped = run_capture("stop", "--json")
            assert stopped.returncode == 0
            assert json.loads(stopped.stdout)["path"] == str(path)
            standby.until("standby")
        assert sorted(tmp_path.glob("*.mp4")) == sorted(paths)
        recordings = standby.recorder.stop()["recordings"]
        said = standby.recorder.stderr.splitlines()
    assert [line for line in said if line.startswith("recording /")] == [f"recording {path}" for path in paths]
    assert [each["check"] for each in recordings] == ["ok"] * 3
    for path in paths:
        # The pattern restarts with each recording: nothing from before is in it.
        assert max(map(abs, clock_offsets_s(path))) < 0.04


@pytest.mark.parametrize(
    ("arguments", "waits", "titles"),
    [
        (("standby", "take.ogg", "--screen", "none"), True, ["Recording", "Recording saved"]),
        (("note", "take.ogg", "--hold", "<f9>"), True, ["Recording", "Recording saved"]),
        # It would be in the picture.
        (("standby", "take.mkv"), True, ["Recording saved"]),
        # The user has just typed it.
        (("record", "take.ogg", "--screen", "none", "--replay", "5s"), False, ["Recording saved"]),
    ],
)
def test_a_notification_shows_that_a_command_began_a_recording_of_sound_alone(
    arguments: tuple[str, ...],
    waits: bool,
    titles: list[str],
    capture_environment: dict[str, str],
    start_capture: StartCapture,
    tmp_path: Path,
) -> None:
    (tmp_path / "bus").mkdir()
    path = tmp_path / arguments[1]
    state = "recording" if not waits else "armed" if "--hold" in arguments else "standby"
    with bus(tmp_path / "bus") as address, closing(NotificationServer(address)) as server:
        capture_environment["DBUS_SESSION_BUS_ADDRESS"] = address
        with waiting(start_capture, *arguments, *PATTERN, state=state) as recorder:
            if waits:
                assert recorder.ask("toggle")["state"] == "recording"
            recorder.recorder.until_grown(path)
            recorder.recorder.stop()
        eventually(lambda: len(server.history) >= len(titles), "the notifications")
        shown = [(notice.title, notice.body.partition("  ")[0]) for notice in server.history]
    assert shown == [(title, str(path)) for title in titles]


def test_commands_reach_the_recording_and_the_buffer_without_names(
    start_capture: StartCapture, run_capture: RunCapture, tmp_path: Path
) -> None:
    output, clip = tmp_path / "take.ogg", tmp_path / "clip.ogg"
    replay_arguments = ("replay", "--screen", "none", "--last", "10s", "--name", "replay", *PATTERN)
    with waiting(start_capture, *replay_arguments) as replay:
        # The pause key begins nothing.
        assert run_capture("pause", "--toggle").returncode == 1
        with waiting(start_capture, "record", output, *PATTERN, state="recording") as record:
            record.recorder.until_grown(output)
            assert run_capture("pause", "--toggle").returncode == 0
            assert record.status["state"] == "paused"
            assert run_capture("clip", clip).returncode == 0
            assert run_capture("toggle").returncode == 0
            assert record.recorder.wait() == 0
        again = run_capture("stop")
        assert again.returncode == 2
        assert "to end the replay buffer too, add --all or --name" in again.stderr
        assert replay.status["state"] == "standby"
        assert run_capture("stop", "--name", "replay").returncode == 0
        assert replay.recorder.wait() == 0
    assert check(output).ok
    assert check(clip).ok


def test_a_recording_can_start_from_the_buffer(
    start_capture: StartCapture, run_capture: RunCapture, tmp_path: Path
) -> None:
    output = tmp_path / "take.mkv"
    arguments = ("standby", output, "--replay", "20s", "--pre-roll", "2s", *PATTERN)
    with waiting(start_capture, *arguments) as standby:
        standby.until("standby", buffer_s=3.0)
        assert run_capture("toggle").returncode == 0
        standby.until("recording")
        standby.recorder.until_grown(output, 4)
        summary = standby.ask("stop")
        assert summary["check"] == "ok"
        clip = standby.ask("clip", output=str(tmp_path / "clip.mkv"), last_s=1.0)
        assert clip["check"] == "ok"
        standby.until("standby")
    # Frames from the key frame to the requested start may be shown quickly.
    shifts_s = clock_offsets_s(output)[-20:]
    assert max(shifts_s) - min(shifts_s) < 0.05
    shift_s = float(np.median(shifts_s))
    assert summary["duration_s"] > 2.0
    for beep_s in beeps_s(output):
        assert (beep_s + shift_s + 0.5) % 1.0 - 0.5 == pytest.approx(0.0, abs=0.04)


def test_one_encoder_serves_the_file_and_the_buffer(start_capture: StartCapture, tmp_path: Path) -> None:
    path, clip = tmp_path / "long.mp4", tmp_path / "clip.mp4"
    arguments = ("record", path, "--replay", "10s", *PATTERN)
    with waiting(start_capture, *arguments, state="recording") as recorder:
        recorder.until("recording", buffer_s=4.5)
        assert recorder.ask("clip", output=str(clip), last_s=1.0)["check"] == "ok"
        recorder.recorder.until_grown(path)
        summary = recorder.ask("stop")
    assert summary["check"] == "ok"
    assert summary["duration_s"] > 2.5
    shift_s = float(np.median(clock_offsets_s(clip)))
    assert shift_s > 0.0
    assert abs(float(np.median(clock_offsets_s(path)))) < 0.05
