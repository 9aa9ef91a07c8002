"""A file that may not grow further, by a limit on the process or by FAT, is finished before that and says so."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from conftest import RunCapture, StartCapture
from test_muxer import Writing, open_muxer

from capture.errors import FileTooLargeError, NotReadyError, OutputError
from capture.formats import CONTAINERS
from capture.output.disk_space import check_room
from capture.output.file_size import file_size_limit
from capture.recordings.check import check
from capture.recordings.cut import cut_end
from capture.recordings.repair import repair
from capture.recordings.transcode import convert, fit
from capture.system import file_system

if sys.platform == "win32":
    pytest.skip("file sizes cannot be limited there", allow_module_level=True)

import resource

LIMIT: Final = 200_000

RAISE_IT: Final = "raise it with ulimit -f unlimited"


@contextmanager
def limited(size_bytes: int) -> Iterator[None]:
    """Let this process write no larger files."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("extension", CONTAINERS)
def test_a_file_is_finished_within_its_limit(extension: str, tmp_path: Path) -> None:
    with limited(LIMIT):
        writing = Writing(tmp_path / f"out.{extension}")
        error, until_s = None, 0.0
        while error is None:
            until_s += 0.1
            writing.until(until_s)
            error = writing.muxer.check_disk()
            assert until_s < 120, "the limit was never noticed"
        assert isinstance(error, FileTooLargeError)
        assert str(error) == f"{writing.path} cannot grow beyond 200.0 KB (a limit on this process): {RAISE_IT}"
        assert writing.muxer.check_disk() is None, "it is reported once"
        while not writing.muxer.is_full:
            until_s += 0.1
            writing.until(until_s)
        writing.close()
        writing.muxer.keep()
    assert LIMIT / 4 < writing.path.stat().st_size <= LIMIT
    report = check(writing.path)
    assert not [problem for problem in report.problems if "do not end together" not in problem]


@pytest.mark.parametrize("extension", ["mkv", "ogg"])
def test_a_recording_ends_before_the_limit(extension: str, start_capture: StartCapture, folder: Path) -> None:
    path = folder / f"out.{extension}"
    limit = ("bash", "-c", 'ulimit -f 100; exec "$@"', "bash")
    arguments = ("record", path, "--source", "pattern", "--no-hotkeys", "--json")
    with start_capture(*arguments, by=limit) as recorder:
        assert recorder.wait() == 1
        summary = recorder.summary()
        assert (summary["stopped_by"], summary["check"]) == ("size_limit", "ok")
        assert [event["kind"] for event in summary["events"]].count("size_limit") == 1
        complaint = recorder.stderr.splitlines()[-1]
        assert complaint.startswith(
            f"capture: {path} cannot grow beyond 102.4 KB (a limit on this process): {RAISE_IT}"
        )
        assert complaint.endswith(f"what was recorded until then is in {path}")
    assert 0 < path.stat().st_size <= 102_400
    assert check(path).ok


def test_a_limit_that_allows_no_recording_is_named_before_anything_is_touched(
    start_capture: StartCapture, folder: Path
) -> None:
    path = folder / "out.mp4"
    path.write_bytes(b"old")
    limit = ("bash", "-c", 'ulimit -f 20; exec "$@"', "bash")
    with start_capture("record", path, "--source", "pattern", "--overwrite", by=limit) as recorder:
        assert recorder.wait() == 3
        assert recorder.stderr == (
            f"capture: a file may have only 20.5 KB here (a limit on this process): {RAISE_IT}\n"
        )
    assert path.read_bytes() == b"old"


@pytest.fixture
def recording(run_capture: RunCapture, folder: Path) -> Path:
    path = folder / "long.mkv"
    done = run_capture("record", path, "--source", "pattern", "--duration", "2", "--no-hotkeys")
    assert done.returncode == 0, done.stderr
    return path


STEPS: Final[tuple[Callable[[Path], object], ...]] = (
    repair,
    lambda path: repair(path, path.with_name("repaired.mkv")),
    lambda path: cut_end(path, 1.8),
    lambda path: convert(path, "mp4"),
    lambda path: fit(path, 35_000, "mp4"),
)


def test_what_makes_a_new_file_names_the_limit_and_changes_nothing(recording: Path) -> None:
    content = recording.read_bytes()
    recording.write_bytes(content[:-2_000])
    cut = recording.read_bytes()
    with limited(3_000):
        for step in STEPS:
            with pytest.raises(OutputError, match="File too large") as caught:
                step(recording)
            assert caught.value.remedy == RAISE_IT
    assert recording.read_bytes() == cut
    assert list(recording.parent.iterdir()) == [recording]


def buffered_bytes(run_capture: RunCapture) -> int:
    running = json.loads(run_capture("status", "--json").stdout)["running"]
    return sum(recorder["buffer_bytes"] or 0 for recorder in running)


def test_a_clip_beyond_the_limit_is_refused_before_it_is_written(
    start_capture: StartCapture, run_capture: RunCapture, folder: Path
) -> None:
    limit = ("bash", "-c", 'ulimit -f 20; exec "$@"', "bash")
    arguments = ("replay", folder / "base.mkv", "--last", "20s", "--source", "pattern", "--quality", "high")
    with start_capture(*arguments, by=limit) as recorder:
        recorder.until(lambda: buffered_bytes(run_capture) > 100_000, "a buffer of more than the limit")
        failed = run_capture("clip")
        assert failed.returncode == 1
        assert len(failed.stderr.splitlines()) == 1
        assert f"cannot grow beyond 20.5 KB (a limit on this process): {RAISE_IT}" in failed.stderr
        assert list(folder.iterdir()) == []


# FAT


@pytest.fixture
def fat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the list of mounts says is on FAT."""
    folder = tmp_path / "stick"
    folder.mkdir()
    device = folder.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "21 28 0:20 / /sys rw,nosuid - sysfs sysfs rw\n"
        f"90 28 {os.major(device)}:{os.minor(device)} / /media/a\\040b rw shared:1 master:2 - vfat /dev/sda1 rw\n"
    )
    monkeypatch.setattr(file_system, "MOUNTS", mounts)
    monkeypatch.setattr(sys, "platform", "linux")
    return folder


def test_a_file_on_fat_ends_before_4_gib(fat: Path) -> None:
    muxer = open_muxer(fat / "out.mp4")
    file = muxer._file
    assert file.allowed_bytes == 2**32 - 1
    # A hole takes no room on the disk.
    file.seek(2**32 - 300_000)
    file.write(b"x")
    error = muxer.check_disk()
    assert isinstance(error, FileTooLargeError)
    assert (error.stopped_by, error.remedy) == ("size_limit", "record to a disk formatted as exFAT or another")
    assert error.message == f"{muxer.path} cannot grow beyond 4.3 GB (its disk is formatted as FAT)"
    muxer.discard()
    check_room(fat)


def test_the_tighter_limit_counts(fat: Path) -> None:
    with limited(10_000):
        limit = file_size_limit(fat)
        assert limit is not None
        assert limit.size_bytes == 10_000
        with pytest.raises(NotReadyError, match=r"only 10\.0 KB here"):
            check_room(fat)


def test_other_file_systems_have_no_limit(tmp_path: Path) -> None:
    assert file_size_limit(tmp_path) is None
    assert file_size_limit(tmp_path / "missing") is None


@pytest.mark.parametrize(("bits", "is_fat"), [(33, True), (64, False)])
def test_fat_is_known_by_its_sizes_on_macos(
    bits: int, is_fat: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(os, "pathconf", lambda path, name: bits)
    assert (file_size_limit(tmp_path) is not None) == is_fat
