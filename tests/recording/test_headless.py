"""`capture headless`: records a command on its own virtual desk until it ends, and leaves no trace of either."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from conftest import PROJECT, RunCapture
from reopened import each_picture, loudness, pictures, sound
from running import Recorder, eventually
from stage import RED, write_tone

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

SMALL: Final = ("--size", "640x480")

#: A program that fills its screen with red, plays a tone and then prints a word.
SHOW: Final = """\
import os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from stage import RED, Stage
with Stage(os.environ) as stage:
    stage.paint(0, 0, stage.width, stage.height, RED)
    subprocess.run(["paplay", sys.argv[2]], check=True)
print("shown")
"""


@pytest.fixture
def own_home(monkeypatch: pytest.MonkeyPatch, capture_environment: dict[str, str]) -> Iterator[Path]:
    """The home folder of `capture_environment`. Fails a test that adds or changes anything in it."""
    home = Path(capture_environment["HOME"])
    (home / ".profile").write_text("mine")
    yield home
    assert [str(path.relative_to(home)) for path in home.rglob("*")] == [".profile"]
    assert (home / ".profile").read_text() == "mine"


def processes_with(mark: str) -> list[str]:
    """Return the names of all processes with `mark` in their environment."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                if mark.encode() in (process / "environ").read_bytes():
                    found.append((process / "comm").read_text().strip())
            except OSError:
                continue
    return found


@pytest.mark.usefixtures("own_home")
def test_the_picture_and_sound_of_the_command_are_recorded(run_capture: RunCapture, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    tone = write_tone(tmp_path / "tone.wav", 440.0, 1.5)
    command = (sys.executable, "-c", SHOW, PROJECT / "tests", tone)
    done = run_capture("headless", path, "--size", "800x600", "--no-cursor", "--json", "--", *command)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["exit_code"], summary["stopped_by"], summary["check"]) == (0, "command_ended", "ok")
    assert "shown" in done.stderr
    assert (summary["video"]["width"], summary["video"]["height"]) == (800, 600)
    centres = [picture[300, 400].tolist() for _, picture in each_picture(path)]
    assert pytest.approx(RED, abs=14) in centres
    track = sound(path)
    assert track.end_s >= 1.5
    assert abs(track.end_s - pictures(path).end_s) <= 0.06
    loud = abs(track.samples) > 0.1
    heard_s = loud.argmax() / track.rate
    assert loudness(track.between(heard_s + 0.1, heard_s + 1.3), 440.0, track.rate) > 0.3
    assert loud[::-1].argmax() / track.rate < 1.0  # until nearly the end


@pytest.mark.parametrize(
    ("ending", "options", "in_summary", "exit_code", "said"),
    [
        ("exit 0", (), 0, 0, ""),
        ("exit 3", (), 3, 3, "sh ended with exit code 3; the recording itself succeeded"),
        ("exit 3", ("--quiet",), 3, 3, "sh ended with exit code 3; the recording itself succeeded"),
        ("exit 3", ("--ignore-exit-code",), 3, 0, "sh ended with exit code 3; the recording itself succeeded"),
        ("kill -KILL $$", (), 137, 137, "sh ended with exit code 137 (SIGKILL); the recording itself succeeded"),
    ],
)
def test_the_exit_code_of_the_command_is_passed_on(
    ending: str,
    options: tuple[str, ...],
    in_summary: int,
    exit_code: int,
    said: str,
    run_capture: RunCapture,
    tmp_path: Path,
) -> None:
    command = ("sh", "-c", f"echo said; sleep 0.3; {ending}")
    done = run_capture("headless", "out.ogg", *SMALL, "--json", *options, "--", *command)
    assert done.returncode == exit_code
    # Standard output has the summary and nothing else.
    summary = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert "said\n" in done.stderr
    assert [line for line in done.stderr.splitlines() if "exit code" in line] == list(filter(None, [said]))
    assert summary["exit_code"] == in_summary
    assert (summary["stopped_by"], summary["video"]) == ("command_ended", None)
    assert summary["path"] == str(tmp_path / "out.ogg")


def test_the_exit_code_is_passed_on_if_no_recording_was_started(run_capture: RunCapture) -> None:
    done = run_capture("headless", "out.ogg", *SMALL, "--wait-for-sound", "--json", "--", "sh", "-c", "exit 4")
    assert done.returncode == 4
    assert json.loads(done.stdout)["exit_code"] == 4


def test_the_recording_starts_with_the_first_window(run_capture: RunCapture, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    tone = write_tone(tmp_path / "tone.wav", 440.0, 0.5)
    show = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from stage import RED, Stage
with Stage(os.environ) as stage:
    stage.paint(0, 0, stage.width, stage.height, RED)
    grown_from = 0
    for _ in range(3):
        while not os.path.exists(sys.argv[2]) or os.path.getsize(sys.argv[2]) <= grown_from:
            time.sleep(0.01)
        grown_from = os.path.getsize(sys.argv[2])
"""
    program = 'paplay "$1" && "$2" -c "$3" "$4" "$5"'
    shown = ("sh", "-c", program, "sh", tone, sys.executable, show, PROJECT / "tests", path)
    done = run_capture("headless", path, *SMALL, "--no-cursor", "--wait-for-window", "--json", "--", *shown)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    # The tone was over by then.
    assert summary["audio"][0]["silent"]
    reds = [picture[240, 320, 0] > 200 for _, picture in each_picture(path)]
    # The window is black for a moment before it is painted.
    assert True in reds[:10]


def test_a_command_without_a_window_is_a_failure_if_one_was_awaited(run_capture: RunCapture, tmp_path: Path) -> None:
    done = run_capture("headless", "out.mkv", *SMALL, "--wait-for-window", "--json", "--", "sh", "-c", "exit 0")
    assert done.returncode == 1
    assert json.loads(done.stdout)["path"] is None
    assert "capture: sh ended before it opened a window\n" in done.stderr
    assert not (tmp_path / "out.mkv").exists()


def test_a_failed_recording_wins_over_the_exit_code_of_the_command(run_capture: RunCapture, tmp_path: Path) -> None:
    command = ("sh", "-c", f"rm {tmp_path}/out.ogg; sleep 1.5; exit 3")
    done = run_capture("headless", "out.ogg", *SMALL, "--json", "--", *command)
    assert done.returncode == 1
    assert "capture: " in done.stderr


def test_an_empty_desk_is_black_and_shows_an_arrow_once_the_mouse_moves(
    run_capture: RunCapture, tmp_path: Path
) -> None:
    path = tmp_path / "out.mkv"
    command = ("sh", "-c", "sleep 0.5; xdotool mousemove 100 50; sleep 0.5")
    done = run_capture("headless", path, *SMALL, "--audio", "none", "--quality", "high", "--", *command)
    assert done.returncode == 0, done.stderr
    shown = [picture for _, picture in each_picture(path)]
    assert shown[0].max() <= 8
    drawn = np.argwhere(shown[-1].max(axis=2) > 60)
    # An arrow is below its tip and to the right, the cross of the server around it.
    assert len(drawn) > 20
    assert 48 <= drawn[:, 0].min() < drawn[:, 0].max() <= 70
    assert 98 <= drawn[:, 1].min() < drawn[:, 1].max() <= 114


def test_the_duration_ends_the_command_and_its_children(run_capture: RunCapture, tmp_path: Path) -> None:
    mark = f"MARK={tmp_path}"
    done = run_capture(
        *("headless", "out.mp4", *SMALL, "--duration", "0.7", "--json", "--"),
        *("env", mark, "sh", "-c", "setsid -f sleep 1000; exec sleep 1000"),
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["stopped_by"], summary["exit_code"]) == ("duration", None)
    assert abs(summary["duration_s"] - 0.7) <= 0.1
    assert processes_with(mark) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_recorder(
    number: int, capture_environment: dict[str, str], tmp_path: Path, temporary_folder: Path
) -> None:
    mark = f"MARK={tmp_path}"
    path = tmp_path / "out.mkv"
    before = set(temporary_folder.iterdir())
    arguments = ("headless", path, *SMALL, "--json", "--", "sh", "-c", "setsid -f sleep 1000; exec sleep 1000")
    environment = {**capture_environment, "MARK": str(tmp_path)}
    with Recorder(environment, tmp_path, *arguments) as recorder:
        recorder.until(lambda: processes_with(mark).count("sleep") == 2, "the command runs")
        assert {"Xvfb", "pulseaudio"} <= set(processes_with(mark))
        recorder.until_recording(path)
        recorder.process.send_signal(number)
        exit_code = recorder.wait()
        if number != signal.SIGKILL:
            assert exit_code == 0
            # Everything it started is gone when it exits.
            assert processes_with(mark) == []
            assert recorder.summary()["check"] == "ok"
            assert set(temporary_folder.iterdir()) == before
    eventually(lambda: not processes_with(mark), "the end of all that was started")
    eventually(lambda: set(temporary_folder.iterdir()) == before, "the end of the desk's folder")
    assert pictures(path).moments_s


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("no-such-program",), "cannot run 'no-such-program' (No such file or directory)"),
        ((), "headless has no command to run"),
    ],
)
def test_a_command_that_cannot_run_is_a_usage_error(
    command: tuple[str, ...], said: str, run_capture: RunCapture, tmp_path: Path
) -> None:
    done = run_capture("headless", "out.mp4", *SMALL, "--json", "--", *command)
    assert done.returncode == 2
    assert done.stdout == ""
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out.mp4").exists()


def test_mistakes_are_reported_before_anything_starts(capture_environment: dict[str, str], tmp_path: Path) -> None:
    # The programs of the desk are not on the PATH: any later error would be a different one.
    environment = {**capture_environment, "PATH": str(tmp_path)}
    (tmp_path / "there.mp4").touch()
    for arguments in (
        ("missing/out.mp4",),
        ("there.mp4",),
        ("out.mp4", "--size", "0x0"),
        ("out.mp4", "--fps", "0"),
        ("out.txt",),
    ):
        with Recorder(environment, tmp_path, "headless", *arguments, "--", "true") as recorder:
            assert recorder.wait() == 2, recorder.stderr
            assert len(recorder.stderr.splitlines()) == 1


def test_the_command_gets_its_own_desk_and_home(
    run_capture: RunCapture, desk_environment: dict[str, str], tmp_path: Path
) -> None:
    done = run_capture(
        *("headless", "out.ogg", "--size", "320x240", "--"),
        *("sh", "-c", "xdotool getdisplaygeometry; echo $DISPLAY; echo HOME=$HOME"),
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines.count(f"recording {tmp_path / 'out.ogg'}") == 1
    assert "320 240" in lines
    assert desk_environment["DISPLAY"] not in lines
    assert any(line.startswith("HOME=") and line.endswith("home") for line in lines)
    assert os.environ["HOME"] not in (line.removeprefix("HOME=") for line in lines)
