"""Silence is explained: what is muted or turned down is named, and a voice note still begins.

And a sound server is found without the environment of a desktop.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from callers import Control
from conftest import PROJECT, StartCapture
from reopened import loudness, probe, sound
from running import LIMIT_S, Recorder, eventually
from stage import module, pactl, playing, streams, write_tone

from capture.media import peak_dbfs
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

LEVEL_DBFS: Final = -12.0
WITHIN_DB: Final = 1.0

#: A voice note hears this for three quarters of a second.
BEEP_S: Final = 0.75


@pytest.fixture
def desk(temporary_folder: Path) -> Iterator[VirtualDesk]:
    """A desk of the test's own: its volume is changed."""
    assert temporary_folder.is_dir()
    with VirtualDesk(320, 240, window_manager=False) as opened:
        yield opened


@pytest.fixture
def tone(tmp_path: Path) -> Path:
    return write_tone(tmp_path / "tone.wav", 440.0, 60.0, 10 ** (LEVEL_DBFS / 20))


def details(summary: Mapping[str, Any], kind: str) -> list[str]:
    return [event["detail"] for event in summary["events"] if event["kind"] == kind]


def stop_after(recorder: Recorder, path: Path, seconds: float) -> dict[str, Any]:
    """Stop a recording into a stereo WAV file once it has this length; return its summary."""
    recorder.until(lambda: path.exists() and path.stat().st_size > seconds * 192_000, f"{seconds} s")
    return recorder.stop()


def last_peak_dbfs(path: Path) -> float:
    """Return the peak of the last half second but a tenth."""
    track = sound(path)
    return peak_dbfs(float(abs(track.between(track.end_s - 0.6, track.end_s - 0.1)).max()))


def test_muting_a_recording_does_not_mute_the_next_one(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tone: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first.wav", tmp_path / "second.wav"
    with (
        module(capture_environment, "module-stream-restore"),
        playing(capture_environment, tone, desk.sink),
    ):
        eventually(lambda: streams(capture_environment), "the tone plays")
        with start_capture("record", first, "--json") as recorder:
            recorder.until_recording(first)
            (line,) = pactl(capture_environment, "list", "short", "source-outputs").splitlines()
            pactl(capture_environment, "set-source-output-mute", line.split()[0], "1")
            recorder.until_said("capture's own stream is muted")
            summary = stop_after(recorder, first, 2.0)
        assert details(summary, "volume") == ["internal: capture's own stream is muted"]
        with start_capture("record", second, "--json") as recorder:
            summary = stop_after(recorder, second, 1.0)
    assert details(summary, "volume") == []
    assert last_peak_dbfs(second) == pytest.approx(LEVEL_DBFS, abs=WITHIN_DB)


def test_a_muted_output_is_named_at_once_after_five_seconds_and_at_the_end(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tone: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.wav"
    pactl(capture_environment, "set-sink-mute", desk.sink, "1")
    with (
        playing(capture_environment, tone, desk.sink),
        start_capture("record", path, "--json") as recorder,
    ):
        recorder.until_said("internal: Virtual desk is muted")
        summary = stop_after(recorder, path, 6.0)
        said = recorder.stderr
    assert details(summary, "volume") == details(summary, "silent") == ["internal: Virtual desk is muted"]
    assert summary["audio"][0]["silent"] is True
    assert summary["audio"][0]["silent_because"] == "Virtual desk is muted"
    assert "the track internal is silent: Virtual desk is muted\n" in said


def test_an_output_that_is_turned_down_is_named(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tone: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.wav"
    pactl(capture_environment, "set-sink-volume", desk.sink, "10%")
    with (
        playing(capture_environment, tone, desk.sink),
        start_capture("record", path, "--json") as recorder,
    ):
        summary = stop_after(recorder, path, 1.0)
    assert details(summary, "volume") == ["internal: Virtual desk is at 10 %"]
    assert "silent_because" not in summary["audio"][0]


def test_a_note_begins_on_an_output_that_is_turned_down(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tmp_path: Path
) -> None:
    path, beep = tmp_path / "note.ogg", write_tone(tmp_path / "beep.wav", 440.0, BEEP_S, 10 ** (-9 / 20))
    pactl(capture_environment, "set-sink-volume", desk.sink, "20%")
    with start_capture("note", path, "--json") as recorder:
        Control(recorder).until("armed")
        recorder.until_said("internal: Virtual desk is at 20 %")
        subprocess.run(["paplay", beep], env=capture_environment, check=True, timeout=LIMIT_S)
        summary = recorder.summary()
    assert (summary["stopped_by"], summary["check"]) == ("silence", "ok")
    assert BEEP_S < summary["duration_s"] < BEEP_S + 0.5


def test_a_note_that_waits_in_vain_says_what_is_muted(
    capture_environment: dict[str, str], start_capture: StartCapture, desk: VirtualDesk, tmp_path: Path
) -> None:
    pactl(capture_environment, "set-sink-mute", desk.sink, "1")
    with start_capture("note", tmp_path / "note.ogg", "--json") as recorder:
        recorder.until_said("internal: Virtual desk is muted")


# Channels


def test_a_mono_default_that_becomes_stereo_is_stereo_from_then_on(
    capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    path = tmp_path / "out.wav"
    first, second = write_left_tone(tmp_path / "1.wav", 660.0), write_left_tone(tmp_path / "2.wav", 440.0)
    sink = ("module-null-sink", "norewinds=1", "rate=48000")
    with (
        module(capture_environment, *sink, "sink_name=one", "channels=1", "channel_map=mono"),
        module(capture_environment, *sink, "sink_name=two", "sink_properties=device.description=Two"),
        playing(capture_environment, first, "one"),
        playing(capture_environment, second, "two"),
    ):
        eventually(lambda: len(streams(capture_environment)) == 2, "both play")
        pactl(capture_environment, "set-default-sink", "one")
        with start_capture("record", path, "--json") as recorder:
            recorder.until(lambda: path.exists() and path.stat().st_size > 192_000, "a second of mono")
            pactl(capture_environment, "set-default-sink", "two")
            recorder.until_said("internal: now Two")
            summary = stop_after(recorder, path, path.stat().st_size / 192_000 + 2.0)
    assert probe(path)["streams"][0]["channels"] == 2
    (changed_s,) = [event["at_s"] for event in summary["events"] if event["kind"] == "device_changed"]
    samples, rate = read_stereo(path)
    before, after = samples[rate // 2 : round(changed_s * rate) - rate // 2], samples[-rate : -rate // 10]
    # Both sides of the mono output are the same.
    assert np.array_equal(before[:, 0], before[:, 1])
    assert abs(before).max() > 0.1
    # The server may have moved the first tone to the new default.
    assert peak_dbfs(loudness(after[:, 0], 440.0, rate)) == pytest.approx(LEVEL_DBFS, abs=WITHIN_DB)
    assert abs(after[:, 1]).max() == 0.0


def write_left_tone(path: Path, hz: float) -> Path:
    """Write a minute of a sine of `hz` in the left channel and nothing in the right one; return `path`."""
    times_s = np.arange(60 * 48_000) / 48_000
    samples = np.zeros((len(times_s), 2), "<i2")
    samples[:, 0] = np.rint(32767 * 10 ** (LEVEL_DBFS / 20) * np.sin(2 * np.pi * hz * times_s))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48_000)
        file.writeframes(samples.tobytes())
    return path


def read_stereo(path: Path) -> tuple[np.ndarray[Any, Any], int]:
    """Return the samples of a WAV file, float64 (n, 2) with full scale at ±1, and its rate."""
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        return samples / 32767, file.getframerate()


# Without the environment of a desktop


@pytest.fixture
def runtime_folders(desk: VirtualDesk, tmp_path: Path) -> Path:
    """A folder in place of /run/user; the desk's sound server is in that of this user."""
    folders = tmp_path / "run"
    own = folders / str(os.getuid()) / "pulse"
    own.mkdir(parents=True)
    (own / "native").symlink_to(desk.environment["PULSE_SERVER"].removeprefix("unix:"))
    return folders


def bare(tmp_path: Path, **more: str) -> dict[str, str]:
    """Return the environment of a job of cron.

    Without XDG_RUNTIME_DIR, libpulse makes a folder in TMPDIR and a link to it in the home.
    """
    (tmp_path / "home").mkdir(exist_ok=True)
    return {"HOME": str(tmp_path / "home"), "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), **more}


def call(runtime_folders: Path, environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `capture` with `runtime_folders` in place of /run/user."""
    code = (
        "import sys; from pathlib import Path\n"
        "from capture.sources.pulse import loop; loop.RUNTIME_FOLDERS = Path(sys.argv[1])\n"
        "from capture.cli.main import main; sys.exit(main(sys.argv[2:]))"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(runtime_folders), *arguments],
        env=dict(environment),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_a_job_of_cron_finds_the_sound_server_in_the_runtime_folder(
    runtime_folders: Path, desk_environment: dict[str, str], desk: VirtualDesk, tone: Path, tmp_path: Path
) -> None:
    path = tmp_path / "out.wav"
    with playing(desk_environment, tone, desk.sink):
        eventually(lambda: streams(desk_environment), "the tone plays")
        done = call(runtime_folders, bare(tmp_path), "record", str(path), "--duration", "1s", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["audio"][0]["device"] == "Virtual desk"
    assert last_peak_dbfs(path) == pytest.approx(LEVEL_DBFS, abs=WITHIN_DB)


def test_the_runtime_folder_of_another_user_is_passed_over(runtime_folders: Path, tmp_path: Path) -> None:
    # As after `su`. Only root can give a folder away; everyone sees /proc/1, which belongs to root.
    if os.getuid() == 0:
        others = tmp_path / "others"
        others.mkdir(mode=0o700)
        os.chown(others, 65534, 65534)
    else:
        others = Path("/proc/1")
    done = call(runtime_folders, bare(tmp_path, XDG_RUNTIME_DIR=str(others)), "devices", "--json")
    assert [device["id"] for device in json.loads(done.stdout)["audio"]] == ["desk.monitor"]


@pytest.mark.parametrize("named", ["PULSE_SERVER", "PULSE_RUNTIME_PATH", "XDG_RUNTIME_DIR"])
@pytest.mark.usefixtures("runtime_folders")
def test_a_server_that_the_environment_names_is_never_replaced(named: str, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    done = call(tmp_path / "run", bare(tmp_path, **{named: str(elsewhere)}), "devices", "--json")
    assert json.loads(done.stdout)["audio"] == []
    assert "no sound server answers" in done.stderr


def test_without_any_server_it_is_not_ready(tmp_path: Path) -> None:
    done = call(tmp_path, bare(tmp_path), "record", str(tmp_path / "out.wav"), "--duration", "1s")
    assert done.returncode == 3
    assert "no sound server answers" in done.stderr
    assert not (tmp_path / "out.wav").exists()
