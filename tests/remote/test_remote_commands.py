"""`capture status`, `stop`, `pause` and the others: what they print and how they exit."""

from __future__ import annotations

import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest
from scripted_recorder import Script, recorder

from capture.cli import remote
from capture.cli.main import _MODULES, main
from capture.remote.server import VERBS

if sys.platform == "win32":
    pytest.skip("the remote control does not work on Windows", allow_module_level=True)


class Called:
    """Runs `capture VERB …` in this process; its exit code and what it printed."""

    def __init__(self, *arguments: str) -> None:
        out, err = StringIO(), StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            self.exit_code = main(arguments)
        self.stdout, self.stderr = out.getvalue(), err.getvalue()

    @property
    def all(self) -> tuple[int, str, str]:
        return self.exit_code, self.stdout, self.stderr


def answering(**content: Any) -> Script:
    """Return a script that answers `content` to every request."""
    return lambda request: {"ok": True, **content}


@pytest.mark.parametrize("verb", _MODULES["remote"])
def test_a_command_without_a_recorder_fails_with_one_line(verb: str, runtime_path: Path) -> None:
    said = "capture: no recorder is running: start one with capture record, or capture replay for clips\n"
    assert Called(verb).all == (1, "", said)
    assert Called(verb, "--name", "x").all == (1, "", said)


def test_status_as_json_succeeds_without_a_recorder(runtime_path: Path) -> None:
    assert Called("status", "--json").all == (0, '{"running": []}\n', "")


def test_status_as_json_has_the_same_keys_for_every_recorder(runtime_path: Path) -> None:
    with (
        recorder(runtime_path, name="b"),
        recorder(runtime_path, answering(state="paused", buffer_s=30.0, marks=2), name="a"),
    ):
        exit_code, stdout, stderr = Called("status", "--json").all
        assert (exit_code, stderr) == (0, "")
        assert stdout == json.dumps(json.loads(stdout)) + "\n"
        a, b = json.loads(stdout)["running"]
        keys = ["name", "state", "path", "elapsed_s", "size_bytes", "buffer_s", "buffer_bytes", "pid"]
        assert list(b) == keys
        assert list(b.values()) == ["b", "recording", "/talk.mp4", 12.34, 1_234_567, None, None, os.getpid()]
        assert list(a) == [*keys, "marks"]
        assert list(a.values()) == ["a", "paused", None, None, None, 30.0, None, os.getpid(), 2]
        assert [each["name"] for each in json.loads(Called("status", "--json", "--name", "b").stdout)["running"]] == [
            "b"
        ]
        assert Called("status", "--json", "--name", "c").all == (0, '{"running": []}\n', "")


def test_status_as_text(runtime_path: Path) -> None:
    with recorder(runtime_path), recorder(runtime_path, answering(state="armed"), name="not"):
        assert Called("status").all == (
            0,
            "capture  recording  0:12.3  1.2 MB  /talk.mp4\nnot  armed\n",
            "",
        )
        assert Called("status", "--name", "not").stdout == "not  armed\n"
        assert Called("status", "--name", "c").all == (
            1,
            "",
            "capture: no recorder called 'c' is running: choose one of capture, not\n",
        )
        assert Called("status", "--quiet").all == (0, "", "")


def test_the_share_of_a_clip_is_that_of_the_recorder_that_converts_one(runtime_path: Path) -> None:
    assert remote._clip_done() == 0.0
    with recorder(runtime_path), recorder(runtime_path, answering(state="standby", clip_done=0.45), name="b"):
        assert remote._clip_done() == 0.45


def test_status_says_what_a_recorder_in_standby_keeps(runtime_path: Path) -> None:
    kept = {"state": "standby", "path": None, "elapsed_s": 0.0, "size_bytes": 0}
    replay = answering(**kept, buffer_s=30.2, buffer_bytes=1_500_000, replay_s=60.0)
    for script, said in (
        (replay, "0:30.2 of 1:00.0 in memory  1.5 MB"),
        (answering(**kept, buffer_s=0.0, buffer_bytes=0, replay_s=None), "nothing is recorded"),
    ):
        with recorder(runtime_path, script):
            assert Called("status").all == (0, f"capture  standby  {said}\n", "")


SAVED: Final = "saved /t.mp4  0:02.0  9 bytes"


@pytest.mark.parametrize(
    ("arguments", "content", "line"),
    [
        (["pause"], {"state": "paused", "elapsed_s": 12.34}, "paused at 0:12.3"),
        (["resume"], {"state": "recording", "elapsed_s": 12.34}, "resumed at 0:12.3"),
        (["pause", "--toggle"], {"state": "paused", "elapsed_s": 0.0}, "paused at 0:00.0"),
        (["pause", "--toggle"], {"state": "recording", "elapsed_s": 3_600}, "resumed at 1:00:00"),
        (["toggle"], {"state": "recording", "path": "/talk.mp4", "elapsed_s": 0.0}, "recording /talk.mp4"),
        (["toggle"], {"state": "finished", "path": "/t.mp4", "duration_s": 2.0, "size_bytes": 9}, SAVED),
        (["toggle"], {"state": "armed"}, "stopped"),
        (["stop"], {"path": "/t\x1b.mp4", "duration_s": 12.34, "size_bytes": 1_500}, "saved /t?.mp4  0:12.3  1.5 KB"),
        (["stop"], {"state": "discarded", "path": None}, "nothing was kept"),
        (["stop"], {"state": "armed", "path": None}, "stopped"),
        (["stop"], {"state": "standby", "buffer_bytes": 0}, "stopped"),
        (["stop"], {"state": "standby", "buffer_bytes": 1}, "stopped; the replay buffer was dropped"),
        (["discard"], {"path": None, "discarded": "/talk.mp4"}, "deleted /talk.mp4"),
        (["discard"], {"state": "armed"}, "stopped"),
        (["mark"], {"elapsed_s": 12.34}, "marked at 0:12.3"),
        (["mark", "a title"], {"elapsed_s": 12.34}, "marked at 0:12.3  a title"),
        (["mark", "a title"], {"state": "standby", "elapsed_s": 0.0}, "marked in the replay buffer  a title"),
        (["preview"], {}, "playing what was recorded so far"),
    ],
)
def test_each_command_reports_its_result(
    arguments: list[str], content: dict[str, Any], line: str, runtime_path: Path
) -> None:
    with recorder(runtime_path, answering(**content)) as session:
        assert Called(*arguments).all == (0, f"{line}\n", "")
        assert Called(*arguments, "--quiet").all == (0, "", "")
        exit_code, stdout, stderr = Called("--json", *arguments, "--name", "capture").all
        assert (exit_code, stderr) == (0, "")
        assert json.loads(stdout) == {"ok": True, "name": "capture", "pid": os.getpid(), **content}
        verb = "toggle_pause" if "--toggle" in arguments else arguments[0]
        assert [request.command for request in session.requests] == [VERBS[verb]] * 3


def test_stop_all_ends_every_recorder_and_reports_each(runtime_path: Path) -> None:
    saved = answering(state="finished", path="/t.mp4", duration_s=2.0, size_bytes=9)
    with (
        recorder(runtime_path, saved, name="a") as first,
        recorder(runtime_path, answering(state="standby", buffer_bytes=1), name="b") as second,
    ):
        dropped = "stopped; the replay buffer was dropped"
        assert Called("stop", "--all").all == (0, f"{SAVED}\n{dropped}\n", "")
        stopped = json.loads(Called("stop", "--all", "--json").stdout)["stopped"]
        assert [(each["name"], each["state"]) for each in stopped] == [("a", "finished"), ("b", "standby")]
        for session in (first, second):
            assert [request.command for request in session.requests] == [VERBS["quit"]] * 2
        said = "capture: --all and --name a exclude each other: drop one of them\n"
        assert Called("stop", "--all", "--name", "a").all == (2, "", said)
    assert Called("stop", "--all").exit_code == 1
    assert Called("stop", "--all", "--json").all == (0, '{"stopped": []}\n', "")


def test_stop_all_fails_with_the_worst(runtime_path: Path) -> None:
    with (
        recorder(runtime_path, lambda request: {"ok": False, "error": "the disk is full"}, name="a"),
        recorder(runtime_path, answering(state="standby"), name="b"),
    ):
        assert Called("stop", "--all").all == (1, "stopped\n", "capture: the disk is full\n")


def test_a_damaged_file_is_reported(runtime_path: Path) -> None:
    with recorder(runtime_path, answering(path="/talk.mp4", check="the picture ends early")):
        said = "capture: the check found: the picture ends early\n"
        assert Called("stop").all == (1, "saved /talk.mp4\n", said)
    with recorder(runtime_path, answering(path="/talk.mp4", size_bytes=0, check="nothing was recorded")):
        assert Called("stop").all == (1, "", "capture: the check found: nothing was recorded\n")


def test_a_refused_command_fails_with_the_recorders_reason(runtime_path: Path) -> None:
    with recorder(runtime_path, lambda request: {"ok": False, "error": "not\npaused: pause first"}):
        assert Called("preview").all == (1, "", "capture: not?paused: pause first\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("stop", "now"), "capture stop does not understand 'now': see capture stop --help"),
        (("mark", "a", "b"), "capture mark does not understand 'b': see capture mark --help"),
        (("pause", "--name"), "expected one argument"),
        (("pause", "--name", "a/b"), "'a/b' is not a valid recorder name"),
        (("mark", "x" * 1_001), "the text is too long"),
    ],
)
def test_invalid_arguments_are_usage_errors(arguments: tuple[str, ...], said: str, runtime_path: Path) -> None:
    called = Called(*arguments)
    assert (called.exit_code, called.stdout) == (2, "")
    assert said in called.stderr
    assert called.stderr.count("\n") == 1
