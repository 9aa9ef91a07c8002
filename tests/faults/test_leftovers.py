"""Files of killed recorders: the next start prints a repair command for each, and that command works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from conftest import RunCapture, StartCapture

from capture.formats import CONTAINERS
from capture.output.replaced_file import left_aside
from capture.recordings.check import check
from capture.recordings.repair import repair
from capture.remote.runtime_folder import RuntimeFolder, claim

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

#: How many recorders two cores run at once.
AT_ONCE: Final = 3

#: Difficult names, one for each format.
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


def test_files_of_killed_recorders_are_reported_and_can_be_repaired(
    start_capture: StartCapture, run_capture: RunCapture, folder: Path, tmp_path: Path
) -> None:
    assert NAMES.keys() == CONTAINERS.keys()
    paths = {extension: folder / f"{name}.{extension}" for extension, name in NAMES.items()}

    def kill(extension: str) -> str:
        more = ("--source", "pattern", "--fps", "5", "--name", f"killed {extension}")
        with start_capture("record", paths[extension], *more) as recorder:
            recorder.until_recording(paths[extension])
            recorder.until_grown(paths[extension], 2)
            recorder.process.kill()
            assert recorder.wait() == -9
            return recorder.stderr

    with ThreadPoolExecutor(AT_ONCE) as pool:
        # Each recorder reports those killed before it.
        said = "".join(pool.map(kill, paths))
    # They left nothing but their recordings.
    assert sorted(folder.iterdir()) == sorted(paths.values())
    assert run_capture("status").returncode == 1, "and looking for them forgets nothing"

    done = run_capture("record", "next.ogg", "--source", "pattern", "--duration", "0.2")
    assert done.returncode == 0
    said += done.stderr
    assert all(line.isprintable() for line in said.split("\n"))
    named = re.findall(r"\. To fix it: capture repair (.+)$", said, re.MULTILINE)
    # What a shell makes of the printed commands.
    echo = ["bash", "-c", f"printf '%s\\0' {' '.join(named)}"]
    understood = subprocess.run(echo, cwd=tmp_path, check=True, timeout=60, stdout=subprocess.PIPE).stdout
    # The headers of these are right at any moment.
    broken = {path for extension, path in paths.items() if extension not in ("flac", "wav")}
    assert {Path(os.fsdecode(word)) for word in understood.split(b"\0")[:-1]} == broken
    assert run_capture("repair", paths["mp3"]).returncode == 0
    for path in paths.values():
        assert repair(path).after.ok
        assert check(path).problems == ()
    assert sorted(folder.iterdir()) == sorted(paths.values())

    again = run_capture("record", "another.ogg", "--source", "pattern", "--duration", "0.2")
    assert "capture repair" not in again.stderr, "it was said"


def test_a_file_that_is_whole_again_is_not_reported(
    start_capture: StartCapture, run_capture: RunCapture, folder: Path
) -> None:
    paths = [folder / name for name in ("repaired.mp4", "repaired.flac", "replaced.ogg", "left.ogg")]
    # All run together: each reports what was left when it starts.
    recorders = [start_capture("record", path, "--source", "pattern", "--name", path.name) for path in paths]
    for path, recorder in zip(paths, recorders, strict=True):
        with recorder:
            recorder.until_recording(path)
    for path in paths[:2]:
        assert run_capture("repair", path).returncode == 0
    more = ("--source", "pattern", "--duration", "0.2", "--overwrite")
    done = run_capture("record", paths[2], *more)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"To fix it: capture repair (.+)", done.stderr) == [str(paths[3])]
    assert run_capture("repair", paths[3]).returncode == 0


def test_a_file_that_was_to_be_replaced_is_named_until_it_has_its_name_back(
    start_capture: StartCapture, run_capture: RunCapture, folder: Path
) -> None:
    path = folder / "out.mp4"
    first = ("record", path, "--source", "pattern", "--fps", "5", "--duration", "1")
    assert run_capture(*first).returncode == 0
    old = path.read_bytes()
    with start_capture("record", path, "--source", "pattern", "--fps", "5", "--overwrite") as recorder:
        recorder.until_recording(path)
        assert left_aside(path) == [], "it is in use"
        recorder.process.kill()
        recorder.wait()
    (aside,) = left_aside(path)
    named = f"the file that {path} was to replace is kept as {aside}"
    # The note of the killed recorder says it.
    done = run_capture("record", "next.ogg", "--source", "pattern", "--duration", "0.2")
    assert done.stderr.splitlines().count(named) == 1
    # A power cut takes the notes as well. Who wants the name again hears of it.
    done = run_capture("record", path, "--source", "pattern", "--duration", "0.2", "--overwrite")
    assert done.returncode == 0
    assert done.stderr.splitlines().count(named) == 1
    assert left_aside(path) == [aside]
    path.write_bytes(b"nothing that plays")
    assert f"{path}: put back, " in run_capture("repair", path).stdout
    assert path.read_bytes() == old
    done = run_capture("record", path, "--source", "pattern", "--duration", "0.2", "--overwrite")
    assert "was to replace" not in done.stderr


def test_a_running_recorder_is_no_leftover(tmp_path: Path) -> None:
    living = claim("living", tmp_path / "capture")
    living.note(tmp_path / "out.mp4")
    with RuntimeFolder(tmp_path / "capture") as folder:
        assert folder.take_leftovers() == []
        assert folder.note("living")["recording"] == str(tmp_path / "out.mp4")
    living.release()
