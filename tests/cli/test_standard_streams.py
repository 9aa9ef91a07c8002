"""Standard streams that are closed, on a full disk, or without a reader: the recording does not suffer from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from conftest import PROJECT, StartCapture
from reopened import pictures

from capture.recordings.check import check

if sys.platform != "linux":
    pytest.skip("/dev/full and /proc are Linux", allow_module_level=True)

PATTERN: Final = ("--source", "pattern", "--scale", "320x240", "--no-hotkeys")
CLOSED: Final = "capture: standard output cannot be written (it is closed): send it to a file or a pipe\n"
FULL: Final = "capture: standard output cannot be written (No space left on device): send it to a file or a pipe\n"


def redirected(redirection: str) -> tuple[str, ...]:
    """Return a program that runs its arguments with this redirection of a shell."""
    return ("sh", "-c", f'exec "$@" {redirection}', "sh")


def run(redirection: str, environment: Mapping[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*redirected(redirection), sys.executable, "-m", "capture", *map(str, arguments)],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(autouse=True, params=[True, False], ids=["buffered", "unbuffered"])
def buffering(request: pytest.FixtureRequest, capture_environment: dict[str, str]) -> None:
    """Whether Python collects what is printed: errors then come late, at the next flush."""
    if request.param:
        capture_environment.pop("PYTHONUNBUFFERED", None)
    else:
        capture_environment["PYTHONUNBUFFERED"] = "1"


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full"])
def test_a_recording_is_made_all_the_same(redirection: str, start_capture: StartCapture, tmp_path: Path) -> None:
    path = tmp_path / "out.mkv"
    with start_capture("record", path, *PATTERN, by=redirected(redirection)) as recorder:
        recorder.until_recording(path)
        streams = [Path(f"/proc/{recorder.process.pid}/fd/{number}").readlink() for number in range(3)]
        assert str(path) not in map(str, streams)
        for number, closed in enumerate(("<&-", ">&-", "2>&-")):
            if closed in redirection.split():
                assert streams[number] == Path(os.devnull)
        recorder.process.terminate()
        assert recorder.wait() == 0, recorder.stderr
        assert ("saved " in recorder.stderr) is ("2>" not in redirection)
        assert recorder.stdout == ""
    assert check(path).ok
    assert pictures(path).moments_s


@pytest.mark.parametrize(("redirection", "said"), [(">&-", CLOSED), (">/dev/full", FULL)])
def test_json_that_cannot_be_written_is_a_failure_of_its_own(
    redirection: str, said: str, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "out.mkv"
    recording = ("record", path, *PATTERN, "--duration", "0.5", "--json")
    done = run(redirection, capture_environment, *recording)
    assert done.returncode == 1
    saved, failed = done.stderr.splitlines(keepends=True)[-2:]
    assert saved.startswith(f"saved {path}")
    assert failed == said
    assert check(path).ok


def test_json_is_alone_on_standard_output_when_standard_error_is_closed(
    capture_environment: dict[str, str], tmp_path: Path
) -> None:
    done = run("2>&-", capture_environment, "record", tmp_path / "out.mkv", *PATTERN, "--duration", "0.5", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["check"] == "ok"
    assert done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [("--help",), ("record", "--help"), ("config",), ("config", "record.fps"), ("status", "--json")]
)
@pytest.mark.parametrize(("redirection", "said"), [(">&-", CLOSED), (">/dev/full", FULL)])
def test_output_that_was_asked_for_and_cannot_be_written_is_a_failure(
    arguments: tuple[str, ...], redirection: str, said: str, capture_environment: dict[str, str]
) -> None:
    done = run(redirection, capture_environment, *arguments)
    assert (done.returncode, done.stderr) == (1, said)


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full", "2>/dev/full", "2>&-"])
def test_what_was_done_does_not_depend_on_the_line_that_says_so(
    redirection: str, capture_environment: dict[str, str]
) -> None:
    done = run(redirection, capture_environment, "config", "record.fps", "25")
    assert (done.returncode, done.stderr) == (0, "")
    assert run("", capture_environment, "config", "record.fps").stdout == "25\n"


@pytest.mark.parametrize(("arguments", "exit_code"), [(("status",), 1), (("nonsense",), 2)])
@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full"])
def test_the_exit_code_stays_when_the_message_cannot_be_written(
    arguments: tuple[str, ...], exit_code: int, redirection: str, capture_environment: dict[str, str]
) -> None:
    done = run(redirection, capture_environment, *arguments)
    assert (done.returncode, done.stdout) == (exit_code, "")


def test_the_program_of_headless_gets_streams_too(capture_environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "out.ogg"
    look = f"readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 >{tmp_path}/streams; echo said; echo said >&2"
    done = run("<&- >&- 2>&-", capture_environment, "headless", path, "--size", "320x240", "--", "sh", "-c", look)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    # The second is the shell's own redirection.
    assert (tmp_path / "streams").read_text().splitlines()[::2] == [os.devnull, os.devnull]
    assert b"said" not in path.read_bytes()


def test_a_file_of_a_python_program_never_gets_the_number_of_a_stream(tmp_path: Path) -> None:
    asked = (
        "import sys\n"
        "from pathlib import Path\n"
        "from capture.output.reserved_file import ReservedFile\n"
        "from capture.recordings.scratch import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1])) as folder:\n"
        "    assert open(folder / 'file', 'w').fileno() > 2\n"
        "file = ReservedFile(Path(sys.argv[1]) / 'out')\n"
        "assert file.descriptor > 2\n"
        "file.keep()\n"
    )
    for redirection in ("2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(
            [*redirected(redirection), sys.executable, "-c", asked, str(tmp_path)],
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            timeout=60,
            check=False,
        )
        assert done.returncode == 0
        (tmp_path / "out").unlink()
