"""A recording is stopped by key or by signal, and the file is complete every time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import StartCapture
from reopened import each_picture, pictures, probe, sound
from running import Recorder, eventually, kinds
from stage import Stage, press

from capture.sources.pattern import read_clock

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

FPS: Final = 10

#: A recording that needs neither screen nor sound server, so that only the stopping is tested.
PATTERN: Final = ("--source", "pattern", "--fps", str(FPS), "--json")


def assert_whole(path: Path, summary: Mapping[str, Any]) -> None:
    """Assert that the file is valid and plays as long as the summary says."""
    assert summary["path"] == str(path)
    assert summary["check"] == "ok"
    assert summary["size_bytes"] == path.stat().st_size
    tolerance_s = 1 / FPS + 0.05  # the last frame may have been grabbed just before the stop
    assert abs(pictures(path).end_s - summary["duration_s"]) <= tolerance_s
    assert abs(sound(path).end_s - summary["duration_s"]) <= tolerance_s
    assert abs(float(probe(path)["format"]["duration"]) - summary["duration_s"]) <= tolerance_s


# Signals


def test_nohup_is_respected(start_capture: StartCapture, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with start_capture("record", path, *PATTERN) as recorder:
            recorder.until_recording(path)
            recorder.process.send_signal(signal.SIGHUP)
            recorder.until_grown(path)
            recorder.process.send_signal(signal.SIGTERM)
            assert recorder.wait() == 0
            assert recorder.summary()["stopped_by"] == "terminate"
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("as_in_a_terminal")
@pytest.mark.parametrize(
    ("number", "stopped_by"),
    [(signal.SIGINT, "interrupt"), (signal.SIGTERM, "terminate"), (signal.SIGHUP, "hangup")],
)
def test_a_signal_finishes_the_file(number: int, stopped_by: str, start_capture: StartCapture, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with start_capture("record", path, *PATTERN) as recorder:
        recorder.until_recording(path)
        recorder.process.send_signal(number)
        assert recorder.wait() == 0
        summary = recorder.summary()
        assert f"saved {path}" in recorder.stderr
    assert summary["stopped_by"] == stopped_by
    assert_whole(path, summary)


@pytest.mark.usefixtures("as_in_a_terminal")
def test_repeated_signals_do_not_harm_the_file(start_capture: StartCapture, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    with start_capture("record", path, *PATTERN) as recorder:
        recorder.until_recording(path)

        def ended() -> bool:
            recorder.process.send_signal(signal.SIGINT)
            return recorder.process.poll() is not None

        # Send signals until the process is gone: while it finishes the file, checks it and exits.
        eventually(ended, "the end")
        assert recorder.wait() == 0
        summary = recorder.summary()
        begun, saved = recorder.stderr.splitlines()
        assert begun == f"recording {path}"
        assert saved.startswith(f"saved {path} ")
    assert_whole(path, summary)


@pytest.mark.usefixtures("as_in_a_terminal")
def test_a_signal_during_the_delay_leaves_nothing(start_capture: StartCapture, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with start_capture("record", path, *PATTERN, "--delay", "1h") as recorder:
        recorder.until(lambda: recorder.handles(signal.SIGINT), "its own handling of Ctrl+C")
        recorder.process.send_signal(signal.SIGINT)
        assert recorder.wait() == 0
        assert recorder.stderr == "nothing was kept\n"
    assert not path.exists()


# Keys


def until_rests(recorder: Recorder, path: Path) -> bool:
    """Wait until the file is unchanged for 200 looks or has grown by more than what was queued; True if unchanged."""
    sizes = [path.stat().st_size]

    def decided() -> bool:
        sizes.append(path.stat().st_size)
        return sizes[-200:] == [sizes[-1]] * 200 or len(set(sizes)) > 5

    recorder.until(decided, "the file rests or grows")
    return len(set(sizes)) <= 5


@pytest.fixture
def listening(
    capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> Iterator[tuple[Recorder, Path]]:
    """A recorder and its file. It was paused and resumed by hotkey, so its hotkeys are known to work."""
    path = tmp_path / "out.mkv"
    with start_capture("record", path, *PATTERN) as recorder:
        recorder.until_recording(path)
        press(capture_environment, "ctrl+alt+p")
        while not until_rests(recorder, path):
            # The hotkeys become active a little after the recording starts.
            press(capture_environment, "ctrl+alt+p")
        press(capture_environment, "ctrl+alt+p")
        recorder.until_grown(path)
        yield recorder, path


def test_only_the_exact_hotkey_stops(listening: tuple[Recorder, Path], capture_environment: dict[str, str]) -> None:
    recorder, path = listening
    press(capture_environment, "ctrl+alt+shift+r", "ctrl+r", "alt+r", "r")
    recorder.until_grown(path)
    press(capture_environment, "ctrl+alt+r")
    assert recorder.wait() == 0
    summary = recorder.summary()
    assert summary["stopped_by"] == "hotkey"
    assert_whole(path, summary)


def test_a_pause_is_cut_out(listening: tuple[Recorder, Path]) -> None:
    recorder, path = listening
    summary = recorder.stop()
    # `until_rests` takes two hundred looks, five milliseconds apart.
    assert summary["paused_s"] > 0.9
    assert_whole(path, summary)
    # The clock in the pattern went on meanwhile.
    first_shown_s = {read_clock(picture): at_s for at_s, picture in reversed(list(each_picture(path)))}
    clock, at_s = max(first_shown_s.items())
    assert clock / 1000 - at_s == pytest.approx(summary["paused_s"], abs=0.005)


def test_the_discard_hotkey_removes_the_file(
    listening: tuple[Recorder, Path], capture_environment: dict[str, str]
) -> None:
    recorder, path = listening
    press(capture_environment, "ctrl+alt+x")
    assert recorder.wait() == 0
    assert json.loads(recorder.stdout) == {"path": None, "stopped_by": "discard"}
    assert "nothing was kept" in recorder.stderr
    assert not path.exists()


def test_typing_reaches_the_window_completely(
    listening: tuple[Recorder, Path], capture_environment: dict[str, str]
) -> None:
    recorder, path = listening
    text = "the quick brown fox jumps over the lazy dog 0123456789"
    with Stage(capture_environment) as stage:
        stage.take_focus()
        subprocess.run(["xdotool", "type", "--delay", "1", text], env=capture_environment, check=True, timeout=60)
        assert stage.typed(len(text)) == text
    recorder.until_grown(path)
    assert recorder.stop()["stopped_by"] == "terminate"


def test_hotkeys_can_be_disabled(
    capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4"
    with start_capture("record", path, *PATTERN, "--no-hotkeys") as recorder:
        recorder.until_recording(path)
        press(capture_environment, "ctrl+alt+x", "ctrl+alt+r")
        recorder.until_grown(path)
        assert recorder.stop()["stopped_by"] == "terminate"


def test_a_missing_keyboard_is_reported_once_and_recording_goes_on(
    capture_environment: dict[str, str], start_capture: StartCapture, tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4"
    del capture_environment["DISPLAY"]
    with start_capture("record", path, *PATTERN) as recorder:
        recorder.until_recording(path)
        recorder.until_grown(path)
        summary = recorder.stop()
        assert recorder.stderr.count("hotkeys do not work here") == 1
    assert kinds(summary) == ["no_hotkeys"]
    assert_whole(path, summary)
