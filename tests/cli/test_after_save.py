"""A command follows each saved file; whatever it does, the recording and the exit code stay as they are."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from callers import Control
from conftest import RunCapture, StartCapture
from running import eventually

from capture.cli import after_save
from capture.cli.after_save import AfterSave
from capture.events import Summary

#: Writes what it was given into the file that its last argument names. The second time, it fails.
TELLS = "import json, sys; json.dump([sys.argv[1:-1], sys.stdin.read()], open(sys.argv[-1], 'x'))"

PATTERN = ("--source", "pattern", "--duration", "0.5s")


def command(program: str, *arguments: str) -> str:
    return " ".join([sys.executable, "-c", f'"{program}"', *arguments])


def told(path: Path) -> tuple[list[str], dict[str, object]]:
    words, summary = json.loads(path.read_text())
    return words, json.loads(summary)


def test_the_command_gets_the_path_and_the_summary_and_no_shell(run_capture: RunCapture, tmp_path: Path) -> None:
    output, told_in = tmp_path / "it's $(a) note.ogg", tmp_path / "told.json"
    after = command(TELLS, "{path}", "'$HOME ; x'", str(told_in))
    done = run_capture("record", output, *PATTERN, "--json", "--after-save", after)
    assert (done.returncode, done.stderr.count("after saving")) == (0, 0)
    words, summary = told(told_in)
    assert words == [str(output), "$HOME ; x"]
    assert summary == json.loads(done.stdout)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; print(4711); sys.exit(3)", "ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "was ended by signal 9"),
    ],
)
def test_a_failure_is_said_and_changes_nothing(
    program: str, said: str, run_capture: RunCapture, tmp_path: Path
) -> None:
    output = tmp_path / "out.ogg"
    done = run_capture("record", output, *PATTERN, "--json", "--after-save", command(program))
    assert done.returncode == 0
    assert json.loads(done.stdout)["check"] == "ok"
    assert f"after saving, {sys.executable} {said}; {output} is saved all the same" in done.stderr
    # Its output is no part of ours.
    assert "4711" not in done.stdout


def test_the_setting_is_for_notes_and_the_option_wins(run_capture: RunCapture, tmp_path: Path) -> None:
    settings, option = tmp_path / "settings.json", tmp_path / "option.json"
    assert run_capture("config", "after_save", command(TELLS, str(settings))).returncode == 0
    assert run_capture("note", "a.ogg", *PATTERN, "--no-wait-for-sound").returncode == 0
    assert told(settings)[1]["path"] == str(tmp_path / "a.ogg")
    settings.unlink()
    assert run_capture("note", "b.ogg", *PATTERN, "--after-save", command(TELLS, str(option))).returncode == 0
    assert told(option)[1]["path"] == str(tmp_path / "b.ogg")
    assert run_capture("record", "c.ogg", *PATTERN, "--after-save", "").returncode == 0
    assert not settings.exists()


def test_a_setting_without_its_program_costs_no_recording(run_capture: RunCapture, tmp_path: Path) -> None:
    assert run_capture("config", "record.after_save", "no-such-program {path}").returncode == 0
    done = run_capture("record", "a.ogg", *PATTERN)
    assert done.returncode == 0
    assert "after saving, no-such-program could not be started (No such file or directory)" in done.stderr


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("no-such-program", "--after-save 'no-such-program': there is no program no-such-program"),
        ("mv 'it", '"mv \'it" is not a command (No closing quotation): quote it as in a shell'),
    ],
)
def test_a_command_that_cannot_run_is_refused(
    after: str, message: str, run_capture: RunCapture, tmp_path: Path
) -> None:
    done = run_capture("record", "a.ogg", *PATTERN, "--after-save", after)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"capture: {message}")
    assert not (tmp_path / "a.ogg").exists()


def test_headless_waits_for_a_command_with_the_users_environment(
    run_capture: RunCapture, capture_environment: dict[str, str], tmp_path: Path
) -> None:
    display = capture_environment["DISPLAY"]
    program = f"import os, sys, time; time.sleep(1); sys.exit(7 if os.environ['DISPLAY'] == '{display}' else 8)"
    output = tmp_path / "out.ogg"
    done = run_capture("headless", output, "--size", "320x240", "--after-save", command(program), "--", "sleep", "0.3")
    assert done.returncode == 0
    assert f"after saving, {sys.executable} ended with exit code 7; {output} is saved all the same" in done.stderr


def test_clips_are_followed_too(start_capture: StartCapture, run_capture: RunCapture, tmp_path: Path) -> None:
    told_in = tmp_path / "told.json"
    after = command(TELLS, "{path}", str(told_in))
    pattern = ("--source", "pattern", "--screen", "none", "--no-hotkeys")
    with start_capture("replay", *pattern, "--after-save", after, "--json") as recorder:
        Control(recorder).until("standby", buffer_s=0.5)
        assert run_capture("clip", "clip.ogg").returncode == 0
        recorder.stop()
        assert "after saving" not in recorder.stderr
    words, summary = told(told_in)
    assert (words, summary["stopped_by"]) == ([str(tmp_path / "clip.ogg")], "clip")


def test_a_command_that_takes_long_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        pytest.skip("there are no such pipes there")
    monkeypatch.setattr(after_save, "_END_S", 0.1)
    gate = tmp_path / "gate"
    said: list[str] = []
    os.mkfifo(gate)
    after = AfterSave(["sh", "-c", 'read word <"$0"; exit 5', str(gate)], os.environ, said.append)
    summary = Summary("/x.ogg", "ogg", 1.0, 1, None, (), 0.0, (), "duration", "ok")
    after.close([summary, summary])
    assert said == ["sh, which follows each saved file, still runs; capture does not wait for it"]
    gate.write_text("on\n")
    eventually(lambda: len(said) == 2, "the end of the command")
    assert said[1] == "after saving, sh ended with exit code 5; /x.ogg is saved all the same"


def test_an_empty_recording_is_followed_by_nothing() -> None:
    said: list[str] = []
    after = AfterSave(["no-such-program"], os.environ, said.append)
    after.close([Summary("/x.ogg", "ogg", 0.0, 0, None, (), 0.0, (), "failed", "it is empty")])
    assert said == []
