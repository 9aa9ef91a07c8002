"""The set-up script: it installs what is missing, and never lets apt-get remove anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT

if sys.platform != "linux":
    pytest.skip("the script is for Linux", allow_module_level=True)

#: The packages that record, and those for tests alone.
SOUND_SERVERS = {"pulseaudio", "pipewire", "wireplumber", "pipewire-pulse"}
FOR_TESTS = {"gstreamer1.0-tools", "jwm", "sway", "weston", "xdotool", "xwayland", "x11-xkb-utils", "x11-xserver-utils"}

#: The programs in the latter that scripts/setup looks for.
PROGRAMS_FOR_TESTS = {"gst-launch-1.0", "jwm", "sway", "weston", "xdotool", "xrandr", "setxkbmap", "Xwayland"}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose .venv is complete, so that only system packages can be missing."""
    made = tmp_path / "checkout"
    (made / "scripts").mkdir(parents=True)
    shutil.copy(PROJECT / "scripts" / "setup", made / "scripts")
    (made / "pyproject.toml").touch()
    (made / ".venv" / "bin").mkdir(parents=True)
    (made / ".venv" / "bin" / "python").symlink_to(sys.executable)
    summed = subprocess.run(["cksum"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True).stdout
    (made / ".venv" / ".complete").write_text(f"{made} {summed}".rstrip() + "\n")
    return made


def set_up(checkout: Path, *options: str, without: set[str], installs: bool = True) -> tuple[list[list[str]], str, int]:
    """Run the script on a machine `without` some programs; return the calls of apt-get, what it said, its exit code."""
    folder = checkout / "bin"
    folder.mkdir()
    for place in ("/usr/bin", "/usr/sbin", "/bin", "/sbin"):
        for program in Path(place).iterdir():
            if program.name not in {*without, "apt-get"} and not (folder / program.name).exists():
                (folder / program.name).symlink_to(program)
    log = checkout / "apt.log"
    log.touch()
    apt = folder / "apt-get"
    # The script may pass options before the verb.
    apt.write_text(
        f'#!/bin/sh\necho "$*" >>{log}\n' + ("" if installs else 'case "$*" in *install*) exit 100;; esac\n')
    )
    apt.chmod(0o755)
    done = subprocess.run(
        ["bash", str(checkout / "scripts" / "setup"), *options],
        env={**os.environ, "PATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    calls = [line.split() for line in log.read_text().splitlines()]
    return [call for call in calls if "install" in call], done.stdout + done.stderr, done.returncode


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the script installs as root")


@needs_root
@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        (set(), {"pulseaudio"}),
        ({"pipewire"}, {"wireplumber", "pipewire-pulse"}),
        ({"pipewire", "wireplumber", "pipewire-pulse"}, set()),
        ({"pulseaudio"}, set()),
    ],
)
def test_recording_takes_one_sound_server_and_nothing_for_tests(
    present: set[str], wanted: set[str], checkout: Path
) -> None:
    without = SOUND_SERVERS - present | {"Xvfb"} | PROGRAMS_FOR_TESTS
    calls, said, code = set_up(checkout, "--recording", without=without)
    assert code == 0, said
    (call,) = calls
    assert "--no-remove" in call
    assert set(call) & (SOUND_SERVERS | FOR_TESTS | {"xvfb"}) == wanted | {"xvfb"}


@needs_root
def test_the_tests_take_both_sound_servers(checkout: Path) -> None:
    calls, said, code = set_up(checkout, without=SOUND_SERVERS | PROGRAMS_FOR_TESTS)
    assert code == 0, said
    (call,) = calls
    assert "--no-remove" in call
    assert set(call) >= SOUND_SERVERS | FOR_TESTS


@needs_root
def test_a_refusal_of_apt_get_is_said_with_the_packages(checkout: Path) -> None:
    _, said, code = set_up(checkout, "--recording", without={"Xvfb"}, installs=False)
    assert code == 1
    assert said.splitlines()[-2:] == [
        "Packages are missing, and apt-get, which may remove nothing for it, did not install them. "
        "Install them yourself; on Debian they are called:",
        "  xvfb",
    ]
