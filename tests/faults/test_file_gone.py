"""The output file is removed, moved, made inaccessible or read-only: what exists stays, and the fault is reported."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import StartCapture
from disks import block_disk
from reopened import pictures
from running import kinds

from capture.output.reserved_file import ReservedFile
from capture.recordings.check import check
from capture.recordings.repair import repair

if sys.platform != "linux":
    pytest.skip("other systems do not let open files be removed", allow_module_level=True)

PATTERN: Final = ("--source", "pattern", "--fps", "10", "--json")


def replace_file(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"somebody else's")


@pytest.mark.parametrize("remove", [Path.unlink, lambda path: shutil.rmtree(path.parent), replace_file])
def test_a_file_that_is_removed_ends_the_recording(
    remove: Callable[[Path], None], folder: Path, start_capture: StartCapture
) -> None:
    path = folder / "out.mp4"
    with start_capture("record", path, *PATTERN) as recorder:
        recorder.until_recording(path)
        remove(path)
        assert recorder.wait() == 1
        summary = recorder.summary()
        *lines, complaint = recorder.stderr.splitlines()
    assert complaint == f"capture: {path} was deleted while it was being recorded"
    assert not any(line.startswith(("saved ", "the track ")) for line in lines)
    assert (summary["path"], summary["stopped_by"], summary["size_bytes"]) == (str(path), "file_gone", 0)
    assert (summary["check"], kinds(summary)) == ("nothing was recorded", ["file_gone"])
    left = {item.name: item.read_bytes() for item in folder.iterdir()} if folder.exists() else {}
    assert left in ({}, {"out.mp4": b"somebody else's"})


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_that_is_moved_is_finished_where_it_is(
    what: str, folder: Path, start_capture: StartCapture, tmp_path: Path
) -> None:
    path = folder / "out.mkv"
    moved = folder / "better name.mkv" if what == "file" else tmp_path / "elsewhere" / "out.mkv"
    with start_capture("record", path, *PATTERN) as recorder:
        recorder.until_recording(path)
        if what == "file":
            path.rename(moved)
        else:
            folder.rename(moved.parent)
        recorder.until_grown(moved)
        summary = recorder.stop()
        assert f"saved {moved}" in recorder.stderr
    assert (summary["path"], summary["check"], kinds(summary)) == (str(moved), "ok", ["moved"])
    assert check(moved).ok
    assert list(moved.parent.iterdir()) == [moved]


@pytest.mark.parametrize("overwrite", [False, True])
def test_discarding_a_moved_file_removes_that_file_and_no_other(overwrite: bool, folder: Path) -> None:
    path = folder / "out.mkv"
    if overwrite:
        path.write_bytes(b"old")
    own = ReservedFile(path, overwrite=overwrite)
    path.rename(folder / "moved.mkv")
    path.write_bytes(b"somebody else's")
    own.discard()
    assert not (folder / "moved.mkv").exists()
    # The file that was to be overwritten is back in its place.
    assert path.read_bytes() == (b"old" if overwrite else b"somebody else's")


def test_a_disk_that_turns_read_only_ends_the_recording(start_capture: StartCapture, tmp_path: Path) -> None:
    with block_disk(tmp_path, 30_000_000) as place:
        path = place / "out.mp4"
        with start_capture("record", path, *PATTERN) as recorder:
            recorder.until_recording(path)
            recorder.until_grown(path, 3)
            # The kernel does the same when it finds the disk damaged.
            subprocess.run(["mount", "-o", "remount,abort", place], check=True, timeout=60)
            assert recorder.wait() == 1
            summary = recorder.summary()
            complaint = recorder.stderr.splitlines()[-1]
        assert complaint.startswith(f"capture: {path} ")
        assert f"what was recorded until then is in {path}" in complaint
        assert (summary["path"], summary["stopped_by"]) == (str(path), "failed")
        assert "never closed" in summary["check"]
        assert pictures(path).end_s > 0.3
        copy = tmp_path / "copy.mp4"
        assert repair(path, copy).after.ok


def test_a_recording_is_finished_in_a_folder_that_became_inaccessible(
    folder: Path, start_capture: StartCapture
) -> None:
    # Root without the capabilities that override file permissions.
    by = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    if os.geteuid() == 0 and subprocess.run([*by, "true"], check=False, timeout=60).returncode != 0:
        pytest.skip("rights cannot be given up here")
    path = folder / "out.mkv"
    with start_capture("record", path, *PATTERN, by=by if os.geteuid() == 0 else ()) as recorder:
        recorder.until_recording(path)
        folder.chmod(0)
        try:
            recorder.process.terminate()
            assert recorder.wait() == 1
        finally:
            folder.chmod(0o700)
        found: dict[str, Any] = json.loads(recorder.stdout)
        assert f"{path}' cannot be opened (Permission denied)" in recorder.stderr
    assert (found["path"], found["stopped_by"]) == (str(path), "terminate")
    assert found["size_bytes"] == path.stat().st_size
    assert check(path).ok, "it was finished all the same"
