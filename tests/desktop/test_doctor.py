"""`capture doctor`: checks whether a recording will work, and gives a remedy for each problem."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from running import eventually
from servers import MICROPHONE, microphone
from stage import RATE, pactl, playing, playing_raw, write_tone

from capture.cli.main import main
from capture.config.store import change
from capture.events import Command
from capture.triggers.hotkeys import Hotkeys
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: Calls `capture doctor --json` in this process. Returns the exit code and the checks, keyed by name.
Doctor = Callable[[], tuple[int, dict[str, dict[str, Any]]]]


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Doctor:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_VIDEOS_DIR", str(tmp_path / "Videos"))

    def call() -> tuple[int, dict[str, dict[str, Any]]]:
        exit_code = main(["doctor", "--json"])
        said = capsys.readouterr()
        assert said.err == ""
        assert said.out.count("\n") == 1
        found = json.loads(said.out)
        assert list(found) == ["ready", "checks"]
        checks = {check["name"]: check for check in found["checks"]}
        assert len(checks) == len(found["checks"])
        for check in checks.values():
            assert list(check) == ["name", "ok", "found", "remedy"]
            # Exactly the failed checks have a remedy.
            assert check["ok"] is (check["remedy"] == "")
            assert check["found"]
        assert found["ready"] is all(check["ok"] for check in checks.values())
        assert exit_code == (0 if found["ready"] else 3)
        # Nothing was recorded and no folder was created.
        assert not (tmp_path / "Videos").exists()
        return exit_code, checks

    return call


@pytest.mark.usefixtures("in_process_desk")
def test_a_desk_is_ready(doctor: Doctor, tmp_path: Path) -> None:
    exit_code, checks = doctor()
    assert exit_code == 0
    assert list(checks) == [
        *("display", "encoder", "sound server", "internal audio", "sound arrives", "microphone"),
        *("recordings folder", "hotkeys"),
    ]
    assert "1280x720+0+0" in checks["display"]["found"]
    assert checks["encoder"]["found"] == "libx264"
    assert checks["internal audio"]["found"] == "Virtual desk, at 100 %"
    assert checks["sound arrives"]["found"] == "yes; nothing is playing now"
    assert checks["microphone"]["found"] == "none: --audio mic would have nothing to record"
    assert str(tmp_path / "Videos") in checks["recordings folder"]["found"]
    assert "Ctrl+Alt+R" in checks["hotkeys"]["found"]


def test_the_level_of_a_playing_sound_is_reported(doctor: Doctor, sound_desk: VirtualDesk, tmp_path: Path) -> None:
    tone = write_tone(tmp_path / "tone.wav", 440.0, 60.0)
    with playing(os.environ, tone, sound_desk.sink):
        eventually(lambda: pactl(os.environ, "list", "short", "sink-inputs"), "the player has begun")
        eventually(lambda: doctor()[1]["sound arrives"]["found"] == "yes, at -7 dB", "the tone is heard")


def test_bad_samples_do_not_upset_the_doctor(doctor: Doctor, sound_desk: VirtualDesk, tmp_path: Path) -> None:
    raw = tmp_path / "bad.raw"
    raw.write_bytes(np.array([1e30, np.inf, np.nan, -np.inf] * RATE * 60, np.float32).tobytes())
    with playing_raw(os.environ, raw, sound_desk.sink):
        eventually(lambda: pactl(os.environ, "list", "short", "sink-inputs"), "the player has begun")
        eventually(lambda: doctor()[1]["sound arrives"]["found"] == "yes, at 18 dB", "the bad samples are heard")


@pytest.mark.usefixtures("in_process_desk")
def test_a_missing_display_is_reported(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY")
    exit_code, checks = doctor()
    assert exit_code == 3
    assert "no display" in checks["display"]["found"]
    assert "headless" in checks["display"]["remedy"]
    # Hotkeys are a convenience: nothing depends on them.
    assert checks["hotkeys"]["ok"]
    assert "not available" in checks["hotkeys"]["found"]
    assert checks["sound arrives"]["ok"]


@pytest.mark.usefixtures("in_process_desk")
def test_wayland_is_reported(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    exit_code, checks = doctor()
    assert exit_code == 3
    assert "Wayland" in checks["display"]["found"]
    assert "capture headless" in checks["display"]["remedy"]
    assert checks["hotkeys"]["ok"]
    assert "not available on Wayland (there is no session bus); bind Ctrl+Alt+R" in checks["hotkeys"]["found"]


@pytest.mark.usefixtures("in_process_desk")
def test_hotkeys_of_another_program_are_reported_as_not_available(doctor: Doctor) -> None:
    others = Hotkeys()
    others.start(lambda command, given_by, **more: None)
    try:
        exit_code, checks = doctor()
    finally:
        others.stop()
    assert exit_code == 0
    assert checks["hotkeys"]["found"].startswith("not available (another program uses Ctrl+Alt+R, ")


@pytest.mark.usefixtures("in_process_desk")
@pytest.mark.parametrize(
    ("taken", "found"),
    [
        (
            "<ctrl>+<alt>+m",
            "F10 starts and stops a recording; another program uses Ctrl+Alt+M: choose other keys with capture config",
        ),
        ("<f10>", "another program uses F10: choose other keys with capture config"),
        ("<f12>", "F10 starts and stops a recording"),
    ],
)
def test_the_hotkeys_that_the_user_set_are_tried(
    taken: str, found: str, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    change("hotkeys.record", ["<f10>"])
    others = Hotkeys({taken: Command.MARK})
    others.start(lambda command, given_by, **more: None)
    try:
        exit_code, checks = doctor()
    finally:
        others.stop()
    assert (exit_code, checks["hotkeys"]["found"]) == (0, found)


@pytest.mark.usefixtures("in_process_desk")
def test_broken_settings_are_reported(doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture" / "settings.toml").write_text("[hotkeys]\nrecord = 5\n")
    exit_code, checks = doctor()
    assert exit_code == 3
    assert "hotkeys.record" in checks["settings"]["found"]
    assert "Ctrl+Alt+R" in checks["hotkeys"]["found"]


@pytest.mark.usefixtures("in_process_desk")
def test_a_missing_sound_server_is_reported(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSE_SERVER", "unix:/nonexistent")
    exit_code, checks = doctor()
    assert exit_code == 3
    assert "no sound server answers" in checks["sound server"]["found"]
    assert "PipeWire" in checks["sound server"]["remedy"]
    # Checks that need the server are left out.
    assert "internal audio" not in checks
    assert checks["display"]["ok"]


@pytest.mark.parametrize("how", [("set-sink-mute", "1"), ("set-sink-volume", "0")])
def test_a_muted_output_is_reported(how: tuple[str, str], doctor: Doctor, sound_desk: VirtualDesk) -> None:
    command, value = how
    pactl(os.environ, command, sound_desk.sink, value)
    exit_code, checks = doctor()
    assert exit_code == 3
    assert not checks["internal audio"]["ok"]
    assert "Virtual desk is muted" in checks["internal audio"]["found"]
    assert "unmute" in checks["internal audio"]["remedy"]


def test_a_muted_monitor_is_reported(doctor: Doctor, sound_desk: VirtualDesk) -> None:
    pactl(os.environ, "set-source-mute", f"{sound_desk.sink}.monitor", "1")
    exit_code, checks = doctor()
    assert exit_code == 3
    assert "the monitor of Virtual desk is muted" in checks["internal audio"]["found"]


def test_an_output_that_is_turned_down_is_reported(doctor: Doctor, sound_desk: VirtualDesk) -> None:
    pactl(os.environ, "set-sink-volume", sound_desk.sink, "20%")
    exit_code, checks = doctor()
    # It can be recorded, and may be meant to be that quiet.
    assert exit_code == 0
    assert checks["internal audio"]["found"] == "Virtual desk is at 20 %: recordings are 42 dB quieter; turn it up"


@pytest.mark.usefixtures("sound_desk")
def test_the_microphone_is_shown_with_its_volume(doctor: Doctor) -> None:
    with microphone(os.environ):
        assert doctor()[1]["microphone"]["found"] == "Sine source at 1700 Hz, at 100 %"
        pactl(os.environ, "set-source-volume", MICROPHONE, "10%")
        assert "Sine source at 1700 Hz is at 10 %: recordings are 60 dB" in doctor()[1]["microphone"]["found"]
        pactl(os.environ, "set-source-mute", MICROPHONE, "1")
        exit_code, checks = doctor()
    # The default recording does not need it.
    assert exit_code == 0
    assert checks["microphone"]["found"] == "Sine source at 1700 Hz is muted: --audio mic would record silence"


@pytest.mark.usefixtures("sound_desk")
def test_a_missing_output_is_reported(doctor: Doctor) -> None:
    pactl(os.environ, "unload-module", "module-null-sink")
    exit_code, checks = doctor()
    assert exit_code == 3
    assert "no output" in checks["internal audio"]["found"]


@pytest.mark.usefixtures("in_process_desk")
def test_a_full_disk_is_reported(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=300_000_000))
    exit_code, checks = doctor()
    assert exit_code == 3
    assert "0.3 GB left" in checks["recordings folder"]["found"]
    assert "free some space" in checks["recordings folder"]["remedy"]


@pytest.mark.usefixtures("in_process_desk")
def test_the_folders_that_the_user_set_are_looked_at(doctor: Doctor, tmp_path: Path) -> None:
    change("folder.video", [str(tmp_path / "clips")])
    change("folder.sound", [str(tmp_path / "notes")])
    exit_code, checks = doctor()
    assert exit_code == 0
    places = checks["recordings folder"]["found"].split("; ")
    assert [place.partition(",")[0] for place in places] == [str(tmp_path / name) for name in ("clips", "notes")]


@pytest.mark.usefixtures("in_process_desk")
def test_a_folder_without_write_permission_is_reported(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    # Not even root can write there.
    monkeypatch.setenv("XDG_VIDEOS_DIR", "/proc/self/Videos")
    monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith("/proc"))
    exit_code, checks = doctor()
    assert exit_code == 3
    assert "cannot write to /proc/self/Videos/Captures" in checks["recordings folder"]["found"]


@pytest.mark.usefixtures("in_process_desk")
def test_a_missing_rclone_is_reported_if_recordings_are_copied(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    change("backup.remote", ["drive:Captures"])
    assert doctor()[1]["backup"]["found"] == "rclone copies recordings to drive:Captures"
    monkeypatch.setattr("capture.desktop.rclone.shutil", SimpleNamespace(which=lambda program: None))
    exit_code, checks = doctor()
    assert checks["backup"]["found"].startswith("the program rclone is missing, so recordings wait for their copy; ")
    change("backup.remote", [""])
    assert "backup" not in doctor()[1]
    assert exit_code == 0


@pytest.mark.usefixtures("in_process_desk")
def test_the_text_output_shows_the_same(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY")
    assert main(["doctor"]) == 3
    lines = capsys.readouterr().out.splitlines()
    display = next(number for number, line in enumerate(lines) if line.startswith("NO  display: "))
    assert lines[display + 1].startswith("    → ")
    assert "ok  encoder: libx264" in lines
    assert lines[-1] == "not ready to record"
