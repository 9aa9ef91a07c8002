"""The runtime folder: it is private, a name has one holder, and what a crash left behind is recognised."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from conftest import PROJECT
from running import LIMIT_S

from capture.errors import NotReadyError, UsageError
from capture.remote import runtime_folder
from capture.remote.runtime_folder import Claim, RuntimeFolder, check_name, claim, default_folder
from capture.system.unix_socket import connect, listen

if sys.platform == "win32":
    pytest.skip("the remote control does not work on Windows", allow_module_level=True)

#: The user `nobody` of Linux.
NOBODY: Final = 65_534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")

#: Claims and releases a name, one order per input line, and prints how each went.
CLAIMANT: Final = """
import sys
from pathlib import Path
from capture.errors import UsageError
from capture.system.unix_socket import listen
from capture.remote import runtime_folder
from capture.remote.runtime_folder import claim
name, folder, taken = sys.argv[1] or None, Path(sys.argv[2]), None
for line in sys.stdin:
    try:
        if line == "claim\\n":
            taken = claim(name, folder)
            taken.folder.remove_socket(taken.name)
            listener = listen(taken.address)
            taken.note(Path("/recordings/talk.mp4"))
            print(taken.name, flush=True)
        elif taken is not None:
            taken.release()
            listener.close()
            taken = None
            print("released", flush=True)
        else:
            print("had nothing", flush=True)
    except UsageError as error:
        print(error, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "capture"


class Claimant:
    """A process that claims and releases `name` in `folder` when ordered to."""

    def __init__(self, name: str, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CLAIMANT, name, str(folder)],
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def order(self, word: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{word}\n")

    def reply(self) -> str:
        """Return the next line that the process prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def claimant(name: str, folder: Path) -> Iterator[Claimant]:
    """Run a `Claimant`, which is killed at the end."""
    made = Claimant(name, folder)
    with made.process:
        try:
            yield made
        finally:
            made.process.kill()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def taken(name: str | None, folder: Path) -> str:
    """Return the message with which a claim is refused because the name is taken."""
    with pytest.raises(UsageError) as refusal:
        claim(name, folder)
    return str(refusal.value)


def unusable(folder: Path) -> str:
    """Return the message with which a claim is refused because of the folder."""
    with pytest.raises(NotReadyError) as refusal:
        claim(None, folder)
    return str(refusal.value)


# The folder


def test_the_default_is_in_the_users_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert default_folder() == tmp_path / "capture"


@pytest.mark.parametrize("named", ["", "relative", "/nonexistent/folder", "a\tb"])
def test_without_a_runtime_folder_the_path_contains_the_user_id(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", named)
    user = os.geteuid()
    of_the_system = Path(f"/run/user/{user}")
    elsewhere = Path(tempfile.gettempdir()) / f"capture-{user}"
    assert default_folder() == (of_the_system / "capture" if of_the_system.is_dir() else elsewhere)


@as_root
def test_another_users_runtime_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert tmp_path not in default_folder().parents


def test_the_folder_is_private_and_is_removed_when_empty(folder: Path) -> None:
    before = os.umask(0)
    try:
        made = claim(None, folder)
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert mode(folder / "capture.lock") == 0o600
    made.release()
    made.release()
    assert not folder.exists()


def test_a_readable_folder_is_made_private(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    made = claim(None, folder)
    assert mode(folder) == 0o700
    made.release()


@pytest.mark.parametrize("rights", [0o777, 0o770, 0o702, 0o1777])
def test_a_folder_writable_by_others_is_refused(rights: int, folder: Path) -> None:
    folder.mkdir()
    folder.chmod(rights)
    assert "is writable by others: remove it" in unusable(folder)
    with pytest.raises(NotReadyError):
        RuntimeFolder(folder)


@as_root
def test_another_users_folder_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    os.chown(folder, NOBODY, NOBODY)
    assert "belongs to another user: remove it" in unusable(folder)


def test_a_symbolic_link_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to("elsewhere")
    assert "cannot use the folder" in unusable(folder)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_is_refused(folder: Path) -> None:
    folder.touch()
    assert "cannot use the folder" in unusable(folder)


def test_a_folder_without_a_parent_is_refused(tmp_path: Path) -> None:
    assert "is not a folder: set XDG_RUNTIME_DIR to a folder" in unusable(tmp_path / "missing" / "capture")


def test_a_lock_that_is_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    folder.mkdir(mode=0o700)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (folder / "capture.lock").symlink_to(precious)
    assert "cannot use the folder" in unusable(folder)
    assert precious.read_text() == "precious"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems limit a socket's path")
def test_the_folders_path_may_be_long(tmp_path: Path) -> None:
    parent = tmp_path.joinpath(*["long" * 20] * 5)
    parent.mkdir(parents=True)
    made = claim("x" * 64, parent / "capture")
    with listen(made.address), connect(made.address, 0.0):
        assert mode(parent / "capture" / f"{'x' * 64}.sock") == 0o600
    made.release()


def test_a_path_too_long_for_a_socket_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = claim(None, tmp_path / ("long" * 25))
    # As on a system without /proc.
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    with pytest.raises(NotReadyError, match="too long for a socket: set XDG_RUNTIME_DIR to a shorter path"):
        _ = made.address
    made.release()


def test_errors_leave_no_descriptor_open(folder: Path) -> None:
    def descriptors() -> int:
        return len(os.listdir("/dev/fd"))  # noqa: PTH208

    held = claim("x", folder)
    before = descriptors()
    for _ in range(5):
        taken("x", folder)
        folder.chmod(0o777)
        unusable(folder)
        folder.chmod(0o700)
    assert descriptors() == before
    held.release()


# Names


@pytest.mark.parametrize("name", ["a", "x" * 64, "voice notes", "später", "2"])
def test_a_valid_name_is_accepted(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", " ", "a/b", "..\\b", "a\nb", "a\0b", "\x1b[2J", "\udcff", "x" * 65, "ж" * 33])
def test_an_invalid_name_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(UsageError, match="use 1 to 64 letters"):
        check_name(name)
    with pytest.raises(UsageError):
        claim(name, folder)
    assert not folder.exists()


def test_without_a_name_the_first_free_one_is_taken(folder: Path) -> None:
    claims = [claim(None, folder) for _ in range(4)]
    assert [made.name for made in claims] == ["capture", "capture-2", "capture-3", "capture-4"]
    claims[1].release()
    claims[1] = claim(None, folder)
    assert claims[1].name == "capture-2"
    for made in claims:
        made.release()
    assert not folder.exists()


def test_a_taken_name_is_refused(folder: Path) -> None:
    held = claim("x", folder)
    assert taken("x", folder) == "a recorder called 'x' is already running: choose another --name"
    claim("y", folder).release()
    held.release()
    claim("x", folder).release()


def test_of_several_processes_that_claim_a_name_at_once_one_gets_it(folder: Path) -> None:
    with claimant("x", folder) as one, claimant("x", folder) as two, claimant("x", folder) as three:
        racers = (one, two, three)
        for _ in range(30):
            for racer in racers:
                racer.order("claim")
            replies = [racer.reply() for racer in racers]
            assert sorted(replies) == [*["a recorder called 'x' is already running: choose another --name"] * 2, "x"]
            for racer in racers:
                racer.order("release")
            assert sorted(racer.reply() for racer in racers) == ["had nothing", "had nothing", "released"]
    assert not folder.exists()


def test_removing_the_folder_does_not_disturb_recorders_that_enter_it(folder: Path) -> None:
    """The last recorder to leave removes the folder, while others enter it."""
    failures: list[BaseException] = []
    names = set()

    def come_and_go() -> None:
        try:
            for _ in range(100):
                made = claim(None, folder)
                names.add(made.name)
                assert made.folder.note(made.name) == {"pid": os.getpid()}
                with listen(made.address):
                    assert made.name in made.folder.names()
                made.release()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert names <= {"capture", "capture-2", "capture-3", "capture-4"}
    assert not folder.exists()


# After a crash


@pytest.fixture
def crashed(folder: Path) -> Path:
    """The folder after its recorder `x` was killed."""
    with claimant("x", folder) as killed:
        killed.order("claim")
        assert killed.reply() == "x"
        killed.process.kill()
    assert sorted(path.name for path in folder.iterdir()) == ["x.lock", "x.sock"]
    return folder


def test_the_name_of_a_killed_recorder_is_free(crashed: Path) -> None:
    made = claim("x", crashed)
    assert made.crash_note["recording"] == "/recordings/talk.mp4"
    assert made.crash_note["pid"] != os.getpid()
    assert json.loads((crashed / "x.lock").read_text()) == {"pid": os.getpid()}
    made.release()
    assert not crashed.exists()


def test_clean_removes_a_killed_recorders_socket_and_keeps_its_note(crashed: Path) -> None:
    with RuntimeFolder(crashed) as opened:
        assert opened.names() == ["x"]
        opened.clean("x")
        assert opened.names() == []
        assert opened.note("x")["recording"] == "/recordings/talk.mp4"


def test_clean_removes_nothing_of_a_running_recorder(folder: Path) -> None:
    made = claim("x", folder)
    with listen(made.address), RuntimeFolder(folder) as opened:
        opened.clean("x")
        assert opened.names() == ["x"]
    made.release()


def test_checking_a_lock_does_not_keep_a_recorder_from_starting(crashed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise a status request could cost a recorder its name."""
    # These threads check without a pause, and on a busy machine they are often stopped while they hold the lock.
    monkeypatch.setattr(runtime_folder, "_LOOK_LIMIT_S", LIMIT_S)
    over = threading.Event()

    def look() -> None:
        with RuntimeFolder(crashed) as opened:
            while not over.is_set():
                opened.clean("x")

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        # A recorder that stays keeps the folder alive, which the checking threads hold open.
        stays = claim("stays", crashed)
        for _ in range(50):
            made = claim("x", crashed)
            with listen(made.address):
                assert "x" in made.folder.names()
            made.release()
        stays.release()
    finally:
        over.set()
        for thread in threads:
            thread.join()


def test_the_note_contains_the_file_being_recorded(folder: Path) -> None:
    made: Claim = claim("x", folder)
    for name in ("/a/long/name/talk.mp4", "/b.ogg", "/ж\udcff.mp4"):
        made.note(Path(name))
        assert made.folder.note("x") == {"pid": os.getpid(), "recording": name}
    made.note(None)
    assert made.folder.note("x") == {"pid": os.getpid()}
    assert made.folder.note("nobody") == {}
    made.release()
    made.note(Path("/too/late.mp4"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 60_000])
def test_an_unreadable_note_counts_as_empty(content: bytes, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "x.lock").write_bytes(content)
    made = claim("x", folder)
    assert made.crash_note == {}
    made.release()


def test_files_of_other_programs_are_ignored(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    for name in (".sock", "a\nb.sock", "x" * 100 + ".sock", "note.txt", "good.sock"):
        (folder / name).touch()
    with RuntimeFolder(folder) as opened:
        assert opened.names() == ["good"]
