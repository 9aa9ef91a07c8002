"""Voice notes and the control of a running take, with real speech, a real sound server, real keys and commands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
import pytest
from callers import Control
from conftest import RunCapture, StartCapture
from reopened import first_loud_s, loudness, probe, sound
from running import eventually, kinds
from stage import Stage, module, pactl, playing, press, write_tone

from benchmarks.notes import LEAD_BOUND_MS, MATCH_BOUND, TAIL_BOUND_MS, Take, at_48k, compare, speak
from capture.errors import CaptureError
from capture.remote import client
from capture.virtual.desk import VirtualDesk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")

RATE: Final = 48_000

TEXT: Final = "Meet me at half past nine."


def say(environment: dict[str, str], path: Path, sink: str) -> None:
    """Play a file and return when it has ended."""
    subprocess.run(["paplay", f"--device={sink}", path], env=environment, check=True, timeout=60)


def compared(spoken: Path, path: Path) -> Take:
    played, recorded = sound(spoken), sound(path)
    return compare(at_48k(played.samples, played.rate), recorded.samples, recorded.rate)


def assert_whole(take: Take) -> None:
    assert 0 <= take.lead_ms <= LEAD_BOUND_MS
    assert 0 <= take.tail_ms <= TAIL_BOUND_MS
    assert take.match >= MATCH_BOUND
    assert take.worst_block > 0.5


# Started by sound, stopped by silence


def test_every_message_becomes_its_own_file(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tmp_path: Path
) -> None:
    output = tmp_path / "note.ogg"
    with start_capture("note", output, "--repeat", "--json") as recorder:
        note = Control(recorder)
        note.until("armed")
        for number in (5, 6):
            spoken = tmp_path / f"{number}.wav"
            path = output if number == 5 else tmp_path / "note (2).ogg"
            speak(spoken, number, TEXT)
            say(capture_environment, spoken, desk.sink)
            recorder.until(lambda path=path: path.exists() and note.state == "armed", "it waits again")  # type: ignore[misc]
            assert_whole(compared(spoken, path))
        assert note.ask("stop")["state"] == "armed"
        recordings = recorder.summary()["recordings"]
    assert [Path(each["path"]).name for each in recordings] == ["note.ogg", "note (2).ogg"]
    assert {(each["stopped_by"], each["check"]) for each in recordings} == {("silence", "ok")}
    assert recordings[0]["audio"][0]["sample_rate"] == 16_000
    stream = probe(output)["streams"][0]
    assert (stream["codec_name"], stream["channels"]) == ("opus", 1)
    assert not list(tmp_path.glob("note (3)*"))


def test_hiss_neither_starts_nor_prolongs_a_note(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tmp_path: Path
) -> None:
    spoken, path = tmp_path / "spoken.wav", tmp_path / "note.ogg"
    speak(spoken, 4, TEXT)
    hiss = write_hiss(tmp_path / "hiss.wav", -45.0)
    with (
        playing(capture_environment, hiss, desk.sink),
        start_capture("note", path, "--json") as recorder,
    ):
        note = Control(recorder)
        note.until("armed")
        say(capture_environment, spoken, desk.sink)
        summary = recorder.summary()
    assert summary["stopped_by"] == "silence"
    assert_whole(compared(spoken, path))


def write_hiss(path: Path, level_dbfs: float) -> Path:
    """Write half a minute of white noise; return `path`."""
    samples = np.random.default_rng(1).normal(0, 10 ** (level_dbfs / 20), 30 * RATE)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None, :], "s16", "mono")
        frame.sample_rate = RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_pause_shorter_than_the_limit_is_kept(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tmp_path: Path
) -> None:
    first, second, both, path = (tmp_path / name for name in ("1.wav", "2.wav", "both.wav", "note.opus"))
    speak(first, 1, TEXT)
    speak(second, 2, TEXT)
    joined = "[0]apad=pad_dur=1.2[a];[a][1]concat=v=0:a=1"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-i", first, "-i", second, "-filter_complex", joined, both], check=True, timeout=60
    )
    with start_capture("note", path, "--json") as recorder:
        Control(recorder).until("armed")
        say(capture_environment, both, desk.sink)
        assert recorder.summary()["stopped_by"] == "silence"
    assert_whole(compared(both, path))


def test_a_video_starts_with_the_sound_and_is_cut_after_it(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tmp_path: Path
) -> None:
    path, tone = tmp_path / "out.mp4", write_tone(tmp_path / "tone.wav", 440, 1.5)
    options = ("--wait-for-sound", "--stop-after-silence", "1s", "--json")
    with start_capture("record", path, *options) as recorder:
        Control(recorder).until("armed")
        say(capture_environment, tone, desk.sink)
        summary = recorder.summary()
    assert (summary["stopped_by"], summary["check"]) == ("silence", "ok")
    track = sound(path)
    loud = np.flatnonzero(np.abs(track.samples) > 0.05)
    assert loud[0] / RATE < LEAD_BOUND_MS / 1e3
    assert track.end_s - loud[-1] / RATE < TAIL_BOUND_MS / 1e3
    assert float(probe(path)["streams"][0]["duration"]) < track.end_s + 0.1


def test_a_finished_note_has_the_requested_loudness(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tmp_path: Path
) -> None:
    path, tone = tmp_path / "out.ogg", write_tone(tmp_path / "tone.wav", 440, 2.0, level=0.05)
    with start_capture("note", path, "--loudness", "-16LUFS", "--json") as recorder:
        Control(recorder).until("armed")
        say(capture_environment, tone, desk.sink)
        summary = recorder.summary()
    assert kinds(summary) == ["loudness"]
    asked = ["ffmpeg", "-nostdin", "-i", str(path), "-af", "ebur128", "-f", "null", "-"]
    measured = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60).stderr
    assert float(measured.rpartition("I:")[2].split()[0]) == pytest.approx(-16.0, abs=0.5)


# Commands


@pytest.fixture
def taking(start_capture: StartCapture, tmp_path: Path) -> Any:
    """A recorder that records what the desk plays into an M4A file."""
    path = tmp_path / "out.m4a"
    with start_capture("record", path, "--json") as recorder:
        note = Control(recorder)
        recorder.until_recording(path)
        note.until("recording")
        yield note, path


def test_a_preview_is_heard_and_not_recorded(
    taking: tuple[Control, Path], capture_environment: dict[str, str], desk: VirtualDesk, tmp_path: Path
) -> None:
    note, path = taking
    say(capture_environment, write_tone(tmp_path / "own.wav", 440, 2.0), desk.sink)
    with pytest.raises(CaptureError, match="pause first"):
        note.ask("preview")
    note.ask("pause")
    note.ask("preview")
    with module(capture_environment, "module-null-sink", "sink_name=elsewhere", "norewinds=1"):
        # The preview is a separate stream on the default output.
        eventually(lambda: "capture" in pactl(capture_environment, "list", "sink-inputs"), "the preview plays")
        heard = listen(capture_environment, f"{desk.sink}.monitor", 0.5)
    assert loudness(heard, 440, RATE) > 0.1
    note.ask("resume")
    say(capture_environment, write_tone(tmp_path / "other.wav", 660, 1.0), desk.sink)
    summary = note.ask("stop")
    assert note.recorder.wait() == 0
    assert summary["paused_s"] > 0.4
    track = sound(path)
    assert any(loudness(track.between(at_s, at_s + 0.1), 660, RATE) > 0.4 for at_s in np.arange(1.5, track.end_s, 0.1))
    # The first tone is over for good, although the preview played it again.
    first_s = first_loud_s(track)
    assert loudness(track.between(first_s + 0.1, first_s + 1.9), 440, RATE) > 0.4
    for at_s in np.arange(first_s + 2.05, track.end_s - 0.1, 0.05):
        assert loudness(track.between(at_s, at_s + 0.1), 440, RATE) < 0.02


def listen(environment: dict[str, str], source: str, duration_s: float) -> Any:
    """Record a source from its first sound on: mono float32 at 48 kHz."""
    command = ["parec", f"--device={source}", "--format=float32le", "--channels=1", f"--rate={RATE}", "--latency=4800"]
    wanted = round(duration_s * RATE)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        heard = np.zeros(0, np.float32)
        while len(heard) < wanted:
            samples = np.frombuffer(process.stdout.read(4096), np.float32)
            heard = np.concatenate((heard, samples)) if len(heard) or np.abs(samples).max() > 0.01 else heard
        process.terminate()
    return heard[:wanted]


def test_marks_become_chapters(taking: tuple[Control, Path]) -> None:
    note, path = taking
    note.ask("mark", "the first")
    note.recorder.until_grown(path)
    note.ask("mark", "second\x1b[31m")
    note.recorder.until_grown(path)
    summary = note.ask("stop")
    marks = [event for event in summary["events"] if event["kind"] == "mark"]
    assert marks[0]["detail"] == "the first"
    assert "\x1b" not in str(marks)
    with av.open(str(path)) as container:
        chapters = container.chapters()
    named = [
        (chapter["metadata"]["title"], float(chapter["start"] * (chapter["time_base"] or 0))) for chapter in chapters
    ]
    expected = [("Beginning", 0.0), *((mark["detail"], mark["at_s"]) for mark in marks)]
    assert [title for title, _ in named] == [title for title, _ in expected]
    assert [at_s for _, at_s in named] == pytest.approx([at_s for _, at_s in expected], abs=0.002)


def test_discard_deletes_the_file_and_says_so(taking: tuple[Control, Path], run_capture: RunCapture) -> None:
    note, path = taking
    done = run_capture("discard")
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout + done.stderr
    assert f"deleted {path}" in done.stdout + done.stderr
    assert not path.exists()
    assert note.recorder.wait() == 0
    assert f"{path} was discarded" in note.recorder.stderr
    assert note.recorder.summary() == {"path": None, "stopped_by": "discard"}


def test_two_recorders_are_addressed_by_name(
    capture_environment: dict[str, str], start_capture: StartCapture, run_capture: RunCapture, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.ogg", tmp_path / "two.ogg"
    folder = Path(capture_environment["XDG_RUNTIME_DIR"], "capture")
    with (
        start_capture("record", one, "--name", "one") as first,
        start_capture("record", two, "--name", "two") as second,
    ):
        eventually(
            lambda: (
                [(found["name"], found["state"]) for found in client.running(folder)]
                == [("one", "recording"), ("two", "recording")]
            ),
            "both record",
        )
        which = run_capture("stop")
        assert which.returncode == 2
        assert "one, two" in which.stderr
        taken = run_capture("record", tmp_path / "three.ogg", "--name", "one", "--duration", "1s")
        assert taken.returncode == 2
        assert not (tmp_path / "three.ogg").exists()
        assert run_capture("stop", "--name", "one").returncode == 0
        assert first.wait() == 0
        assert [found["name"] for found in client.running(folder)] == ["two"]
        assert run_capture("pause").returncode == 0
        assert client.running(folder)[0]["state"] == "paused"
        assert run_capture("stop").returncode == 0
        assert second.wait() == 0
    none = run_capture("pause")
    assert none.returncode == 1
    assert "no recorder is running" in none.stderr


# Keys


HOLD: Final = "<ctrl>+<alt>+space"


def keys(environment: dict[str, str], *orders: str) -> None:
    """Press and release keys: `keydown space`, `key p`."""
    words = [word for order in orders for word in order.split()]
    subprocess.run(["xdotool", *words], env=environment, check=True, timeout=30)


@pytest.fixture
def holding(capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path) -> Any:
    """A recorder that waits for its key and has proved that it receives keys."""
    path = tmp_path / "out.wav"
    with start_capture("record", path, "--hold", HOLD, "--repeat", "--json") as recorder:
        note = Control(recorder)
        note.until("armed")
        note.recorder.until(lambda: hears_keys(capture_environment, note), "it hears keys")
        note.until("armed")
        yield note, path


def hears_keys(environment: dict[str, str], note: Control) -> bool:
    press(environment, "ctrl+alt+r")
    if note.state != "recording":
        return False
    press(environment, "ctrl+alt+x")
    return True


def test_it_records_while_the_key_is_held(
    holding: tuple[Control, Path], capture_environment: dict[str, str], desk: VirtualDesk, tmp_path: Path
) -> None:
    note, path = holding
    long = write_tone(tmp_path / "tone.wav", 440, 30.0)
    with playing(capture_environment, long, desk.sink), Stage(capture_environment) as stage:
        stage.take_focus()
        keys(capture_environment, "keydown ctrl keydown alt keydown space")
        note.until("recording")
        note.recorder.until_grown(path)
        keys(capture_environment, "keyup space keyup alt keyup ctrl")
        note.until("armed")
        keys(capture_environment, "key ctrl+alt+shift+space key space")
        assert stage.typed(1) == " "
        assert note.state == "armed"
    note.ask("stop")
    recordings = note.recorder.summary()["recordings"]
    assert [each["stopped_by"] for each in recordings] == ["hotkey"]
    track = sound(path)
    # It starts with the key press: earlier sound is not in it, and its head is complete.
    assert loudness(track.between(0.0, 0.2), 440, RATE) == pytest.approx(0.5, abs=0.1)


def test_the_pause_key_locks_a_held_recording(
    holding: tuple[Control, Path], capture_environment: dict[str, str]
) -> None:
    note, path = holding
    keys(capture_environment, "keydown ctrl keydown alt keydown space")
    note.until("recording")
    keys(capture_environment, "key p")
    keys(capture_environment, "keyup space keyup alt keyup ctrl")
    note.recorder.until_grown(path)
    assert note.state == "recording"
    press(capture_environment, "ctrl+alt+p")
    note.until("paused")
    press(capture_environment, "ctrl+alt+r")
    note.until("armed")
    note.ask("stop")
    assert [each["check"] for each in note.recorder.summary()["recordings"]] == ["ok"]


def test_an_unknown_key_is_a_usage_error(run_capture: RunCapture, tmp_path: Path) -> None:
    done = run_capture("note", tmp_path / "out.ogg", "--hold", "<ctrl>+<nonsense>")
    assert done.returncode == 2
    assert "nonsense" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert list(tmp_path.glob("out*")) == []
