"""Desks that were killed with all their supervisors: the next one ends what they left, and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import pytest
from running import Recorder, eventually

if sys.platform != "linux":
    pytest.skip("a virtual desk needs Linux", allow_module_level=True)

from capture.virtual.leftovers import clean_up, make_folder

#: Starts a program in another session and says when it runs.
STRAY: Final = 'setsid -f sh -c \'trap "" TERM; touch "$1"; while :; do sleep 1000; done\' stray'


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder for this test alone."""
    place = tmp_path / "t"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    return place


def dead_desk(place: Path) -> Path:
    folder = place / "capture-desk-dead"
    folder.mkdir(mode=0o700)
    (folder / "xauthority").touch()
    return folder


def start(folder: Path, program: str, **changes: str) -> subprocess.Popen[bytes]:
    """Start `program` in the shell with the environment of the desk of `folder`; return when `sleep` follows it."""
    environment = {
        "PATH": os.environ["PATH"],
        "XDG_RUNTIME_DIR": str(folder),
        "XAUTHORITY": str(folder / "xauthority"),
        "PULSE_SERVER": f"unix:{folder}/pulse.socket",
        **changes,
    }
    process = subprocess.Popen(["sh", "-c", f"{program}; exec sleep 1000"], env=environment)
    name = Path(f"/proc/{process.pid}/comm")
    eventually(lambda: name.read_text() == "sleep\n", "the sleep after the program")
    return process


def processes_with(mark: str) -> dict[int, str]:
    """Return the names, by id, of all processes with `mark` in their environment or arguments."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                known = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
                if mark.encode() in known:
                    found[int(process.name)] = (process / "comm").read_text().strip()
            except OSError:
                continue
    return found


def has_ended(process: int) -> bool:
    """Whether a process has given back all it held: its memory, by which it is found, goes before its locks."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "XZ"
    except OSError:
        return True


def test_a_desk_killed_with_its_supervisors_is_cleaned_up_by_the_next(
    capture_environment: dict[str, str], tmp_path: Path, temporary_folder: Path
) -> None:
    mark = f"MARK={tmp_path}"
    environment = {**capture_environment, "MARK": str(tmp_path)}
    before = set(temporary_folder.iterdir())
    command = ("--size", "320x240", "--", "sh", "-c", f"{STRAY} {tmp_path}/runs; exec sleep 1000")
    with Recorder(environment, tmp_path, "headless", "out.mkv", *command) as recorder:
        recorder.until(lambda: (tmp_path / "runs").exists(), "its program runs")
        recorder.until_recording(tmp_path / "out.mkv")
        (folder,) = set(temporary_folder.iterdir()) - before

        def programs() -> list[str]:
            return sorted(processes_with(mark).values())

        # The command, and the stray with its own sleep. What is just being started is called python for a moment.
        recorder.until(
            lambda: [name for name in programs() if name in ("sh", "sleep")] == ["sh", "sleep", "sleep"], "both"
        )
        recorder.until(lambda: len([name for name in programs() if name.startswith("python")]) == 6, "six of ours")
        killed = [process for process, name in processes_with(mark).items() if name.startswith("python")]
        # The recorder itself, the window manager, and the supervisors of it, of two servers and of the command.
        assert len(killed) == 6
        assert recorder.process.pid in killed
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in killed:
                os.kill(process, number)
        recorder.wait()
    eventually(lambda: all(map(has_ended, killed)), "the end of the supervisors")
    # The kernel ended what they ran themselves; what that had started is left, with the folder.
    eventually(lambda: programs() == ["sh", "sleep"], "the end of the servers and the command")
    assert folder.exists()
    with Recorder(environment, tmp_path, "headless", "next.ogg", "--size", "320x240", "--", "true") as recorder:
        assert recorder.wait() == 0, recorder.stderr
        said = recorder.stderr
    assert f"a private desktop that was killed left {folder}: removed it; ended sh, sleep, still running on it" in said
    # Its recording is named as that of any killed recorder.
    assert f"{tmp_path / 'out.mkv'}" in said
    assert processes_with(mark) == {}
    assert set(temporary_folder.iterdir()) == before


def test_servers_that_outlived_their_desk_are_ended(temporary: Path) -> None:
    folder = dead_desk(temporary)
    # Both are found by one variable alone, whatever else their program changed.
    with (
        start(folder, ":", XDG_RUNTIME_DIR="/elsewhere", PULSE_SERVER="none") as one,
        start(folder, ":", XDG_RUNTIME_DIR="/elsewhere", XAUTHORITY="/elsewhere") as other,
    ):
        (found,) = clean_up()
        assert one.wait(20) == other.wait(20) == -signal.SIGTERM
    assert found == (folder, ("sleep", "sleep"))
    assert str(found) == (
        f"a private desktop that was killed left {folder}: removed it; ended sleep, sleep, still running on it"
    )
    assert list(temporary.iterdir()) == []
    assert clean_up() == []


def test_a_program_that_ignores_sigterm_is_killed(temporary: Path) -> None:
    with start(dead_desk(temporary), "trap '' TERM") as stubborn:
        assert len(clean_up()) == 1
        assert stubborn.wait(20) == -signal.SIGKILL


def test_desks_that_are_in_use_and_other_programs_are_left_alone(temporary: Path) -> None:
    folder, held = make_folder()
    (folder / "xauthority").touch()
    beside = Path(f"{folder}-beside")
    try:
        # The second has the name of the folder in its environment, but is not on its desk.
        with start(folder, ":") as on_it, start(beside, ":", LOG=f"{folder}/xvfb.log") as not_on_it:
            assert clean_up() == []
            os.close(held)
            held = -1
            assert [found.programs for found in clean_up()] == [("sleep",)]
            assert on_it.wait(20) == -signal.SIGTERM
            assert not_on_it.poll() is None
            not_on_it.kill()
    finally:
        if held >= 0:
            os.close(held)


def test_a_recorder_on_a_dead_desk_does_not_end_itself(temporary: Path) -> None:
    folder = dead_desk(temporary)
    asked = "from capture.virtual.leftovers import clean_up; print(clean_up()[0].programs)"
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(temporary)}
    done = subprocess.run(
        ["sh", "-c", '"$@"; echo on', "sh", sys.executable, "-c", asked],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("()\non\n", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can remove another user's folder")
def test_another_users_desk_is_left_alone(temporary: Path) -> None:
    os.chown(dead_desk(temporary), 54_321, 54_321)
    assert clean_up() == []
    assert len(list(temporary.iterdir())) == 1


def test_a_folder_that_is_cleaned_up_before_it_is_held_is_made_again(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    make = tempfile.mkdtemp

    def make_and_lose_first(**where: Any) -> str:
        made.append(Path(make(**where)))
        if len(made) == 1:
            assert clean_up() == []
        return str(made[-1])

    monkeypatch.setattr(tempfile, "mkdtemp", make_and_lose_first)
    folder, held = make_folder()
    os.close(held)
    assert (len(made), folder) == (2, made[1])
    assert list(temporary.iterdir()) == [folder]
