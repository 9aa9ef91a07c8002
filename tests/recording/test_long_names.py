"""Recordings whose names are as long as the file system allows."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

import pytest
from conftest import RunCapture
from reopened import ledger_lines

from capture.recordings.check import check

if sys.platform == "win32":
    pytest.skip("Windows counts whole paths", allow_module_level=True)

PATTERN: Final = ("--source", "pattern", "--scale", "64x64", "--duration", "0.5", "--no-hotkeys", "--json")


@pytest.mark.parametrize("length", [245, 255])
def test_the_longest_names_are_recorded_logged_and_replaced(length: int, run_capture: RunCapture, folder: Path) -> None:
    path = folder / f"{'ü' * ((length - 4) // 2)}{'x' * (length % 2)}.mkv"
    assert len(os.fsencode(path.name)) == length
    for more in ((), ("--overwrite",)):
        done = run_capture("record", path, *PATTERN, "--log", *more)
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        assert (summary["path"], summary["check"]) == (str(path), "ok")
        assert [line["kind"] for line in ledger_lines(Path(summary["ledger"]))][-1] == "ended"
        assert {str(found) for found in folder.iterdir()} == {str(path), summary["ledger"]}
    assert check(path).ok


def test_two_long_names_that_differ_at_the_end_have_ledgers_of_their_own(run_capture: RunCapture, folder: Path) -> None:
    ledgers = set()
    for letter in "ab":
        done = run_capture("record", folder / f"{'x' * 240}{letter}.mkv", *PATTERN, "--log", "--overwrite")
        ledgers.add(json.loads(done.stdout)["ledger"])
    assert len(ledgers) == 2
    assert len(list(folder.iterdir())) == 4
