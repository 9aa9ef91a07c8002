"""Scratch folders: private, always removed, and never those of another process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import PROJECT
from written import write

from capture.cli.main import main
from capture.errors import DiskFullError, OutputError
from capture.output.muxer import Muxer
from capture.recordings.scratch import scratch_folder

if sys.platform == "win32":
    pytest.skip("folders cannot be locked there", allow_module_level=True)

WORKING: Final = """
import sys
import tempfile
from pathlib import Path
from capture.recordings.scratch import scratch_folder
with scratch_folder(Path(sys.argv[1])) as folder:
    (folder / "clip.mp4").write_bytes(b"half of it")
    print("ready", flush=True)
    sys.stdin.read()
"""


def fail_in(place: Path) -> None:
    with scratch_folder(place) as folder:
        assert folder.parent == place
        assert folder.name.startswith(".")
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "clip.mp4").write_bytes(b"half of it")
        raise ZeroDivisionError


def test_a_scratch_folder_is_private_and_removed_afterwards(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_in(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_a_folder_that_the_next_one_removes(tmp_path: Path) -> None:
    (tmp_path / ".capture-scratch-notes").write_text("a file of that name is no folder")
    with subprocess.Popen(
        [sys.executable, "-c", WORKING, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        (other,) = (path for path in tmp_path.iterdir() if path.is_dir())
        with scratch_folder(tmp_path) as first, scratch_folder(tmp_path) as second:
            assert {path for path in tmp_path.iterdir() if path.is_dir()} == {other, first, second}
        assert (other / "clip.mp4").read_bytes() == b"half of it"
        process.kill()
    assert other.exists()
    with scratch_folder(tmp_path) as folder:
        assert {path for path in tmp_path.iterdir() if path.is_dir()} == {folder}
    assert [path.name for path in tmp_path.iterdir()] == [".capture-scratch-notes"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can remove another user's folder")
def test_a_leftover_of_another_user_stays(tmp_path: Path) -> None:
    theirs = tmp_path / ".capture-scratch-theirs"
    theirs.mkdir()
    (theirs / "clip.mp4").touch()
    os.chown(theirs, 12_345, 12_345)
    with scratch_folder(tmp_path):
        pass
    assert (theirs / "clip.mp4").exists()


def test_a_missing_place_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere cannot be written"), scratch_folder(tmp_path / "nowhere"):
        pass


def test_a_folder_that_another_process_is_removing_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    made: list[Path] = []
    held: list[int] = []
    make = tempfile.mkdtemp

    def make_and_lose_first(**where: Any) -> str:
        made.append(Path(make(**where)))
        if len(made) == 1:
            # Another recorder takes it for a leftover before it is locked.
            held.append(os.open(made[0], os.O_RDONLY))
            fcntl.flock(held[0], fcntl.LOCK_EX)
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_lose_first)
    with scratch_folder(tmp_path) as folder:
        assert (len(made), folder) == (2, made[1])
    os.close(held[0])


@pytest.mark.parametrize("is_link", [False, True])
def test_an_error_does_not_name_a_file_that_the_user_never_sees(is_link: bool, tmp_path: Path) -> None:
    place = tmp_path / "two words"
    place.mkdir()
    if is_link:
        place = tmp_path / "link"
        place.symlink_to("two words")
    with pytest.raises(DiskFullError) as caught, scratch_folder(place) as folder:
        raise DiskFullError(f"{folder.resolve() / 'new.mp4'} cannot be written (No space left on device)", "free some")
    assert str(caught.value) == "the new file cannot be written (No space left on device): free some"


@pytest.mark.parametrize("arguments", [["trim", "--from", "1"], ["join"]])
def test_a_full_disk_names_the_file_that_was_asked_for(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("two words.mp4"))
    verb, *options = arguments

    def full(muxer: Muxer, *_: Any, **__: Any) -> None:
        raise DiskFullError(f"{muxer.path} cannot be written (No space left on device)", "free some space")

    monkeypatch.setattr(Muxer, "start", full)
    assert main([verb, *["two words.mp4"] * (2 if verb == "join" else 1), *options]) == 1
    said = capsys.readouterr().err
    assert said.startswith("capture: two words-")
    assert said.endswith("was not written: the new file cannot be written (No space left on device): free some space\n")
    assert [path.name for path in tmp_path.iterdir()] == ["two words.mp4"]
