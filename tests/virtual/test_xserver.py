"""The private X server beside other users: its cookie reaches nothing but itself."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from conftest import PROJECT

from capture.errors import NotReadyError
from capture.system.unix_socket import hold_name, listens
from capture.virtual import xserver
from capture.virtual.supervised_process import SupervisedProcess
from capture.virtual.xserver import XServer

if sys.platform != "linux":
    pytest.skip("a private X server needs Linux", allow_module_level=True)

#: Another user, who need not exist.
STRANGER: Final = 54_321

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

#: Listens at an address as another user and writes whatever it receives to its standard output.
LISTENING: Final = """
import os, socket, sys
os.setuid(int(sys.argv[1]))
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[2].replace("@", chr(0)))
listener.listen()
print("listening", flush=True)
while True:
    received = listener.accept()[0].recv(4096)
    os.write(1, received)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a desk; its X server takes numbers that no other test uses."""
    monkeypatch.setattr(xserver, "FIRST_NUMBER", 500 + os.getpid() % 400)
    return tmp_path


@contextmanager
def opened(folder: Path) -> Iterator[XServer]:
    server = XServer(folder, 320, 240)
    try:
        server.open(dict(os.environ), time.monotonic() + 30)
        yield server
    finally:
        server.close()


@contextmanager
def stranger_at(address: str, received: Path) -> Iterator[None]:
    """Another user's program listens at `address`; everything that it gets is in `received`."""
    with (
        received.open("wb") as output,
        subprocess.Popen([sys.executable, "-c", LISTENING, str(STRANGER), address], stdout=output) as program,
    ):
        try:
            deadline_s = time.monotonic() + 20
            while b"listening" not in received.read_bytes() and time.monotonic() < deadline_s:
                time.sleep(0.01)
            yield
        finally:
            program.kill()
    Path(address).unlink(missing_ok=True)


@pytest.fixture
def cookies(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The access files with which X servers are started, in order."""
    found = []
    start = XServer._start

    def watched(self: XServer, number: int, environment: dict[str, str]) -> SupervisedProcess:
        found.append(self.authority.read_bytes())
        return start(self, number, environment)

    monkeypatch.setattr(XServer, "_start", watched)
    return found


@needs_root
@pytest.mark.parametrize(("place", "tries"), [("/tmp/.X11-unix/X{}", 1), ("@/tmp/.X11-unix/X{}", 2)])  # noqa: S108
def test_a_stranger_who_takes_the_number_first_gets_no_cookie(
    place: str, tries: int, folder: Path, tmp_path: Path, cookies: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = xserver.FIRST_NUMBER
    received = tmp_path / "received"
    # The stranger comes after the look at the number, and before the server. As root, Xvfb removes the stranger's
    # socket from the folder; it cannot take over an abstract name.
    monkeypatch.setattr(xserver, "_is_taken", lambda number: False)
    with stranger_at(place.format(number), received):
        with opened(folder) as server:
            assert server.display == f":{number + tries - 1}"
            assert server.authority.read_bytes() == cookies[-1]
        assert received.read_bytes() == b"listening\n"
    assert len(set(cookies)) == tries


@needs_root
def test_a_strangers_server_is_skipped_without_a_try(folder: Path, tmp_path: Path, cookies: list[bytes]) -> None:
    number = xserver.FIRST_NUMBER
    with stranger_at(xserver._socket_of(number), tmp_path / "received"), opened(folder) as server:
        assert server.display == f":{number + 1}"
    assert len(cookies) == 1
    assert (tmp_path / "received").read_bytes() == b"listening\n"


@needs_root
def test_a_strangers_dead_socket_is_skipped_by_an_ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    number = 500 + os.getpid() % 400
    place = Path(xserver._socket_of(number))
    with hold_name(str(place)):
        try:
            os.chown(place, STRANGER, STRANGER)
            for user, is_taken in ((0, False), (STRANGER, False), (STRANGER + 1, True)):
                monkeypatch.setattr(os, "geteuid", lambda user=user: user)
                assert xserver._is_taken(number) is is_taken
        finally:
            place.unlink()


def without_abstract_names(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose Xvfb listens in the folder alone, as newer ones do."""
    wrapper = tmp_path / "Xvfb"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("Xvfb")} "$@" -nolisten local\n')
    wrapper.chmod(0o755)
    return {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}


def test_the_abstract_name_is_held_for_a_server_that_does_not_use_it(folder: Path, tmp_path: Path) -> None:
    server = XServer(folder, 320, 240)
    server.open(without_abstract_names(tmp_path), time.monotonic() + 30)
    name = f"\0/tmp/.X11-unix/X{server.display[1:]}"
    try:
        with pytest.raises(OSError, match="Address already in use"):
            hold_name(name)
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
            client.connect(name)
        environment = {**os.environ, "DISPLAY": server.display, "XAUTHORITY": str(server.authority)}
        done = subprocess.run(["xdotool", "getdisplaygeometry"], env=environment, capture_output=True, timeout=20)
        assert done.stdout == b"320 240\n"
    finally:
        server.close()
    hold_name(name).close()


@needs_root
def test_a_number_whose_abstract_name_a_stranger_has_is_given_up(
    folder: Path, tmp_path: Path, cookies: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    number = xserver.FIRST_NUMBER
    monkeypatch.setattr(xserver, "_is_taken", lambda number: False)
    server = XServer(folder, 320, 240)
    with stranger_at(f"@{xserver._socket_of(number)}", tmp_path / "received"):
        try:
            server.open(without_abstract_names(tmp_path), time.monotonic() + 30)
            assert server.display == f":{number + 1}"
            assert not listens(xserver._socket_of(number))
        finally:
            server.close()
    assert cookies[0] != cookies[1]
    assert (tmp_path / "received").read_bytes() == b"listening\n"


# The folder of the sockets


def test_a_missing_folder_is_made_for_all_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xserver, "SOCKET_FOLDER", str(tmp_path / ".X11-unix"))
    before = os.umask(0o077)
    try:
        xserver._secure_socket_folder()
        xserver._secure_socket_folder()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / ".X11-unix").stat().st_mode) == 0o1777


@needs_root
def test_a_folder_in_another_users_hands_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / ".X11-unix"
    monkeypatch.setattr(xserver, "SOCKET_FOLDER", str(place))
    place.symlink_to(tmp_path)
    with pytest.raises(NotReadyError, match="is not a folder: remove it"):
        xserver._secure_socket_folder()
    place.unlink()
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(NotReadyError, match=f"as root: chown root {place}; chmod 1777 {place}"):
        xserver._secure_socket_folder()
    place.chmod(0o1777)
    os.chown(place, STRANGER, STRANGER)
    with pytest.raises(NotReadyError, match="another user could take over the private desktop"):
        xserver._secure_socket_folder()


@needs_root
def test_an_ordinary_user_gets_a_desk_beside_roots(tmp_path: Path) -> None:
    # The interpreter of the tests may lie in root's own folder.
    python = next((found for found in (sys.executable, "/usr/bin/python3") if can_run(found)), None)
    if python is None:
        pytest.skip("another user can run no Python here, or not read this checkout")
    asked = (
        "from capture.virtual.desk import VirtualDesk\n"
        # That interpreter may lack the libraries of the window manager.
        "with VirtualDesk(320, 240, window_manager=False) as desk:\n"
        "    assert desk.run(['xdotool', 'getdisplaygeometry']).wait(20) == 0\n"
    )
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, STRANGER, STRANGER)
    environment = {**os.environ, "HOME": str(home), "TMPDIR": "/tmp", "PYTHONPATH": str(PROJECT)}  # noqa: S108
    done = as_stranger(python, "-c", asked, environment=environment)
    assert (done.returncode, done.stdout) == (0, "320 240\n"), done.stderr


def can_run(python: str) -> bool:
    """Whether another user can run this interpreter and read this checkout."""
    try:
        done = as_stranger(python, "-c", "import capture.errors", environment={"PYTHONPATH": str(PROJECT)})
    except PermissionError:
        return False
    return done.returncode == 0


def as_stranger(*argv: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        argv,
        env=environment,
        user=STRANGER,
        group=STRANGER,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
