"""The completion of shells, and the manual page: both are made from the parser, and complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from conftest import PROJECT

from capture.cli.completion import script_for
from capture.cli.manual import manual
from capture.cli.outline import read_outline

if sys.platform == "win32":
    pytest.skip("these shells run on Unix", allow_module_level=True)

import pty

#: Completes a line as bash does when Tab is pressed at its end, and prints what it offers. `compopt` works only there.
ASKED: Final = """
source "$1"; shift
compopt() { :; }
COMP_WORDS=(capture "$@") COMP_CWORD=$#
_capture
printf "%s\\n" "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "capture.bash"
    path.write_text(script_for("bash"))
    return path


def run(*command: str | Path, folder: Path | None = None) -> str:
    """Run a shell, and return what it prints; it may not complain."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "MANWIDTH": "80", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return done.stdout


def offered(script: Path, *words: str, folder: Path | None = None) -> list[str]:
    return run("bash", "-c", ASKED, "bash", script, *words, folder=folder).split("\n")[:-1]


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["hea"], ["headless"]),
        (["--vers"], ["--version"]),
        (["--json", "dev"], ["devices"]),
        (["help", "sta"], ["standby", "status"]),
        (["record", "--qual"], ["--quality"]),
        (["record", "--quality", ""], ["low", "medium", "high"]),
        (["record", "--quality", "h"], ["high"]),
        (["record", "--duration", ""], [""]),
        (["note", "--audio", "int"], ["internal", "internal+mic"]),
        (["record", "--screen", "a"], ["all", "ask"]),
        (["share", "last", "--to", "c"], ["clipboard", "command"]),
        (["trim", "last", "--to", "c"], [""]),
        (["note", "--reg"], [""]),
        (["config", "hotkeys.r"], ["hotkeys.record"]),
        (["completion", "z"], ["zsh"]),
    ],
)
def test_bash_completes_verbs_options_and_values(words: list[str], wanted: list[str], script: Path) -> None:
    assert offered(script, *words) == wanted


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["check", "my t"], ["my talk.mp4"]),
        (["check", "one.mp4", "m"], ["my folder", "my talk.mp4"]),
        (["record", "-o", "my t"], ["my talk.mp4"]),
        (["record", "--fallback-dir", "my"], ["my folder"]),
        (["convert", "--constant-fps", "my t"], ["my talk.mp4"]),
        (["trim", "--from", "9", "my t"], ["my talk.mp4"]),
        (["stop", "my"], [""]),
        # A program and its arguments.
        (["headless", "out.mp4", "--", "my t"], ["my talk.mp4"]),
    ],
)
def test_bash_completes_files_where_they_belong(
    words: list[str], wanted: list[str], script: Path, tmp_path: Path
) -> None:
    (tmp_path / "my talk.mp4").touch()
    (tmp_path / "my folder").mkdir()
    assert sorted(offered(script, *words, folder=tmp_path)) == wanted


def test_every_verb_and_option_is_completed(script: Path) -> None:
    outline = read_outline(str)
    names = {verb.name for verb in outline.verbs}
    assert {"record", "completion", "clip"} <= names
    assert names <= set(offered(script, ""))
    for verb in outline.verbs:
        flags = {flag for option in verb.options for flag in option.flags}
        assert flags <= set(offered(script, verb.name, "-"))
        assert "--ledger" not in flags


def test_the_tab_key_completes_in_a_real_bash(script: Path, tmp_path: Path) -> None:
    program = "capture() { echo got: $*; exit; }"
    typed = f"source {script}\n{program}\ncapture headl\t--wait-for-w\t\n"
    environment = {"PATH": os.environ["PATH"], "TERM": "dumb", "HOME": str(tmp_path)}
    terminal, inside = pty.openpty()
    bash = subprocess.Popen(
        ["bash", "--norc", "--noprofile", "-i"],
        cwd=tmp_path,
        env=environment,
        stdin=inside,
        stdout=inside,
        stderr=inside,
        start_new_session=True,
    )
    os.close(inside)
    shown = b""
    try:
        os.write(terminal, typed.encode())
        while b"got: headless --wait-for-window" not in shown:
            shown += os.read(terminal, 4096)
    except OSError:
        pytest.fail(f"bash ended: {shown!r}")
    finally:
        os.close(terminal)
        bash.wait(30)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_valid(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    path = tmp_path / "script"
    path.write_text(script_for(shell))
    assert run(shell, "-n", path, folder=tmp_path) == ""


@pytest.mark.skipif(shutil.which("fish") is None, reason="there is no fish here")
def test_fish_completes(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(script_for("fish"))
    lines = ("capture headl", "capture record --qualit", "capture record --quality ", "capture config hotkeys.rec")
    program = "source script; " + "; ".join(f"complete -C {line!r}; echo" for line in lines)
    said = run("fish", "--no-config", "-c", program, folder=tmp_path)
    found = [sorted(offer.partition("\t")[0] for offer in part.split("\n") if offer) for part in said.split("\n\n")]
    assert found[:4] == [["headless"], ["--quality"], ["high", "low", "medium"], ["hotkeys.record"]]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh here")
def test_zsh_defines_the_completion(tmp_path: Path) -> None:
    (tmp_path / "script").write_text(script_for("zsh"))
    program = "autoload -U compinit; compinit -u -D; source script; print $_comps[capture]; which _capture"
    assert run("zsh", "-f", "-c", program, folder=tmp_path).startswith("_capture\n_capture () {")


# The manual


def test_the_manual_has_every_verb_and_option() -> None:
    page = manual()
    for verb in read_outline(str).verbs:
        assert f"\n.SS {verb.name}" in page
        for option in verb.options:
            for flag in option.flags:
                assert rf"\fB{flag.replace('-', chr(92) + '-')}\fR" in page
    assert "Ctrl+Alt+R" in page
    # Another line that starts with a dot or an apostrophe would be taken for a request.
    known = (".TH", ".SH", ".SS", ".TP", ".B", ".I")
    assert [line for line in page.splitlines() if line[:1] in (".", "'") and not line.startswith(known)] == []


@pytest.mark.skipif(shutil.which("man") is None or shutil.which("groff") is None, reason="there is no man here")
def test_the_manual_renders_without_warnings(tmp_path: Path) -> None:
    (tmp_path / "capture.1").write_text(manual())
    shown = run("man", "--warnings", "-l", tmp_path / "capture.1", folder=tmp_path)
    assert "record the screen and what the computer is playing" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_manual_needs_no_library() -> None:
    # The build makes it where nothing is installed but the build tool.
    program = f"import sys; sys.path.insert(0, {str(PROJECT)!r}); from capture.cli.manual import manual; manual()"
    run(sys.executable, "-I", "-S", "-c", program)
