"""Files and folders for the user alone, and reads that refuse what is not a file."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from capture.system.private_files import SMALL_BYTES, copy_mode, make_folder, read_small, replace

unix_only = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")


@pytest.fixture
def open_umask() -> Iterator[None]:
    """Let new files be open to everyone unless the program says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@unix_only
@pytest.mark.usefixtures("open_umask")
def test_every_folder_that_is_made_is_private(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o755)
    make_folder(tmp_path / "there" / "one" / "two")
    assert mode(tmp_path / "there") == 0o755
    assert mode(tmp_path / "there" / "one") == mode(tmp_path / "there" / "one" / "two") == 0o700
    make_folder(tmp_path / "there" / "one" / "two")


def test_a_file_in_place_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file")
    with pytest.raises(OSError, match="file"):
        make_folder(tmp_path / "file" / "folder")


@unix_only
@pytest.mark.usefixtures("open_umask")
def test_a_replaced_file_is_private_and_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("theirs")
    (tmp_path / "file").symlink_to(tmp_path / "other")
    replace(tmp_path / "file", b"ours")
    assert (tmp_path / "file").read_bytes() == b"ours"
    assert mode(tmp_path / "file") == 0o600
    assert (tmp_path / "other").read_text() == "theirs"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_failed_replacement_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    replace(tmp_path / "file", b"old")
    monkeypatch.setattr("capture.system.durable.sync_content", full)
    with pytest.raises(OSError, match="No space left"):
        replace(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_small_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(SMALL_BYTES))
    (tmp_path / "link").symlink_to("file")
    assert read_small(tmp_path / "link") == bytes(SMALL_BYTES)


def test_what_is_not_a_small_file_is_refused_without_waiting(tmp_path: Path) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no such pipes")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(bytes(SMALL_BYTES + 1))
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(str(tmp_path / "socket"))
        for path, reason in (
            (tmp_path / "pipe", "it is a pipe"),
            (tmp_path / "socket", "it is a socket"),
            (tmp_path, "it is a folder"),
            (Path("/dev/zero"), "it is a device"),
            (tmp_path / "large", "it is larger than 1 MB"),
        ):
            with pytest.raises(OSError, match=reason) as caught:
                read_small(path)
            assert caught.value.strerror == reason


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sys.platform == "win32":
        pytest.skip("Windows has no such pipes")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    looked_at = (tmp_path / "file").stat()
    monkeypatch.setattr(Path, "stat", lambda path: looked_at)
    with pytest.raises(OSError, match="it is a pipe"):
        read_small(tmp_path / "pipe")


@unix_only
@pytest.mark.parametrize(
    ("old_mode", "new_mode", "accepted"),
    [(0o600, 0o600, True), (0o755, 0o755, True), (0o644, 0o600, True), (0o600, 0o644, False), (0o640, 0o604, False)],
)
def test_a_file_system_that_denies_chmod_is_accepted_where_the_mode_opens_nothing(
    old_mode: int, new_mode: int, accepted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for path, given in ((old, old_mode), (new, new_mode)):
        path.touch()
        path.chmod(given)

    def deny(path: Path, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "chmod", deny)
        if accepted:
            copy_mode(old, new)
        else:
            with pytest.raises(PermissionError):
                copy_mode(old, new)
    assert mode(new) == new_mode
    copy_mode(old, new)
    assert mode(new) == old_mode
