"""A desk without PulseAudio's daemon: PipeWire takes its place, as private, and what it plays is recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import RunCapture
from programs import path_without_pulseaudio
from reopened import loudness, sound
from running import eventually
from stage import write_tone

from capture.playback.player import choose_player
from capture.playback.playing import Playing
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)


@pytest.fixture
def without_pulseaudio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PATH without PulseAudio's daemon; this process has it too."""
    folder = tmp_path / "bin"
    folder.mkdir()
    path = path_without_pulseaudio(folder)
    monkeypatch.setenv("PATH", path)
    return path


@pytest.fixture
def desk_of_pipewire(without_pulseaudio: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualDesk]:
    # Nothing of it belongs into the user's folders.
    monkeypatch.setenv("HOME", str(tmp_path))
    with VirtualDesk(320, 240, window_manager=False) as desk:
        yield desk


def pactl(desk: VirtualDesk, *arguments: str) -> str:
    done = subprocess.run(
        ["pactl", *arguments],
        env=desk.environment_of(os.environ),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.stdout if done.returncode == 0 else f"pactl failed: {done.stderr}"


def names(desk: VirtualDesk, kind: str) -> list[str]:
    return [line.split("\t")[1] for line in pactl(desk, "list", "short", kind).splitlines()]


def test_pipewire_serves_one_output_and_no_hardware(desk_of_pipewire: VirtualDesk, tmp_path: Path) -> None:
    about = pactl(desk_of_pipewire, "info")
    assert "PipeWire" in about
    assert f"Default Sink: {desk_of_pipewire.sink}\n" in about
    assert f"Default Source: {desk_of_pipewire.sink}.monitor\n" in about
    assert "float32le 2ch 48000Hz" in about
    assert names(desk_of_pipewire, "sinks") == ["desk"]
    assert names(desk_of_pipewire, "sources") == ["desk.monitor"]
    assert names(desk_of_pipewire, "cards") == []
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]


def test_a_busy_machine_does_not_hold_up_the_graph(desk_of_pipewire: VirtualDesk) -> None:
    if not may_be_real_time():
        pytest.skip("this user may not have real-time priority")
    folder = f"XDG_RUNTIME_DIR={desk_of_pipewire.environment['XDG_RUNTIME_DIR']}".encode()
    eventually(lambda: real_time_programs(folder) == {"pipewire", "pipewire-pulse"}, "threads in real time")


def may_be_real_time() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


def real_time_programs(folder: bytes) -> set[str]:
    """Return the names of the programs in this runtime folder of which a thread has real-time priority."""
    found = set()
    for task in Path("/proc").glob("[0-9]*/task/[0-9]*"):
        with suppress(OSError):
            policy = os.sched_getscheduler(int(task.name)) & ~os.SCHED_RESET_ON_FORK
            if policy == os.SCHED_FIFO and folder in (task / "environ").read_bytes():
                found.add((task.parents[1] / "comm").read_text().strip())
    return found


def test_programs_may_add_an_output_and_make_it_the_default(desk_of_pipewire: VirtualDesk) -> None:
    pactl(desk_of_pipewire, "load-module", "module-null-sink", "sink_name=other")
    pactl(desk_of_pipewire, "set-default-sink", "other")
    eventually(lambda: "Default Sink: other\n" in pactl(desk_of_pipewire, "info"), "the new default")


def test_nothing_of_it_outlives_the_desk(without_pulseaudio: str) -> None:
    def running() -> set[str]:
        found = set()
        for process in Path("/proc").iterdir():
            if process.name.isdecimal():
                try:
                    if folder.encode() in (process / "environ").read_bytes():
                        found.add((process / "comm").read_text().strip())
                except OSError:
                    continue
        return found

    with VirtualDesk(320, 240, window_manager=False) as desk:
        folder = desk.environment["XDG_RUNTIME_DIR"]
        assert {"pipewire", "wireplumber", "pipewire-pulse"} <= running()
    assert running() == set()
    assert not Path(folder).exists()


def test_what_plays_on_pipewire_is_recorded(
    without_pulseaudio: str, capture_environment: dict[str, str], run_capture: RunCapture, tmp_path: Path
) -> None:
    capture_environment["PATH"] = without_pulseaudio
    tone = write_tone(tmp_path / "tone.wav", 440.0, 1.0)
    done = run_capture("headless", "out.wav", "--size", "320x240", "--json", "--", "paplay", tone)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["audio"][0]["silent"] is False
    track = sound(tmp_path / "out.wav")
    loud = abs(track.samples) > 0.1
    heard_s = loud.argmax() / track.rate
    assert loudness(track.between(heard_s + 0.1, heard_s + 0.9), 440.0, track.rate) > 0.3


def test_playing_comes_to_its_end_also_after_a_pause(
    desk_of_pipewire: VirtualDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in desk_of_pipewire.environment.items():
        monkeypatch.setenv(name, value)
    # The last 896 samples do not fill a block of PipeWire's.
    playing = Playing(write_tone(tmp_path / "tone.wav", 440.0, 1.0), choose=choose_player)
    playing.start()
    eventually(lambda: playing.position_s > 0.3, "the place")
    playing.pause()
    playing.resume()
    assert playing.wait(30)
    playing.stop()
    assert playing.error is None
    assert playing.reached_end
    assert playing.position_s == pytest.approx(1.0, abs=1e-3)
