"""The programs in `examples/`: each is short, runs unchanged, and does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT
from reopened import chapters
from stage import playing, write_tone

from capture.recordings.check import check

EXAMPLES = PROJECT / "examples"

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")


def run(name: str, environment: dict[str, str], folder: Path, *arguments: str | Path) -> str:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
        env={**environment, "PYTHONPATH": str(PROJECT)},
        cwd=folder,
        check=True,
        timeout=60,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def test_every_example_is_short_and_there() -> None:
    names = sorted(path.name for path in EXAMPLES.glob("*.py"))
    assert names == [
        "clip_when_a_test_fails.py",
        "frames_of_your_own.py",
        "record_while_it_runs.py",
        "test_on_a_private_desk.py",
        "voice_notes.py",
    ]
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text().splitlines()) < 30, path


@on_linux
def test_recording_while_code_runs(capture_environment: dict[str, str], tmp_path: Path) -> None:
    said = run("record_while_it_runs.py", capture_environment, tmp_path)
    assert said.endswith("check ok\n")
    assert [title for title, *_ in chapters(tmp_path / "run.mp4")][-3:] == ["open", "edit", "save"]


@on_linux
def test_a_clip_when_a_check_fails(capture_environment: dict[str, str], tmp_path: Path) -> None:
    said = run("clip_when_a_test_fails.py", capture_environment, tmp_path, tmp_path)
    assert said == f"the second check fails: see {tmp_path / 'check-2.mp4'}\n"
    assert [path.name for path in tmp_path.glob("*.mp4")] == ["check-2.mp4"]
    assert check(tmp_path / "check-2.mp4").ok


def test_frames_of_your_own(tmp_path: Path) -> None:
    said = run("frames_of_your_own.py", dict(os.environ), tmp_path)
    report = check(tmp_path / "grey.mkv")
    assert report.ok
    assert "width=320, height=240" in said
    assert report.duration_s == pytest.approx(1.5, abs=0.1)


@on_linux
def test_voice_notes(capture_environment: dict[str, str], tmp_path: Path) -> None:
    tone = write_tone(tmp_path / "tone.wav", 440, 60.0)
    program = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "voice_notes.py"), str(tmp_path), "1"],
        env={**capture_environment, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with playing(capture_environment, tone, "@DEFAULT_SINK@"):
            path = tmp_path / "note 1.ogg"
            while not (path.exists() and path.stat().st_size > 4_000):
                assert program.poll() is None
        said, _ = program.communicate(timeout=60)
    finally:
        program.kill()
        program.wait()
    assert said.startswith("note 1.ogg: ")
    assert check(path).ok


@on_linux
def test_headless_in_pytest(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--basetemp",
            str(tmp_path / "in"),
            str(EXAMPLES / "test_on_a_private_desk.py"),
            "-c",
            os.devnull,
            "--rootdir",
            str(tmp_path),
        ],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        cwd=tmp_path,
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
