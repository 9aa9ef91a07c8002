"""The command line: its output, its entry points, and arbitrary arguments."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from conftest import PROJECT, RunCapture
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from refusals import Refused, refused
from reopened import probe

from capture.cli import files
from capture.cli.main import main

PATTERN: Final = ("--source", "pattern", "--no-hotkeys")

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="a virtual desk needs Linux")


# Failures


@on_linux
def test_a_read_only_folder_is_a_failure(untouched: Path) -> None:
    # Not even root may create a file there.
    result = Refused(("record", "/proc/self/out.mp4", *PATTERN, "--duration", "1"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "/proc/self" in result.message
    assert "cannot be written" in result.message


@on_linux
def test_devices_and_links_to_devices_are_refused(run_capture: RunCapture, tmp_path: Path) -> None:
    done = run_capture("record", "/dev/full", *PATTERN, "--duration", "1", "--overwrite")
    assert done.returncode == 2
    (tmp_path / "full.mkv").symlink_to("/dev/full")
    done = run_capture("record", "full.mkv", *PATTERN, "--duration", "1", "--overwrite")
    assert done.returncode == 2
    assert "not a regular file" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="Windows finds the home in another way")
@pytest.mark.parametrize("words", [("list",), ("config",), ("config", "record.fps", "25"), ("backup",)])
def test_a_user_without_a_home_is_told(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def find_nobody(uid: int) -> None:
        raise KeyError(uid)

    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_VIDEOS_DIR", "XDG_MUSIC_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", find_nobody)
    assert main(words) == 3
    assert capsys.readouterr().err == "capture: this user has no home folder: set HOME to one\n"
    with pytest.raises(SystemExit, match="0"):
        main(["help", "record"])


# Help


def test_help_imports_no_heavy_library() -> None:
    program = (
        "import sys; from capture.cli.main import main\n"
        "for arguments in (['--help'], ['record', '--help'], ['headless', '--help'], ['doctor', '--help']):\n"
        "    try:\n"
        "        main(arguments)\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0\n"
        "assert not {'av', 'numpy', 'mss', 'soundcard', 'pynput', 'Xlib'} & sys.modules.keys()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("record", "headless", "devices", "doctor", "check", "--audio", "--region", "--overwrite"):
        assert word in done.stdout


# JSON


@pytest.mark.parametrize("place", range(4))
def test_json_is_accepted_anywhere_on_the_line(place: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["record", "out.wav", *PATTERN, "--duration", "0.1"]
    arguments.insert((0, 1, 2, len(arguments))[place], "--json")
    result = Refused(tuple(arguments))
    assert result.exit_code == 0
    assert json.loads(result.stdout)["path"] == str(tmp_path / "out.wav")
    assert result.stdout.count("\n") == 1
    assert f"saved {tmp_path / 'out.wav'}" in result.stderr


@on_linux
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "ascii"])
def test_json_holds_any_file_name_in_any_encoding(
    encoding: str, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    for name in (b"\xd0\x96\xd1\x83\xd0\xba.wav", b"not-\xff-utf-8.wav"):
        done = subprocess.run(
            [sys.executable, "-m", "capture", "record", name, *PATTERN, "--duration", "0.1", "--json"],
            cwd=tmp_path,
            env={**capture_environment, "PYTHONIOENCODING": encoding},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert os.fsencode(json.loads(done.stdout)["path"]) == os.fsencode(tmp_path) + b"/" + name
        (tmp_path / os.fsdecode(name)).unlink()


@on_linux
def test_text_output_works_in_any_encoding(capture_environment: dict[str, str]) -> None:
    for arguments in (("doctor",), ("devices",)):
        done = subprocess.run(
            [sys.executable, "-m", "capture", *arguments],
            env={**capture_environment, "PULSE_SERVER": "unix:/nonexistent", "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"internal error" not in done.stderr
        assert done.stdout


def test_quiet_prints_only_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("record", "out.wav", *PATTERN, "--duration", "0.1", "--quiet")
    assert (Refused(arguments).stderr, Refused((*arguments, "--overwrite")).stdout) == ("", "")
    assert "exists already" in refused(*arguments)


def test_an_unexpected_error_is_one_line_and_has_a_traceback_with_debug(
    untouched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(arguments: Any) -> int:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setitem(files.VERBS, "check", fail)
    result = Refused(("check", "taken.mp4"))
    assert result.exit_code == 1
    assert "ZeroDivisionError: by?zero" in result.message
    assert "--debug" in result.message
    debugged = Refused(("check", "taken.mp4", "--debug"))
    assert debugged.exit_code == 1
    assert "Traceback" in debugged.stderr


# The three entry points


def test_all_entry_points_behave_the_same(tmp_path: Path) -> None:
    ways = [[sys.executable, str(PROJECT / "cli.py")], [sys.executable, "-m", "capture"]]
    if installed := shutil.which("capture", path=str(Path(sys.executable).parent)):
        ways.append([installed])
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}

    def said(way: list[str], *arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*way, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout, done.stderr

    for arguments in (("--help",), ("record", "out.txt"), ("check", "missing.mp4", "--json")):
        first, *others = (said(way, *arguments) for way in ways)
        assert others == [first] * len(others)
        assert first[1] or first[2]
    for number, way in enumerate(ways):
        code, out, _ = said(way, "record", f"out{number}.mp4", *PATTERN, "--duration", "0.2", "--json")
        assert code == 0
        assert json.loads(out)["path"] == str(tmp_path / f"out{number}.mp4")
        assert len(probe(tmp_path / f"out{number}.mp4")["streams"]) == 2


# Arbitrary arguments


#: A name in a folder that does not exist: with any other arguments, nothing can be recorded.
NOWHERE: Final = "/nonexistent-folder/out."

values = st.one_of(
    st.sampled_from(["0", "1", "30", "1:30", "90s", "none", "primary", "all", "internal", "mic", "internal+mic"]),
    st.sampled_from(["640x480", "640x480+1+1", "1x1+0+0", "low", "high", "auto", "pattern", "device", "nan", "-1"]),
    st.text(max_size=12),
)
options = st.one_of(
    st.tuples(
        st.sampled_from(
            [
                *("--audio", "--screen", "--region", "--scale", "--fps", "--quality", "--encoder", "--duration"),
                *("--delay", "--source", "--window", "--au", "--no-such-option"),
            ]
        ),
        values,
    ),
    st.sampled_from(
        [
            *(("--constant-fps",), ("--cursor",), ("--no-cursor",), ("--overwrite",), ("--hotkeys",)),
            *(("--no-hotkeys",), ("--json",), ("--quiet",)),
        ]
    ),
    st.tuples(values),
)


@given(
    extension=st.one_of(st.sampled_from(["mp4", "mkv", "webm", "ogg", "wav", "txt", ""]), st.text(max_size=4)),
    chosen=st.lists(options, max_size=6),
)
@example(extension="mp4", chosen=[("--",), ("--json",)])
@example(extension="mp4", chosen=[("--audio", "\udcff")])
@settings(max_examples=300)
def test_any_arguments_end_with_a_documented_exit_code(extension: str, chosen: list[tuple[str, ...]]) -> None:
    arguments = ["record", NOWHERE + extension, *(part for option in chosen for part in option)]
    # Any form of --help ends the process.
    assume(not any(re.match(r"-h|--he?l?p?$", part) for part in arguments))
    result = Refused(tuple(arguments))
    assert result.exit_code in {1, 2, 3}
    assert result.stdout == ""
    assert "internal error" not in result.message


def test_old_names_of_options_still_work(untouched: Path) -> None:
    for old, more in (("--each", ()), ("--ledger", ("--screen", "none", "--audio", "none"))):
        message = Refused(("record", "out.mp4", old, *more)).message
        assert "unrecognized" not in message
    assert "unrecognized" not in Refused(("standby", "--since", "5s")).message
