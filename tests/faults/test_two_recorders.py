"""Two recorders at once: with the same output one of them is refused; with two outputs both files are right."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import numpy as np
import pytest
from conftest import RunCapture, StartCapture
from pattern_clock import clock_offsets_s
from reopened import sound

from capture.errors import UsageError
from capture.output.locked_file import is_being_recorded
from capture.output.reserved_file import ReservedFile
from capture.recordings.check import check

if sys.platform == "win32":
    pytest.skip("Windows protects the names of open files", allow_module_level=True)

PATTERN: Final = ("--source", "pattern", "--fps", "10")


def test_the_second_recorder_is_refused_and_the_first_goes_on(
    start_capture: StartCapture, run_capture: RunCapture, tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4"
    with start_capture("record", path, *PATTERN, "--json") as recorder:
        recorder.until_recording(path)
        for arguments, why in (((), "exists already"), (("--overwrite",), "is being recorded by another recorder")):
            second = run_capture("record", path, *PATTERN, *arguments)
            assert second.returncode == 2
            assert second.stderr.splitlines()[-1].startswith(f"capture: {path} {why}")
        for what in (path, tmp_path):
            repaired = run_capture("repair", what)
            assert repaired.returncode == 1
            assert f"{path} is still being recorded" in repaired.stderr
        recorder.until_grown(path)
        summary = recorder.stop()
    assert (summary["check"], summary["size_bytes"]) == ("ok", path.stat().st_size)
    assert check(path).ok
    assert not is_being_recorded(path)
    # Now the file may be replaced.
    assert run_capture("record", path, *PATTERN, "--overwrite", "--duration", "0.5").returncode == 0
    assert check(path).duration_s < 1.0


@pytest.mark.parametrize("overwrite", [False, True])
def test_only_one_of_several_simultaneous_recorders_gets_the_file(
    overwrite: bool, start_capture: StartCapture, folder: Path
) -> None:
    path = folder / "out.mkv"
    if overwrite:
        path.write_bytes(b"old" * 1000)
    more = ["--overwrite"] if overwrite else []
    with ExitStack() as stack:
        recorders = [
            stack.enter_context(start_capture("record", path, *PATTERN, "--duration", "1", *more, "--json"))
            for _ in range(3)
        ]
        codes = sorted(recorder.wait() for recorder in recorders)
        # A recorder that starts after the first has ended may replace the file.
        assert codes[0] == 0
        assert codes.count(0) == 1 or overwrite
        assert set(codes) <= {0, 2}, [recorder.stderr for recorder in recorders]
    assert check(path).ok
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("overwrite", [False, True])
def test_only_one_thread_reserves_a_name(overwrite: bool, tmp_path: Path) -> None:
    path, at_once = tmp_path / "out.mp4", 4
    together = threading.Barrier(at_once)

    def take(_: int) -> ReservedFile | None:
        together.wait(60)
        try:
            return ReservedFile(path, overwrite=overwrite)
        except UsageError:
            return None

    with ThreadPoolExecutor(at_once) as pool:
        for _ in range(100):
            if overwrite:
                path.write_bytes(b"old")
            taken = [own for own in pool.map(take, range(at_once)) if own is not None]
            assert len(taken) == 1
            assert is_being_recorded(path)
            taken[0].keep()
            path.unlink()
            assert list(tmp_path.iterdir()) == []


def test_two_recorders_with_two_outputs_are_both_right(start_capture: StartCapture, tmp_path: Path) -> None:
    paths = [tmp_path / "one.mp4", tmp_path / "two.mkv"]
    with ExitStack() as stack:
        recorders = [
            stack.enter_context(start_capture("record", path, "--source", "pattern", "--json")) for path in paths
        ]
        for recorder, path in zip(recorders, paths, strict=True):
            recorder.until_recording(path)
        for recorder, path in zip(recorders, paths, strict=True):
            recorder.until_grown(path, 6)
        for recorder, path in zip(recorders, paths, strict=True):
            assert recorder.stop()["path"] == str(path)
    for path in paths:
        assert check(path).ok
        assert max(map(abs, clock_offsets_s(path))) < 0.04
        track = sound(path)
        loud = np.abs(track.samples) > 0.1
        begins_s = np.flatnonzero(loud[1:] & ~loud[:-1]) / track.rate + track.start_s
        assert len(begins_s) > 0
        from_second_s = (begins_s + 0.5) % 1.0 - 0.5
        beeps_s = from_second_s[np.abs(from_second_s) < 0.05]
        assert len(beeps_s) > 0
        assert np.abs(np.min(beeps_s)) < 0.02
