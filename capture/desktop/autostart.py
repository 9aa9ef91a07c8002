"""Autostart: runs `capture standby` or `capture replay` when the user logs in.

Each system has a place for autostart entries. A change takes effect at the next login; it neither starts nor stops a
recorder now. On Linux the place is the desktop's autostart folder. There is no systemd unit in addition: a desktop that
runs on systemd makes units from the entries in this folder, and two would start two recorders.
"""

from __future__ import annotations

import os
import plistlib
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from capture.errors import NotReadyError, OutputError
from capture.system.desktop_entry import entry_text, keys_of, of_exec, unrepresentable
from capture.system.private_files import make_folder, read_small, replace

__all__ = ["Autostart", "DesktopEntry", "Entry", "LaunchAgent", "RunKey", "autostart_of_this_system", "own_command"]

#: The name of the entry on every system; each user has at most one.
_NAME: Final = "capture"

_RUN_KEY: Final = r"Software\Microsoft\Windows\CurrentVersion\Run"

#: Windows does not run longer commands from this key (learn.microsoft.com, "Run and RunOnce Registry Keys").
_RUN_KEY_LENGTH: Final = 260


@dataclass(frozen=True, slots=True)
class Entry:
    """An installed entry: its command, the file or key it is in, and why it will not start (empty if it will)."""

    command: tuple[str, ...]
    place: str
    trouble: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "installed": True,
            "command": list(self.command),
            "place": self.place,
            "ok": not self.trouble,
            "trouble": self.trouble,
        }


class Autostart(Protocol):
    """The place where a system keeps its autostart entries."""

    def install(self, command: Sequence[str]) -> None:
        """Run `command`, a program's full path and its arguments, at every login, in place of any earlier command.

        Raises `NotReadyError` when the system cannot represent the command, `OutputError` when writing fails.
        """
        ...

    def remove(self) -> None:
        """Remove the entry. May be called twice. Raises `OutputError` when that fails."""
        ...

    def installed(self) -> Entry | None:
        """Return the installed entry, or None. Raises `OutputError` when it cannot be read."""
        ...


def autostart_of_this_system() -> Autostart:
    """Return the autostart of this system for the current user. Changes nothing."""
    if sys.platform == "win32":
        return RunKey()
    if sys.platform == "darwin":
        return LaunchAgent(Path.home() / "Library" / "LaunchAgents")
    import platformdirs

    return DesktopEntry(platformdirs.user_config_path() / "autostart")


def own_command() -> tuple[str, ...]:
    """Return the command that runs this program from any folder: the installed script, or else its source."""
    # Imported here because it is slow to load.
    from importlib.metadata import entry_points

    beside = Path(sys.executable).with_name("capture.exe" if sys.platform == "win32" else "capture")
    # Other programs have the same name.
    ours = any(script.value == "capture.cli.main:main" for script in entry_points(group="console_scripts", name=_NAME))
    if ours and os.access(beside, os.X_OK) and beside.is_file():
        return (str(beside),)
    checkout = Path(__file__).parents[2] / "cli.py"
    return (sys.executable, str(checkout)) if checkout.is_file() else (sys.executable, "-m", "capture")


class DesktopEntry:
    """`capture.desktop` in an autostart folder (freedesktop.org, Desktop Application Autostart Specification)."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{_NAME}.desktop"

    def install(self, command: Sequence[str]) -> None:
        _replace(self._file, entry_text(command))

    def remove(self) -> None:
        _unlink(self._file)

    def installed(self) -> Entry | None:
        content = _content(self._file)
        if content is None:
            return None
        pairs = keys_of(content)
        command = of_exec(pairs.get("Exec", ""))
        # Desktops write these keys when the user disables the entry in their settings.
        if pairs.get("Hidden") == "true" or pairs.get("X-GNOME-Autostart-enabled") == "false":
            return Entry(command, str(self._file), "it is switched off in the desktop's settings")
        return Entry(command, str(self._file), _trouble_with(command))


class LaunchAgent:
    """`capture.plist` in a folder of launch agents (launchd.plist(5) of macOS)."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{_NAME}.plist"

    def install(self, command: Sequence[str]) -> None:
        try:
            content = plistlib.dumps(
                {
                    "Label": _NAME,
                    "ProgramArguments": list(command),
                    "RunAtLoad": True,
                    # Only in a session with a screen, and with the priority of an interactive program.
                    "LimitLoadToSessionType": "Aqua",
                    "ProcessType": "Interactive",
                }
            )
        except ValueError as error:
            raise unrepresentable(command) from error
        _replace(self._file, content)

    def remove(self) -> None:
        _unlink(self._file)

    def installed(self) -> Entry | None:
        content = _content(self._file)
        if content is None:
            return None
        command: tuple[str, ...] = ()
        # `plistlib` passes on whatever its XML parser and the conversion of values raise.
        with suppress(Exception):
            command = tuple(map(str, plistlib.loads(content)["ProgramArguments"]))
        return Entry(command, str(self._file), _trouble_with(command))


class RunKey:
    """The value `capture` of the user's Run key in the registry of Windows."""

    def install(self, command: Sequence[str]) -> None:
        if sys.platform == "win32":
            import winreg

            line = subprocess.list2cmdline(command)
            if len(line) > _RUN_KEY_LENGTH:
                raise NotReadyError(
                    f"the path {command[0]!r} is too long for autostart on Windows",
                    "install capture in a folder with a shorter path",
                )
            try:
                with winreg.CreateKeyEx(winreg.HKEY_CURRENT_USER, _RUN_KEY, 0, winreg.KEY_SET_VALUE) as key:
                    winreg.SetValueEx(key, _NAME, 0, winreg.REG_SZ, line)
            except OSError as error:
                raise _cannot("write", "the Run key", error) from error

    def remove(self) -> None:
        if sys.platform == "win32":
            import winreg

            try:
                with winreg.OpenKey(winreg.HKEY_CURRENT_USER, _RUN_KEY, 0, winreg.KEY_SET_VALUE) as key:
                    winreg.DeleteValue(key, _NAME)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise _cannot("write", "the Run key", error) from error

    def installed(self) -> Entry | None:
        if sys.platform == "win32":
            import winreg

            try:
                with winreg.OpenKey(winreg.HKEY_CURRENT_USER, _RUN_KEY) as key:
                    line, _ = winreg.QueryValueEx(key, _NAME)
            except FileNotFoundError:
                return None
            except OSError as error:
                raise _cannot("read", "the Run key", error) from error
            command = _of_command_line(str(line))
            return Entry(command, rf"HKEY_CURRENT_USER\{_RUN_KEY}", _trouble_with(command))
        return None


def _trouble_with(command: Sequence[str]) -> str:
    """Return why the command will not start, or an empty string: its program is missing, or its Python script."""
    if not command:
        return "the entry contains no command"
    if shutil.which(command[0]) is None:
        return f"there is no program {command[0]}"
    if len(command) > 1 and command[1].endswith(".py") and not Path(command[1]).is_file():
        return f"there is no file {command[1]}"
    return ""


# Command syntax


def _of_command_line(line: str) -> tuple[str, ...]:
    """Return the words of a Windows command line without quotation marks inside words; file names have none."""
    return tuple(inside or bare for inside, bare in re.findall(r'"([^"]*)"|([^\s"]+)', line))


# Files


def _replace(file: Path, content: bytes) -> None:
    try:
        make_folder(file.parent)
        replace(file, content)
    except OSError as error:
        raise _cannot("write", str(file), error) from error


def _unlink(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot("remove", str(file), error) from error


def _content(file: Path) -> bytes | None:
    try:
        return read_small(file)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot("read", str(file), error) from error


def _cannot(verb: str, place: str, error: OSError) -> OutputError:
    return OutputError(f"cannot {verb} {place} ({error.strerror or error})", "check its permissions")
