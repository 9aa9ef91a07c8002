"""Autostart: entries are installed, reported and removed, in the place and syntax of each system."""

from __future__ import annotations

import json
import plistlib
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import RunCapture
from hypothesis import given
from hypothesis import strategies as st

from capture.desktop.autostart import (
    Autostart,
    DesktopEntry,
    Entry,
    LaunchAgent,
    RunKey,
    autostart_of_this_system,
    own_command,
)
from capture.errors import NotReadyError, OutputError
from capture.system.desktop_entry import as_exec, of_exec

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs the autostart folder of Linux desktops")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program in a folder whose name needs every kind of quoting."""
    folder = tmp_path / "a b'c$d`e&f;(g)"
    folder.mkdir()
    made = folder / "capture"
    made.write_text("#!/bin/sh\n")
    made.chmod(0o755)
    return made


class Registry(ModuleType):
    """A fake `winreg` with one key. `there` and `locked` make it fail as Windows does."""

    HKEY_CURRENT_USER = "HKCU"
    KEY_SET_VALUE = 2
    KEY_READ = 0x20019
    REG_SZ = 1

    def __init__(self) -> None:
        super().__init__("winreg")
        self.values: dict[str, str] = {}
        self.there = True
        self.locked = False

    @contextmanager
    def OpenKey(self, root: str, path: str, reserved: int = 0, access: int = KEY_READ) -> Iterator[int]:  # noqa: N802
        assert (root, path) == ("HKCU", r"Software\Microsoft\Windows\CurrentVersion\Run")
        if self.locked:
            raise PermissionError(13, "Access is denied")
        if not self.there:
            raise FileNotFoundError(2, "The system cannot find the file specified")
        yield access

    @contextmanager
    def CreateKeyEx(self, root: str, path: str, reserved: int, access: int) -> Iterator[int]:  # noqa: N802
        self.there = True
        with self.OpenKey(root, path, reserved, access) as key:
            yield key

    def SetValueEx(self, key: int, name: str, reserved: int, kind: int, value: str) -> None:  # noqa: N802
        assert (key, kind) == (self.KEY_SET_VALUE, self.REG_SZ)
        self.values[name] = value

    def QueryValueEx(self, key: int, name: str) -> tuple[str, int]:  # noqa: N802
        assert key == self.KEY_READ
        if name not in self.values:
            raise FileNotFoundError(2, "The system cannot find the file specified")
        return self.values[name], self.REG_SZ

    def DeleteValue(self, key: int, name: str) -> None:  # noqa: N802
        assert key == self.KEY_SET_VALUE
        if name not in self.values:
            raise FileNotFoundError(2, "The system cannot find the file specified")
        del self.values[name]


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A fake registry, with the module made to believe that it runs on Windows."""
    made = Registry()
    monkeypatch.setitem(sys.modules, "winreg", made)
    monkeypatch.setattr(sys, "platform", "win32")
    # The real `which` needs more of Windows; no test here needs its search by file extension.
    monkeypatch.setattr("shutil.which", lambda name, **more: name if Path(name).is_file() else None)
    return made


@pytest.fixture(params=["linux", "darwin", "win32"])
def autostart(request: pytest.FixtureRequest, tmp_path: Path) -> Autostart:
    """The autostart of each system, in the test's folder."""
    if request.param == "linux":
        return DesktopEntry(tmp_path / "config" / "autostart")
    if request.param == "darwin":
        return LaunchAgent(tmp_path / "Library" / "LaunchAgents")
    request.getfixturevalue("registry")
    return RunKey()


# Every system


def test_an_entry_can_be_installed_replaced_and_removed(autostart: Autostart, program: Path) -> None:
    assert autostart.installed() is None
    autostart.remove()
    for verb in ("standby", "replay"):
        autostart.install([str(program), verb])
        entry = autostart.installed()
        assert entry is not None
        # There is only one entry, the last one installed.
        assert (entry.command, entry.trouble) == ((str(program), verb), "")
        assert entry.as_json()["ok"] is True
    for _ in range(2):
        autostart.remove()
        assert autostart.installed() is None


def test_a_missing_program_is_reported(autostart: Autostart, program: Path) -> None:
    autostart.install([str(program), "standby"])
    program.unlink()
    entry = autostart.installed()
    assert entry is not None
    assert entry.trouble == f"there is no program {program}"
    assert entry.as_json()["ok"] is False


def test_a_missing_script_is_reported(autostart: Autostart, program: Path) -> None:
    script = program.with_name("cli.py")
    script.touch()
    autostart.install([str(program), str(script), "standby"])
    assert autostart.installed() == Entry((str(program), str(script), "standby"), _place(autostart))
    script.unlink()
    entry = autostart.installed()
    assert entry is not None
    assert entry.trouble == f"there is no file {script}"


def _place(autostart: Autostart) -> str:
    entry = autostart.installed()
    assert entry is not None
    return entry.place


# Linux


def test_the_desktop_entry_follows_the_specification(tmp_path: Path, program: Path) -> None:
    DesktopEntry(tmp_path / "autostart").install([str(program), "standby"])
    assert [path.name for path in (tmp_path / "autostart").iterdir()] == ["capture.desktop"]
    text = (tmp_path / "autostart" / "capture.desktop").read_text()
    head, *lines = text.splitlines()
    assert head == "[Desktop Entry]"
    pairs = dict(line.split("=", 1) for line in lines)
    assert len(pairs) == len(lines)
    assert (pairs["Type"], pairs["Name"], pairs["Terminal"]) == ("Application", "Capture", "false")
    assert pairs["Exec"] == rf'"{tmp_path}/a b' + r"""'c\\$d\\`e&f;(g)/capture" standby"""


def test_commands_are_quoted_as_the_specification_requires() -> None:
    assert as_exec(["/usr/bin/capture", "standby"]) == "/usr/bin/capture standby"
    assert as_exec(["/a b", "%f", 'x"y', "a\\b"]) == r'"/a b" "%%f" "x\\"y" "a\\\\b"'


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), min_size=1, max_size=4))
def test_any_command_reads_back_as_it_was_written(words: list[str]) -> None:
    try:
        value = as_exec(words)
    except NotReadyError:
        assert re.search("[%=]", words[0]) or not "".join(words).isprintable()
        return
    assert "\n" not in value
    assert of_exec(value) == tuple(words)


@on_linux
def test_a_shell_reads_the_same_words() -> None:
    # Without the doubled backslashes of every value and the doubled % of this one, the quoting is the shell's.
    words = ["/a b", "`id`", "$HOME", "\\", '"', "a'b", "%f%%", ";&|<>()*?#~", "é"]
    value = as_exec(words).replace("\\\\", "\\").replace("%%", "%")
    done = subprocess.run(
        ["sh", "-c", f"printf '%s\\n' {value}"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == words


@pytest.mark.parametrize("word", ["/a\nb", "/a\x1b", "/\udcff", "/100%", "/a=b"])
def test_a_program_that_no_desktop_would_find_is_refused(word: str, tmp_path: Path) -> None:
    with pytest.raises(NotReadyError, match="cannot be started by the desktop") as caught:
        DesktopEntry(tmp_path / "autostart").install([word, "standby"])
    assert caught.value.remedy
    assert not (tmp_path / "autostart").exists()


@pytest.mark.parametrize("line", ["Hidden=true", "X-GNOME-Autostart-enabled=false"])
def test_an_entry_switched_off_by_the_desktop_is_reported(line: str, tmp_path: Path, program: Path) -> None:
    autostart = DesktopEntry(tmp_path)
    autostart.install([str(program), "standby"])
    with (tmp_path / "capture.desktop").open("a") as file:
        file.write(f"{line}\n")
    entry = autostart.installed()
    assert entry is not None
    assert "switched off" in entry.trouble
    # The same keys in another group have no effect.
    autostart.install([str(program), "standby"])
    with (tmp_path / "capture.desktop").open("a") as file:
        file.write(f"[Desktop Action other]\n{line}\nExec=other\n")
    assert autostart.installed() == Entry((str(program), "standby"), str(tmp_path / "capture.desktop"))
    autostart.install([str(program), "standby"])
    assert _place(autostart)


@pytest.mark.parametrize("content", [b"", b"\xff\0[Desktop Entry", b"[Desktop Entry]\nExec=\n", b"<plist>"])
def test_an_entry_without_a_command_is_reported(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "capture.desktop").write_bytes(content)
    (tmp_path / "capture.plist").write_bytes(content)
    for autostart in (DesktopEntry(tmp_path), LaunchAgent(tmp_path)):
        entry = autostart.installed()
        assert entry is not None
        assert (entry.command, entry.trouble) == ((), "the entry contains no command")


@pytest.mark.parametrize("kind", [DesktopEntry, LaunchAgent])
def test_an_unusable_folder_is_reported(kind: type[DesktopEntry] | type[LaunchAgent], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("precious")
    autostart = kind(tmp_path / "taken")
    for attempt in (lambda: autostart.install(["/bin/true"]), autostart.installed, autostart.remove):
        with pytest.raises(OutputError, match=r"cannot (write|read|remove) .*/taken/capture\.\w+ \("):
            attempt()
    assert (tmp_path / "taken").read_text() == "precious"


# macOS


def test_the_launch_agent_has_the_keys_that_launchd_reads(tmp_path: Path, program: Path) -> None:
    LaunchAgent(tmp_path / "agents").install([str(program), "replay"])
    (file,) = (tmp_path / "agents").iterdir()
    assert file.name == "capture.plist"
    assert plistlib.loads(file.read_bytes()) == {
        "Label": "capture",
        "ProgramArguments": [str(program), "replay"],
        "RunAtLoad": True,
        "LimitLoadToSessionType": "Aqua",
        "ProcessType": "Interactive",
    }


def test_a_name_that_xml_cannot_contain_is_refused(tmp_path: Path) -> None:
    for word in ("/a\x1bb", "/\udcff"):
        with pytest.raises(NotReadyError, match="cannot be started by the desktop"):
            LaunchAgent(tmp_path).install([word, "standby"])
    assert list(tmp_path.iterdir()) == []


# Windows


def test_the_run_key_contains_a_command_line(registry: Registry) -> None:
    command = [r"C:\Program Files\capture\capture.exe", "standby"]
    RunKey().install(command)
    assert registry.values == {"capture": r'"C:\Program Files\capture\capture.exe" standby'}
    entry = RunKey().installed()
    assert entry is not None
    assert entry.command == tuple(command)
    assert entry.place == r"HKEY_CURRENT_USER\Software\Microsoft\Windows\CurrentVersion\Run"


def test_other_values_of_the_run_key_stay(registry: Registry) -> None:
    registry.values["other"] = "other.exe"
    RunKey().install(["capture.exe", "standby"])
    RunKey().remove()
    assert registry.values == {"other": "other.exe"}


def test_a_missing_run_key_counts_as_no_entry_and_is_created(registry: Registry) -> None:
    registry.there = False
    assert RunKey().installed() is None
    RunKey().remove()
    RunKey().install(["capture.exe", "standby"])
    assert RunKey().installed() is not None


def test_a_locked_run_key_is_reported(registry: Registry) -> None:
    registry.locked = True
    for attempt in (lambda: RunKey().install(["capture.exe"]), RunKey().installed, RunKey().remove):
        with pytest.raises(OutputError, match=r"cannot (write|read) the Run key .*Access is denied"):
            attempt()


def test_a_command_too_long_for_windows_is_refused(registry: Registry) -> None:
    with pytest.raises(NotReadyError, match="too long") as caught:
        RunKey().install(["C:\\" + "a" * 260 + ".exe", "standby"])
    assert caught.value.remedy
    assert registry.values == {}


# This system


@pytest.mark.parametrize(
    ("system", "kind"), [("linux", DesktopEntry), ("freebsd", DesktopEntry), ("darwin", LaunchAgent), ("win32", RunKey)]
)
def test_each_system_has_its_place(system: str, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", system)
    assert isinstance(autostart_of_this_system(), kind)


def test_the_own_command_runs_from_any_folder(tmp_path: Path) -> None:
    done = _run([*own_command(), "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Record the screen" in done.stdout


def test_without_an_installed_command_the_source_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda **which: ())
    command = own_command()
    assert command[0] == sys.executable
    done = _run([*command, "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Record the screen" in done.stdout


def _run(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@on_linux
def test_config_turns_autostart_on_and_off(run_capture: RunCapture, capture_environment: dict[str, str]) -> None:
    file = Path(capture_environment["XDG_CONFIG_HOME"]) / "autostart" / "capture.desktop"
    off: dict[str, Any] = {"autostart": {"installed": False}}
    done = run_capture("config", "autostart", "status", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, off)
    done = run_capture("config", "autostart", "on")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("on: ")
    assert str(file) in done.stdout
    assert run_capture("config", "autostart.verb", "replay").returncode == 0
    found = json.loads(run_capture("config", "autostart", "on", "--json").stdout)["autostart"]
    assert found == {
        "installed": True,
        "command": [*own_command(), "replay"],
        "place": str(file),
        "ok": True,
        "trouble": "",
    }
    # A program that does not exist.
    file.write_text("[Desktop Entry]\nExec=/nonexistent/capture standby\n")
    done = run_capture("config", "autostart")
    assert done.returncode == 1
    assert "there is no program /nonexistent/capture" in done.stdout
    done = run_capture("config", "autostart", "off")
    assert (done.returncode, done.stdout) == (0, "off: capture does not start with your session\n")
    assert list(file.parent.iterdir()) == []
