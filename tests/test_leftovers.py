"""What recorders leave that are killed is named at the next start, as it can be typed, and made whole by that."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from conftest import RunCapture
from running import Recorder

from capture.recordings.check import check
from capture.settings import CONTAINERS
from capture.triggers.runtime import RuntimeFolder, claim

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: Names as they come, one for each format.
NAMES: Final = {
    "mp4": "plain",
    "mov": "with spaces",
    "mkv": 'it\'s "quoted"',
    "webm": "-v",
    "ogg": "new\nline\ttab",
    "opus": "grüße 🎬",
    "m4a": "$HOME `id` \\ *?;&|",
    "mp3": os.fsdecode(b"no \xff\xfe text"),
    "flac": "\x1b]0;title\x07\x1b[31mred",
    "wav": "\u202eright to left",
}


def test_what_is_killed_is_named_and_made_whole(
    capture_environment: dict[str, str], run_capture: RunCapture, tmp_path: Path
) -> None:
    assert NAMES.keys() == CONTAINERS.keys()
    folder = tmp_path / "made"
    folder.mkdir()
    paths = {extension: folder / f"{name}.{extension}" for extension, name in NAMES.items()}
    said = ""
    for extension, path in paths.items():
        more = ("--source", "pattern", "--fps", "5", "--name", f"killed {extension}")
        with Recorder(capture_environment, tmp_path, "record", path, *more) as recorder:
            recorder.until_recording(path)
            recorder.until_grown(path, 2)
            recorder.process.kill()
            assert recorder.wait() == -9
            # Each names the one before.
            said += recorder.stderr
    # Nothing else of them is left beside what they recorded.
    assert sorted(folder.iterdir()) == sorted(paths.values())
    assert run_capture("status").returncode == 1, "and looking for them forgets nothing"

    done = run_capture("record", "next.ogg", "--source", "pattern", "--duration", "0.2")
    assert done.returncode == 0
    said += done.stderr
    assert all(line.isprintable() for line in said.splitlines())
    commands = re.findall(r": (capture repair .+) makes it whole$", said, re.MULTILINE)
    assert len(commands) == len(paths)
    script = "\n".join(f"{sys.executable} -m {command} || exit 1" for command in commands)
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=capture_environment, check=True, timeout=120)
    for path in paths.values():
        assert check(path).problems == ()
    assert sorted(folder.iterdir()) == sorted(paths.values())

    again = run_capture("record", "another.ogg", "--source", "pattern", "--duration", "0.2")
    assert "capture repair" not in again.stderr, "it was said"


def test_one_that_lives_is_no_leftover(tmp_path: Path) -> None:
    living = claim("living", tmp_path / "capture")
    living.note(tmp_path / "out.mp4")
    with RuntimeFolder(tmp_path / "capture") as folder:
        assert folder.take_leftovers() == []
        assert folder.note("living")["recording"] == str(tmp_path / "out.mp4")
    living.release()
