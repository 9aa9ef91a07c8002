"""A file that is replaced waits under a random, hidden name; nothing destroys it, and it can be found again."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from capture.errors import OutputError, UsageError
from capture.output.locked_file import is_being_recorded
from capture.output.replaced_file import left_aside
from capture.output.reserved_file import ReservedFile

#: Replaces a file as a recorder does, and dies before the new one is finished, always under the same process id.
KILLED = """
import os, sys
from pathlib import Path
from capture.output.reserved_file import ReservedFile
os.getpid = lambda: 1
own = ReservedFile(Path(sys.argv[1]), overwrite=True)
os.write(own.descriptor, sys.argv[2].encode())
os._exit(9)
"""


def killed_while_replacing(path: Path, content: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, path, content], check=False, timeout=60)
    assert done.returncode == 9


@pytest.mark.parametrize("name", ["out.mp4", ".hidden", "%s 'quoted'.mkv", "x" * 251 + ".mp4", "ü" * 125 + ".mkv"])
def test_two_kills_in_a_row_destroy_nothing(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text("original")
    os.utime(path, (1, 1))
    killed_while_replacing(path, "first")
    os.utime(path, (2, 2))
    killed_while_replacing(path, "second")
    assert path.read_text() == "second"
    assert [each.read_text() for each in left_aside(path)] == ["original", "first"]
    assert {each.name[0] for each in left_aside(path)} == {"."}
    assert len(list(tmp_path.iterdir())) == 3


def test_long_names_that_begin_alike_are_kept_apart(tmp_path: Path) -> None:
    paths = [tmp_path / ("x" * 250 + ending) for ending in ("1.mp4", "2.mp4")]
    for path in paths:
        path.write_text(path.name)
        killed_while_replacing(path, "new")
    for path in paths:
        assert [each.read_text() for each in left_aside(path)] == [path.name]


def test_the_files_of_other_names_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("old")
    killed_while_replacing(path, "new")
    for other in ("out.mp", "t.mp4", "out.mp4.mkv", "OUT.mp4"):
        assert left_aside(tmp_path / other) == []
    assert left_aside(tmp_path / "gone" / "out.mp4") == []
    assert len(left_aside(path)) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks there")
def test_a_file_that_a_recorder_is_replacing_is_not_left_aside(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("old")
    own = ReservedFile(path, overwrite=True)
    assert own.set_aside is not None
    assert is_being_recorded(own.set_aside)
    assert left_aside(path) == []
    own.discard()
    own.discard()
    assert own.set_aside is None
    assert path.read_text() == "old"
    assert not is_being_recorded(path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux syncs content alone")
@pytest.mark.parametrize("reported", [False, True])
def test_a_file_that_could_not_be_stored_does_not_cost_the_old_one(
    reported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    path = tmp_path / "out.mp4"
    path.write_text("old")
    own = ReservedFile(path, overwrite=True)
    if not reported:
        monkeypatch.setattr("os.fdatasync", fail)
    with pytest.raises(OutputError, match=r"out\.mp4 could not be stored \(Input/output error\)"):
        own.keep(OSError(errno.EIO, "Input/output error") if reported else None)
    assert own.set_aside is not None
    assert own.set_aside.read_text() == "old"
    assert left_aside(path) == [own.set_aside]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_cannot_be_removed_is_named(
    overwrite: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    path = tmp_path / "out.mp4"
    if overwrite:
        path.write_text("old")
    own = ReservedFile(path, overwrite=overwrite)
    aside = own.set_aside
    monkeypatch.setattr(Path, "replace" if overwrite else "unlink", fail)
    with pytest.raises(OutputError, match=r"out\.mp4 cannot be removed \(Read-only file system\)") as caught:
        own.discard()
    assert aside is None or str(aside) in caught.value.remedy
    assert not is_being_recorded(path)


def test_a_folder_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        ReservedFile(tmp_path, overwrite=True)
