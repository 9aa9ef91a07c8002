"""The virtual desk: its servers are private, and nothing started on it outlives it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from conftest import PROJECT

from capture.errors import NotReadyError, UsageError
from capture.virtual.desk import VirtualDesk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")


#: A supervisor needs at most three seconds to end its program; a busy machine gets more.
END_LIMIT_S: Final = 20.0

#: The return code after SIGKILL, which the signal module does not define on every platform.
KILLED: Final = -9


def output_of(argv: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=20, check=False)
    return done.stdout if done.returncode == 0 else f"{argv[0]} failed: {done.stderr}"


def eventually(condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + END_LIMIT_S
    while not (met := condition()) and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return met


def folder_of(desk: VirtualDesk) -> Path:
    return Path(desk.environment["XDG_RUNTIME_DIR"])


def processes_on(folder: Path) -> dict[int, str]:
    """Return the names, by id, of the running processes that have the desk of `folder` in their environment."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                if str(folder).encode() in (process / "environ").read_bytes():
                    found[int(process.name)] = (process / "comm").read_text().strip()
            except OSError:
                continue
    return found


def identity(path: Path) -> tuple[int, int] | None:
    """Return what distinguishes a file from a later one of the same name; None when there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def test_both_servers_answer_with_the_environment(desk: VirtualDesk, desk_environment: dict[str, str]) -> None:
    assert output_of(["xdotool", "getdisplaygeometry"], desk_environment) == "1280 720\n"
    assert f"Default Sink: {desk.sink}\n" in output_of(["pactl", "info"], desk_environment)
    assert f"Default Source: {desk.sink}.monitor\n" in output_of(["pactl", "info"], desk_environment)


def test_the_sink_runs_at_48_khz_in_stereo(desk: VirtualDesk, desk_environment: dict[str, str]) -> None:
    sinks = output_of(["pactl", "list", "short", "sinks"], desk_environment)
    assert [line.split("\t")[1:4] for line in sinks.splitlines()] == [
        [desk.sink, "module-null-sink.c", "float32le 2ch 48000Hz"]
    ]


def test_a_client_without_the_cookie_is_refused(desk_environment: dict[str, str]) -> None:
    stranger = {**desk_environment, "XAUTHORITY": os.devnull}
    assert "failed" in output_of(["xdotool", "getdisplaygeometry"], stranger)


def test_only_its_owner_can_use_the_folder(desk: VirtualDesk) -> None:
    assert folder_of(desk).stat().st_mode & 0o777 == 0o700


def test_nothing_listens_on_tcp(desk: VirtualDesk) -> None:
    processes = processes_on(folder_of(desk))
    assert {"Xvfb", "pulseaudio"} <= set(processes.values())
    sockets = {link.readlink().name for process in processes for link in Path(f"/proc/{process}/fd").iterdir()}
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                listening.add(f"socket:[{fields[9]}]")
    assert any(name.startswith("socket:") for name in sockets)
    assert not sockets & listening


def test_close_leaves_nothing_and_can_be_called_twice() -> None:
    desk = VirtualDesk(320, 240)
    desk.open()
    folder = folder_of(desk)
    marks = [Path(f"/tmp/.X11-unix/X{desk.display[1:]}"), Path(f"/tmp/.X{desk.display[1:]}-lock")]  # noqa: S108
    ours = [identity(mark) for mark in marks]
    desk.close()
    assert not folder.exists()
    assert not processes_on(folder)
    # Another server may already have taken the number.
    for mark, own in zip(marks, ours, strict=True):
        assert own is not None
        assert identity(mark) != own
    desk.close()


def test_a_desk_can_be_opened_again() -> None:
    desk = VirtualDesk(320, 240)
    for _ in range(2):
        with desk:
            assert output_of(["xdotool", "getdisplaygeometry"], desk.environment_of(os.environ)) == "320 240\n"


def test_desks_that_open_at_the_same_time_get_different_displays() -> None:
    desks = [VirtualDesk(320, 240), VirtualDesk(640, 480)]
    threads = [threading.Thread(target=desk.open) for desk in desks]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(END_LIMIT_S)
        sizes = [output_of(["xdotool", "getdisplaygeometry"], desk.environment_of(os.environ)) for desk in desks]
        cookies = {output_of(["pactl", "info"], desk.environment_of(os.environ)) for desk in desks}
    finally:
        for desk in desks:
            desk.close()
    assert sizes == ["320 240\n", "640 480\n"]
    assert len(cookies) == 2


def test_the_users_session_is_removed_from_the_environment(desk: VirtualDesk) -> None:
    of_the_user = {
        "DBUS_SESSION_BUS_ADDRESS": "unix:path=/run/user/1000/bus",
        "DISPLAY": ":0",
        "PULSE_SINK": "speakers",
        "WAYLAND_DISPLAY": "wayland-0",
        "XDG_RUNTIME_DIR": "/run/user/1000",
        "XDG_SESSION_TYPE": "wayland",
    }
    assert desk.environment_of({**of_the_user, "LANG": "de_DE.UTF-8"}) == {**desk.environment, "LANG": "de_DE.UTF-8"}
    assert desk.environment["DISPLAY"] == desk.display
    assert desk.environment["XDG_SESSION_TYPE"] == "x11"


def only(folder: Path, *programs: str) -> str:
    """Return a PATH in `folder` that has these programs and no others."""
    for program in programs:
        (folder / program).symlink_to(shutil.which(program) or program)
    return str(folder)


@pytest.mark.parametrize(
    ("present", "said"),
    [
        (("pulseaudio",), "Xvfb is not installed: apt-get install xvfb"),
        (("Xvfb",), "no sound server is installed: apt-get install pulseaudio"),
        (("Xvfb", "pipewire"), "wireplumber is not installed: apt-get install wireplumber pipewire-pulse"),
    ],
)
def test_a_missing_server_is_reported_with_its_package(
    present: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", only(tmp_path, *present))
    with pytest.raises(NotReadyError) as caught:
        VirtualDesk(320, 240).open()
    assert str(caught.value) == said


@pytest.mark.parametrize("program", ["Xvfb", "pulseaudio"])
def test_the_log_of_a_failed_server_is_quoted(program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = tmp_path / program
    server.write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 1\n")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(NotReadyError, match=f"^{program} did not start: .*no such luck"):
        VirtualDesk(320, 240).open()


def test_a_full_temporary_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def fail(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("capture.virtual.sound_server.write_private", fail)
    with pytest.raises(NotReadyError) as caught:
        VirtualDesk(320, 240).open()
    said = f"the private desktop cannot keep its files in {tmp_path} (No space left on device)"
    assert str(caught.value) == f"{said}: free some space there, or set TMPDIR to another folder"
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_too_deep_for_a_socket_is_reported_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with pytest.raises(NotReadyError) as caught:
        VirtualDesk(320, 240).open()
    assert str(caught.value) == (
        f"the temporary folder {deep} has too long a path for a socket: set TMPDIR to a shorter one"
    )
    assert list(deep.iterdir()) == []


def test_other_systems_than_linux_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NotReadyError, match="needs Linux"):
        VirtualDesk().open()


def test_a_command_runs_on_the_desk_and_returns_its_exit_code(desk: VirtualDesk) -> None:
    command = desk.run(["sh", "-c", "xdotool getdisplaygeometry; exit 7"], stdout=subprocess.PIPE)
    output, _ = command.communicate(timeout=20)
    assert (output, command.returncode) == (b"1280 720\n", 7)


def test_a_killed_command_returns_its_signal(desk: VirtualDesk) -> None:
    assert desk.run(["sh", "-c", "kill -KILL $$"]).wait(20) == KILLED


def test_processes_that_a_command_leaves_running_end_with_it(desk: VirtualDesk) -> None:
    before = processes_on(folder_of(desk))
    command = desk.run(["sh", "-c", "setsid -f sleep 1000; sleep 1000 & exit 3"])
    assert command.wait(20) == 3
    assert processes_on(folder_of(desk)) == before


def test_terminating_a_command_ends_everything_it_started(desk: VirtualDesk) -> None:
    before = processes_on(folder_of(desk))
    command = desk.run(["sh", "-c", "(sleep 1000 &); echo ready; exec sleep 1000"], stdout=subprocess.PIPE)
    assert command.stdout is not None
    with command.stdout:
        assert command.stdout.readline() == b"ready\n"
        command.terminate()
        assert command.wait(20) == -signal.SIGTERM
    assert processes_on(folder_of(desk)) == before


def test_close_ends_a_command_that_made_itself_a_daemon() -> None:
    daemon = "exec setsid -f sh -c 'setsid -f sh -c \"echo \\$\\$; exec sleep 1000\"; exec sleep 1000'"
    with VirtualDesk(320, 240) as desk:
        folder = folder_of(desk)
        command = desk.run(["sh", "-c", f"({daemon}); exec sleep 1000"], stdout=subprocess.PIPE)
        assert command.stdout is not None
        with command.stdout:
            process = int(command.stdout.readline())
        assert Path(f"/proc/{process}").exists()
    assert not Path(f"/proc/{process}").exists()
    assert not processes_on(folder)


def test_close_kills_a_command_that_ignores_sigterm() -> None:
    with VirtualDesk(320, 240) as desk:
        folder = folder_of(desk)
        stubborn = "trap '' TERM; echo ready; while :; do sleep 1000; done"
        command = desk.run(["sh", "-c", stubborn], stdout=subprocess.PIPE)
        assert command.stdout is not None
        with command.stdout:
            assert command.stdout.readline() == b"ready\n"
    assert command.returncode == KILLED
    assert not processes_on(folder)


def test_close_leaves_other_children_alone() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as other:
        with VirtualDesk(320, 240) as desk:
            desk.run(["sleep", "1000"])
        assert other.poll() is None
        other.communicate(timeout=20)
    assert other.returncode == 0


@pytest.mark.parametrize("servers_die_first", [False, True])
def test_nothing_outlives_a_killed_recorder(servers_die_first: bool) -> None:
    program = (
        "import subprocess\n"
        "from capture.virtual.desk import VirtualDesk\n"
        "desk = VirtualDesk(320, 240)\n"
        "desk.open()\n"
        "command = desk.run(['sh', '-c', 'setsid -f sleep 1000; echo on; exec sleep 1000'], stdout=subprocess.PIPE)\n"
        "command.stdout.readline()\n"
        "print(desk.environment['XDG_RUNTIME_DIR'], flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    ) as recorder:
        assert recorder.stdout is not None
        folder = Path(recorder.stdout.readline().decode().strip())
        try:
            # `setsid -f` returns before its child has become the sleep.
            assert eventually(lambda: sorted(processes_on(folder).values()).count("sleep") == 2)
            processes = processes_on(folder)
            servers = [process for process, name in processes.items() if name in ("Xvfb", "pulseaudio")]
            assert len(servers) == 2
            if servers_die_first:
                for process in servers:
                    os.kill(process, signal.SIGTERM)
                assert eventually(lambda: not set(servers) & set(processes_on(folder)))
            assert (folder / "pulse.cookie").exists()
        finally:
            recorder.kill()
    assert eventually(lambda: not processes_on(folder) and not folder.exists())


@pytest.mark.parametrize(("name", "remains"), [("capture-desk-1", False), ("somebody-elses", True)])
def test_the_last_process_to_hold_a_desks_folder_removes_it_and_no_other_folder(
    name: str, remains: bool, tmp_path: Path
) -> None:
    from capture.virtual.supervisor import hold, remove_unless_held

    folder = tmp_path / name
    folder.mkdir()
    (folder / "cookie").touch()
    first, last = hold(folder), hold(folder)
    try:
        remove_unless_held(folder, first)
        assert (folder / "cookie").exists()
    finally:
        os.close(first)
    try:
        remove_unless_held(folder, last)
        assert folder.exists() is remains
    finally:
        os.close(last)


def test_a_command_that_does_not_exist_is_a_usage_error(desk: VirtualDesk) -> None:
    with pytest.raises(UsageError, match=r"cannot run 'no-such-program' \(No such file or directory\)"):
        desk.run(["no-such-program"])


def test_a_command_that_is_not_executable_is_a_usage_error(desk: VirtualDesk, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("not a program")
    with pytest.raises(UsageError, match=r"cannot run .*/text' \(Permission denied\)"):
        desk.run([str(text)])
    text.chmod(0o755)
    with pytest.raises(UsageError, match=r"cannot run .*/text' \(Exec format error\)"):
        desk.run([str(text)])


@pytest.mark.parametrize("argv", [[], [""], ["true", "nul\0byte"]])
def test_an_impossible_command_is_a_usage_error(desk: VirtualDesk, argv: list[str]) -> None:
    with pytest.raises(UsageError):
        desk.run(argv)


def test_a_desk_that_is_not_open_runs_nothing() -> None:
    with pytest.raises(RuntimeError, match="not open"):
        VirtualDesk().run(["true"])
