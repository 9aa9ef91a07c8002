"""`capture devices`: lists what can be recorded, under the names that `record` takes."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from running import eventually
from stage import TITLE, Stage, module, pactl, playing, streams, write_tone

from capture.cli.main import main
from capture.errors import NotReadyError
from capture.sources.pulse.devices import list_pulse_devices
from capture.virtual.desk import VirtualDesk

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: Calls `capture devices --json` in this process. Returns the exit code, the parsed output and standard error.
Devices = Callable[[], tuple[int, dict[str, Any], str]]


FULL_VOLUME: Final = {"muted": False, "volume_percent": 100}


@pytest.fixture
def devices(capsys: pytest.CaptureFixture[str]) -> Devices:
    def call() -> tuple[int, dict[str, Any], str]:
        exit_code = main(["devices", "--json"])
        said = capsys.readouterr()
        assert said.out.count("\n") == 1
        found = json.loads(said.out)
        assert list(found) == ["screens", "windows", "audio", "apps"]
        return exit_code, found, said.err

    return call


@pytest.mark.usefixtures("in_process_desk")
def test_the_screen_and_the_sound_output_are_listed(devices: Devices) -> None:
    exit_code, found, said = devices()
    assert (exit_code, said) == (0, "")
    (screen,) = found["screens"]
    assert list(screen) == ["id", "name", "x", "y", "width", "height", "primary"]
    assert screen["id"] == "1"
    assert isinstance(screen["name"], str)
    assert [screen[key] for key in ("x", "y", "width", "height", "primary")] == [0, 0, 1280, 720, True]
    assert found["audio"] == [
        {"id": "desk.monitor", "name": "Virtual desk", "kind": "internal", "default": True, **FULL_VOLUME}
    ]
    assert (found["windows"], found["apps"]) == ([], [])


@pytest.mark.usefixtures("in_process_desk")
def test_windows_are_listed_with_their_positions(devices: Devices, desk_environment: dict[str, str]) -> None:
    with Stage(desk_environment):
        _, found, _ = devices()
    (window,) = found["windows"]
    assert int(window.pop("id"), 16) > 0
    # Without a window manager the keys go to the window under the pointer.
    assert window == {"title": TITLE, "x": 0, "y": 0, "width": 1280, "height": 720, "active": True}
    assert devices()[1]["windows"] == []


@pytest.mark.usefixtures("in_process_desk")
def test_microphones_and_further_outputs_are_listed(devices: Devices, desk_environment: dict[str, str]) -> None:
    room = ("module-null-sink", "sink_name=room", "sink_properties=device.description=Room")
    ear = ("module-remap-source", "master=room.monitor", "source_name=ear", "source_properties=device.description=Ear")
    with module(desk_environment, *room), module(desk_environment, *ear):
        _, found, _ = devices()
    assert found["audio"] == [
        {"id": "desk.monitor", "name": "Virtual desk", "kind": "internal", "default": True, **FULL_VOLUME},
        {"id": "room.monitor", "name": "Room", "kind": "internal", "default": False, **FULL_VOLUME},
        {"id": "ear", "name": "Ear", "kind": "mic", "default": False, **FULL_VOLUME},
    ]


def test_mute_switches_and_volumes_are_listed(devices: Devices, sound_desk: VirtualDesk, tmp_path: Path) -> None:
    tone = write_tone(tmp_path / "tone.wav", 440.0, 60.0)
    ear = ("module-remap-source", f"master={sound_desk.sink}.monitor", "source_name=ear")
    with module(os.environ, *ear), playing(os.environ, tone, sound_desk.sink):
        eventually(lambda: streams(os.environ), "the player plays")
        ((_, stream),) = streams(os.environ)
        pactl(os.environ, "set-sink-volume", sound_desk.sink, "20%")
        pactl(os.environ, "set-source-mute", "ear", "1")
        pactl(os.environ, "set-sink-input-volume", str(stream), "30%")
        _, found, _ = devices()
        assert [(item["muted"], item["volume_percent"]) for item in found["audio"]] == [(False, 20), (True, 100)]
        assert [(app["muted"], app["volume_percent"]) for app in found["apps"]] == [(False, 30)]
        # A muted monitor records silence just as a muted output does.
        pactl(os.environ, "set-source-mute", f"{sound_desk.sink}.monitor", "1")
        pactl(os.environ, "set-sink-input-mute", str(stream), "1")
        _, found, _ = devices()
        assert [item["muted"] for item in (*found["audio"], *found["apps"])] == [True, True, True]


@pytest.mark.usefixtures("in_process_desk")
def test_playing_programs_are_listed(
    devices: Devices, desk: VirtualDesk, desk_environment: dict[str, str], tmp_path: Path
) -> None:
    tone = write_tone(tmp_path / "tone.wav", 440.0, 60.0)
    with playing(desk_environment, tone, desk.sink) as player:
        eventually(lambda: devices()[1]["apps"], "the player is listed")
        (app,) = devices()[1]["apps"]
    # `paplay` may be another name of `pacat`.
    assert app["name"] in ("paplay", "pacat")
    assert app["pid"] == player


@pytest.mark.usefixtures("in_process_desk")
def test_the_text_output_lists_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith("  ")] == [
        "screens:",
        "windows: none",
        "audio:",
        "apps: none",
    ]
    assert any("1280" in line and "720" in line and line.endswith("primary") for line in lines)
    assert any(
        "id=desk.monitor" in line and "Virtual desk" in line and line.endswith("default  not muted  volume_percent=100")
        for line in lines
    )


@pytest.mark.usefixtures("in_process_desk")
def test_a_title_cannot_send_control_codes_to_the_terminal(
    capsys: pytest.CaptureFixture[str], desk_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stage.TITLE", "evil\x1b[2J\nwindow")
    with Stage(desk_environment):
        main(["devices"])
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "title=evil [2J window" in said


@pytest.mark.usefixtures("in_process_desk")
def test_without_a_display_sound_is_still_listed(devices: Devices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY")
    exit_code, found, said = devices()
    assert exit_code == 0
    assert (found["screens"], found["windows"]) == ([], [])
    assert len(found["audio"]) == 1
    assert "no display" in said
    assert said.count("\n") == 1


@pytest.mark.usefixtures("in_process_desk")
def test_without_a_sound_server_the_screen_is_still_listed(devices: Devices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSE_SERVER", "unix:/nonexistent")
    exit_code, found, said = devices()
    assert exit_code == 0
    assert len(found["screens"]) == 1
    assert (found["audio"], found["apps"]) == ([], [])
    assert "no sound server answers" in said
    assert said.count("\n") == 1


def test_a_sound_server_that_hangs_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX) as stuck:
        stuck.bind(str(tmp_path / "stuck"))
        stuck.listen()
        monkeypatch.setenv("PULSE_SERVER", f"unix:{tmp_path / 'stuck'}")
        with pytest.raises(NotReadyError, match=r"the sound server does not answer: .*--audio none"):
            list_pulse_devices()


@pytest.mark.usefixtures("in_process_desk")
def test_a_display_without_screens_is_reported(devices: Devices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.sources.x11.reader.monitors_of", lambda connection: [])
    exit_code, found, said = devices()
    assert exit_code == 0
    assert (found["screens"], found["windows"]) == ([], [])
    assert "no screen is connected" in said


@pytest.mark.usefixtures("in_process_desk")
def test_without_display_and_sound_server_the_command_fails(devices: Devices, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY")
    monkeypatch.setenv("PULSE_SERVER", "unix:/nonexistent")
    exit_code, found, said = devices()
    assert exit_code == 3
    assert found == {"screens": [], "windows": [], "audio": [], "apps": []}
    assert said.count("\n") == 2
