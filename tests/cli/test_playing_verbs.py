"""`play` plays here or in the desktop's player, and `open` shows a file in the desktop's file manager."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from buses import Service, bus
from conftest import RunCapture, StartCapture
from jeepney import new_error, new_method_return
from listening import Listener, noise
from running import eventually
from stage import RATE, write_tone
from written import Picture, Sound, write

from capture.cli.keyboard import _keys_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")


# Sound


@pytest.mark.usefixtures("in_process_desk")
def test_sound_is_played_to_its_end_without_a_terminal(
    run_capture: RunCapture, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    place = Path(capture_environment["XDG_MUSIC_DIR"], "Captures")
    place.mkdir(parents=True)
    samples = noise(place / "noise.flac", 1.0)
    with Listener("desk") as listener:
        eventually(lambda: listener.until_s > 0, "the monitor delivers")
        done = run_capture("play", "--from", "0.25", "--json")
        now_s = time.monotonic()
        eventually(lambda: listener.until_s > now_s + 0.2, "what followed")
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told == {
        "path": str(place / "noise.flac"),
        "from_s": 0.25,
        "to_s": pytest.approx(1.0, abs=0.01),
        "ended_by": "end",
    }
    heard = listener.data[abs(listener.data).max(axis=1) > 1e-3]
    assert np.allclose(heard, samples[RATE // 4 :], atol=1e-6)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_it_well(name: str, start_capture: StartCapture, tmp_path: Path, as_in_a_terminal: None) -> None:
    write_tone(tmp_path / "long.wav", 440.0, 30.0)
    with start_capture("play", "long.wav", "--json") as playing:
        playing.until(
            lambda: all(map(playing.handles, (signal.SIGTERM, signal.Signals[name]))),
            "it plays",
        )
        playing.process.send_signal(signal.Signals[name])
        told = playing.summary()
        assert (playing.wait(), playing.stderr) == (0, "")
    assert told["ended_by"] == "user"
    assert told["to_s"] < 30


def openpty() -> tuple[int, int]:
    if sys.platform == "win32":
        raise OSError("there are no such terminals")
    master, slave = os.openpty()
    os.set_blocking(master, False)
    return master, slave


class Terminal:
    """`capture play` in a terminal of its own."""

    def __init__(self, environment: dict[str, str], folder: Path, *arguments: str) -> None:
        self.master, self.slave = openpty()
        self.before = self.modes
        self._shown = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "capture", "play", *arguments],
            cwd=folder,
            env={**environment, "TERM": "xterm"},
            stdin=self.slave,
            stdout=self.slave,
            stderr=self.slave,
            start_new_session=True,
        )

    @property
    def modes(self) -> list[Any]:
        if sys.platform == "win32":
            return []
        import termios

        return termios.tcgetattr(self.slave)

    @property
    def echoes(self) -> bool:
        if sys.platform == "win32":
            return True
        import termios

        return bool(self.modes[3] & termios.ECHO)

    def suspend(self) -> None:
        """Stop the process and let it go on, as Ctrl+Z and `fg` do: a shell gives the terminal its own modes."""
        if sys.platform != "win32":
            import termios

            self.process.send_signal(signal.SIGSTOP)
            termios.tcsetattr(self.slave, termios.TCSADRAIN, self.before)
            self.process.send_signal(signal.SIGCONT)

    @property
    def shown(self) -> str:
        with suppress(BlockingIOError):
            self._shown += os.read(self.master, 65_536)
        return self._shown.decode(errors="replace")

    def until_shown(self, *words: str) -> None:
        """Wait until the line shows one of these from now on."""
        self._shown = b""
        eventually(lambda: any(word in self.shown for word in words), f"{words} in {self.shown}")

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def terminal(capture_environment: dict[str, str], tmp_path: Path) -> Iterator[Terminal]:
    write_tone(tmp_path / "long.wav", 440.0, 60.0)
    opened = Terminal(capture_environment, tmp_path, "long.wav")
    yield opened
    opened.close()


def test_keys_pause_seek_change_the_speed_and_end(terminal: Terminal) -> None:
    terminal.until_shown("▶ 0:00.")
    assert "/ 1:00.0  space pauses, ←/→ 5 s, s speed, q ends" in terminal.shown
    terminal.press(" ")
    terminal.until_shown("‖ 0:0")
    terminal.press("\x1b[C\x1b[C")
    terminal.until_shown("‖ 0:1")
    terminal.press(" ")
    terminal.until_shown("▶ 0:1")
    terminal.press("\x1bOC")
    terminal.until_shown("▶ 0:15", "▶ 0:16", "▶ 0:17", "▶ 0:18")
    terminal.press("s")
    terminal.until_shown("  1.5x  ")
    terminal.press("s")
    terminal.until_shown("  2x  ")
    terminal.press("\x1b[D" * 9)
    terminal.until_shown("▶ 0:00.")
    assert not terminal.echoes
    terminal.press("xyz\x1b[15~q")
    assert terminal.process.wait(60) == 0
    assert terminal.modes == terminal.before
    assert "Traceback" not in terminal.shown


def test_keys_still_come_one_by_one_after_ctrl_z(terminal: Terminal) -> None:
    terminal.until_shown("▶ 0:0")
    terminal.suspend()
    terminal.until_shown("▶ 0:0")
    terminal.press("q")
    assert terminal.process.wait(60) == 0
    assert terminal.modes == terminal.before


def test_a_killed_player_gives_the_terminal_back(terminal: Terminal) -> None:
    terminal.until_shown("▶ 0:0")
    terminal.process.terminate()
    assert terminal.process.wait(60) == 0
    assert terminal.modes == terminal.before


def test_keys_are_told_apart() -> None:
    assert _keys_in("q \x1b[C\x1bOD\x1b[1;5Ax\x1b\t") == ["q", " ", "right", "left", "x"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("gone.ogg",), 2, "gone.ogg does not exist"),
        ((".",), 2, ". is a folder"),
        (("text.ogg",), 1, "text.ogg has no sound to play: it is not a recording, or its start is damaged"),
        (("mute.mp4", "--sound"), 1, "mute.mp4 has no sound to play: it holds video (h264, 64x48)"),
        (
            ("two.mkv", "--sound", "--track", "3"),
            2,
            "there is no audio track 3 in two.mkv: there are audio tracks 1 to 2",
        ),
        (("a.ogg", "--track", "0"), 2, "there is no audio track 0 in a.ogg: there is one audio track"),
        (("a.ogg", "--from", "1:30"), 2, "--from 1:30 is not within a.ogg: it is 0:02.0 long"),
        (("a.ogg", "--speed", "9"), 2, "'9' is not a speed: give a number from 0.5 to 4, like 1.5"),
        (("mute.mp4", "--speed", "2"), 2, "--speed works for sound only, and mute.mp4 has a picture: add --sound"),
        (("last",), 2, "there is no finished recording in "),
    ],
)
def test_what_cannot_be_played_is_said_in_one_line(
    arguments: tuple[str, ...], code: int, message: str, run_capture: RunCapture, originals: Path, tmp_path: Path
) -> None:
    for path in originals.iterdir():
        os.link(path, tmp_path / path.name)
    done = run_capture("play", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"capture: {message}")
    assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    write(folder / "a.ogg")
    write(folder / "two.mkv", (Sound(), Sound()))
    write(folder / "mute.mp4", (), Picture())
    (folder / "text.ogg").write_text("Dear diary,")
    return folder


def test_without_a_sound_server_it_says_what_to_do(
    run_capture: RunCapture, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    capture_environment["PULSE_SERVER"] = "unix:/nonexistent"
    write(tmp_path / "a.ogg")
    done = run_capture("play", "a.ogg", "--quiet")
    assert done.returncode == 3
    assert done.stderr.startswith("capture: no sound server answers")


# Pictures, and the file manager


@pytest.fixture
def programs(capture_environment: dict[str, str], tmp_path: Path) -> Path:
    """An empty folder that is the whole PATH, apart from the shell."""
    folder = tmp_path / "programs"
    folder.mkdir()
    capture_environment["PATH"] = str(folder)
    return folder


def opener(folder: Path, then: str) -> Path:
    """Make an `xdg-open` that notes its arguments and its pid, and ends in this way; return where it notes them."""
    path, noted = folder / "xdg-open", folder / "noted"
    path.write_text(f'#!/bin/sh\nprintf "%s\\n" "$$" "$@" > "{noted}.new"\n/bin/mv "{noted}.new" "{noted}"\n{then}\n')
    path.chmod(stat.S_IRWXU)
    return noted


def test_a_picture_is_opened_in_the_desktops_player_without_waiting_for_it(
    run_capture: RunCapture, programs: Path, tmp_path: Path
) -> None:
    noted = opener(programs, "exec /bin/sleep 600")
    film = write(tmp_path / "-a film.mp4", (), Picture())
    done = run_capture("play", f"./{film.name}")
    pid, *arguments = noted.read_text().splitlines()
    os.kill(int(pid), signal.SIGTERM)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"opened {film.name} in the desktop's player\n"
    assert arguments == [str(film)]


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (lambda folder: None, {}, "the program xdg-open is missing: "),
        (lambda folder: None, {"DISPLAY": "", "WAYLAND_DISPLAY": ""}, "there is no desktop here to open it with: "),
        (lambda folder: opener(folder, "exit 3"), {}, "the desktop could not open "),
    ],
)
def test_without_a_player_a_picture_is_not_ready(
    make: Any,
    change: dict[str, str],
    message: str,
    run_capture: RunCapture,
    programs: Path,
    capture_environment: dict[str, str],
    tmp_path: Path,
) -> None:
    make(programs)
    capture_environment.update(change)
    write(tmp_path / "film.mp4", (Sound(),), Picture())
    done = run_capture("play", "film.mp4")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith(f"capture: {message}")
    assert done.stderr.endswith("; or hear its sound: capture play --sound\n")


class FileManager(Service):
    """A file manager that notes what it is asked to show, and may refuse."""

    def __init__(self, address: str, *, refuses: bool = False) -> None:
        self.shown: list[Any] = []
        self._refuses = refuses
        super().__init__(address, "org.freedesktop.FileManager1")

    def answer(self, member: str, message: Any) -> Any:
        self.shown.append((member, *message.body))
        if self._refuses:
            return new_error(message, "org.example.Error.Failed", "s", ("no",))
        return new_method_return(message)


@pytest.fixture
def session_bus(capture_environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    with bus(tmp_path) as address:
        capture_environment["DBUS_SESSION_BUS_ADDRESS"] = address
        yield address


def test_the_file_manager_shows_the_file_itself(session_bus: str, run_capture: RunCapture, tmp_path: Path) -> None:
    write(tmp_path / "über 100%.ogg")
    manager = FileManager(session_bus)
    try:
        done = run_capture("open", "über 100%.ogg", "--json")
    finally:
        manager.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"path": str(tmp_path / "über 100%.ogg"), "shown": True}
    assert manager.shown == [("ShowItems", [f"file://{tmp_path}/%C3%BCber%20100%25.ogg"], "")]


@pytest.mark.parametrize("refuses", [True, False])
def test_without_a_willing_file_manager_the_folder_is_opened(
    refuses: bool, session_bus: str, run_capture: RunCapture, programs: Path, tmp_path: Path
) -> None:
    noted = opener(programs, "exit 0")
    write(tmp_path / "a.ogg")
    manager = FileManager(session_bus, refuses=True) if refuses else None
    try:
        done = run_capture("open", "a.ogg")
    finally:
        if manager is not None:
            manager.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert noted.read_text().splitlines()[1:] == [str(tmp_path)]


def test_without_a_desktop_open_says_where_the_file_is(
    run_capture: RunCapture, capture_environment: dict[str, str], programs: Path, tmp_path: Path
) -> None:
    capture_environment.update({"DISPLAY": "", "WAYLAND_DISPLAY": "", "DBUS_SESSION_BUS_ADDRESS": "disabled:"})
    write(tmp_path / "a.ogg")
    done = run_capture("open", "a.ogg")
    assert done.returncode == 3
    assert done.stderr.endswith(f"; it is in {tmp_path}\n")
    assert run_capture("open", "gone.ogg").returncode == 2
