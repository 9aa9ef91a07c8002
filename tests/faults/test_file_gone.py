"""What is recorded into is removed, moved, forbidden or can be written no more: what there is stays, and it is said."""

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
from disks import block_disk
from reopened import pictures
from running import Recorder, kinds

from capture.output.reserved_file import ReservedFile
from capture.recordings.check import check
from capture.recordings.repair import repair

if sys.platform != "linux":
    pytest.skip("no file that is open can be removed elsewhere", allow_module_level=True)

PATTERN: Final = ("--source", "pattern", "--fps", "10", "--json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    made.mkdir()
    return made


def replace_file(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"somebody else's")


@pytest.mark.parametrize("remove", [Path.unlink, lambda path: shutil.rmtree(path.parent), replace_file])
def test_a_file_that_is_removed_ends_the_recording(
    remove: Callable[[Path], None], folder: Path, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = folder / "out.mp4"
    with Recorder(capture_environment, tmp_path, "record", path, *PATTERN) as recorder:
        recorder.until_recording(path)
        remove(path)
        assert recorder.wait() == 1
        summary = recorder.summary()
        complaint = recorder.stderr.splitlines()[-1]
    assert complaint == f"capture: {path} was deleted while it was being recorded"
    assert (summary["path"], summary["stopped_by"], summary["size_bytes"]) == (str(path), "file_gone", 0)
    assert (summary["check"], kinds(summary)) == ("nothing was recorded", ["file_gone"])
    left = {item.name: item.read_bytes() for item in folder.iterdir()} if folder.exists() else {}
    assert left in ({}, {"out.mp4": b"somebody else's"})


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_that_is_moved_is_finished_where_it_is(
    what: str, folder: Path, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = folder / "out.mkv"
    moved = folder / "better name.mkv" if what == "file" else tmp_path / "elsewhere" / "out.mkv"
    with Recorder(capture_environment, tmp_path, "record", path, *PATTERN) as recorder:
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
def test_a_discarded_file_is_removed_where_it_is_and_no_other(overwrite: bool, folder: Path) -> None:
    path = folder / "out.mkv"
    if overwrite:
        path.write_bytes(b"old")
    own = ReservedFile(path, overwrite=overwrite)
    path.rename(folder / "moved.mkv")
    path.write_bytes(b"somebody else's")
    own.discard()
    assert not (folder / "moved.mkv").exists()
    # What stood aside comes back to its place.
    assert path.read_bytes() == (b"old" if overwrite else b"somebody else's")


def test_a_disk_that_can_be_read_alone_ends_the_recording(capture_environment: dict[str, str], tmp_path: Path) -> None:
    with block_disk(tmp_path, 30_000_000) as place:
        path = place / "out.mp4"
        with Recorder(capture_environment, tmp_path, "record", path, *PATTERN) as recorder:
            recorder.until_recording(path)
            recorder.until_grown(path, 3)
            # As the system does it when it finds the disk to be damaged.
            subprocess.run(["mount", "-o", "remount,abort", place], check=True, timeout=60)
            assert recorder.wait() == 1
            summary = recorder.summary()
            complaint = recorder.stderr.splitlines()[-1]
        assert complaint.startswith(f"capture: {path} ")
        assert f"{path} has what was recorded until then" in complaint
        assert (summary["path"], summary["stopped_by"]) == (str(path), "failed")
        assert "never closed" in summary["check"]
        assert pictures(path).end_s > 0.3
        copy = tmp_path / "copy.mp4"
        assert repair(path, copy).after.ok


def test_a_folder_that_may_not_be_entered_any_more(
    folder: Path, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    # Root without its right to go where it likes.
    by = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    if os.geteuid() == 0 and subprocess.run([*by, "true"], check=False, timeout=60).returncode != 0:
        pytest.skip("rights cannot be given up here")
    path = folder / "out.mkv"
    with Recorder(
        capture_environment, tmp_path, "record", path, *PATTERN, by=by if os.geteuid() == 0 else ()
    ) as recorder:
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
