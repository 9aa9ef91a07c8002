"""Everything that capture makes belongs to the user alone, also where the umask would open it to everyone."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from callers import Control
from conftest import RunCapture, StartCapture
from running import eventually

if sys.platform == "win32":
    pytest.skip("Windows has no umask", allow_module_level=True)

PATTERN: Final = ("--source", "pattern", "--scale", "320x240")


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """Let everything that `capture` makes be open to everyone unless it says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def home(capture_environment: dict[str, str]) -> Iterator[Path]:
    """The home of `capture`, with its runtime and its temporary folder inside."""
    # A socket's path has at most 107 bytes; that of the test's own folder can be too long for one.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        home = Path(folder)
        for variable, name in (("HOME", "."), ("XDG_RUNTIME_DIR", "run"), ("TMPDIR", "tmp")):
            (home / name).mkdir(mode=0o700, exist_ok=True)
            capture_environment[variable] = str(home / name)
        for variable, name in (("CONFIG_HOME", "config"), ("MUSIC_DIR", "Music"), ("VIDEOS_DIR", "Videos")):
            capture_environment[f"XDG_{variable}"] = str(home / name)
        yield home


def open_to_others(*places: Path) -> list[str]:
    """Return the mode and name of everything in `places` that another user may read, change or enter."""
    found = []
    for place in places:
        for path in place.rglob("*"):
            # One that was removed meanwhile is no longer anyone's.
            try:
                mode = stat.S_IMODE(path.lstat().st_mode)
            except FileNotFoundError:
                continue
            # PulseAudio opens its socket to everyone by itself; nobody else can enter the folder.
            if mode & 0o077 and not path.is_symlink() and path.name != "pulse.socket":
                found.append(f"{mode:o} {path}")
    return found


def test_what_is_open_to_others_would_be_found(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert open_to_others(tmp_path) == [f"666 {tmp_path / 'file'}"]


def test_recordings_ledgers_and_their_folders(run_capture: RunCapture, home: Path) -> None:
    for arguments in (("record",), ("note", "--source", "pattern", "--no-wait-for-sound")):
        pattern = PATTERN if arguments == ("record",) else ()
        done = run_capture(*arguments, *pattern, "--duration", "0.5s", "--log", "--json")
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        assert Path(summary["path"]).is_relative_to(home)
        assert Path(summary["ledger"]).exists()
        # The last one is rewritten, which takes a scratch folder.
        assert run_capture("record", summary["path"], "--overwrite", *PATTERN[:2], "--duration", "0.5s").returncode == 0
    assert open_to_others(home) == []


def test_clips_of_every_kind(start_capture: StartCapture, run_capture: RunCapture, home: Path) -> None:
    with start_capture("replay", *PATTERN, "--last", "10s", "--no-hotkeys") as recorder:
        Control(recorder).until("standby", buffer_s=1.0)
        for arguments in ((), ("--log",), ("--format", "gif"), ("--max-size", "1MB"), ("--exact", home / "clip.mov")):
            assert run_capture("clip", *arguments).returncode == 0
            assert open_to_others(home) == []
        recorder.process.terminate()
        assert recorder.wait() == 0, recorder.stderr
    assert len(list((home / "Videos" / "Captures").iterdir())) == 5
    assert open_to_others(home) == []


def test_the_private_desk(start_capture: StartCapture, home: Path) -> None:
    with start_capture("headless", home / "out.mkv", "--size", "320x240", "--", "sleep", "1000") as recorder:
        recorder.until_recording(home / "out.mkv")
        desk = next((home / "tmp").glob("capture-desk-*"))
        assert (desk / "xauthority").exists()
        assert open_to_others(home) == []
        recorder.process.terminate()
        assert recorder.wait() == 0, recorder.stderr
    eventually(lambda: not desk.exists(), "the end of the desk")
    assert open_to_others(home) == []


def test_the_program_on_the_private_desk_gets_the_users_umask(run_capture: RunCapture, home: Path) -> None:
    done = run_capture("headless", home / "out.ogg", "--size", "320x240", "--", "sh", "-c", "umask")
    assert done.returncode == 0, done.stderr
    assert "0000\n" in done.stderr


def test_settings_and_autostart(run_capture: RunCapture, home: Path) -> None:
    assert run_capture("config", "record.fps", "25").returncode == 0
    assert run_capture("config", "autostart", "on").returncode == 0
    assert {path.name for path in home.rglob("*")} >= {"settings.toml", "capture.desktop"}
    assert open_to_others(home) == []


def test_repaired_files(start_capture: StartCapture, run_capture: RunCapture, home: Path) -> None:
    broken = home / "broken.mkv"
    with start_capture("record", broken, *PATTERN, "--no-hotkeys") as recorder:
        recorder.until_recording(broken)
        recorder.until_grown(broken)
        assert open_to_others(home) == []
        recorder.process.kill()
        recorder.wait()
    assert run_capture("repair", broken, "--output", home / "copy.mkv").returncode == 0
    assert run_capture("repair", broken).returncode == 0
    assert open_to_others(home) == []
