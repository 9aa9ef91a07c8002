"""Beginning with the user's session: `capture standby` or `capture replay` without a terminal.

Each system has a place where it looks for what to begin; what stands there takes effect with the next session and
neither begins nor ends a recorder now. On Linux that is the desktop's autostart folder. There is no systemd unit
beside it: where a desktop runs on systemd, that makes units of what stands in this folder, and two would begin two
recorders.
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

__all__ = ["Autostart", "DesktopEntry", "Entry", "LaunchAgent", "RunKey", "autostart_of_this_system", "own_command"]

#: What the entry is called on every system: one user has one.
_NAME: Final = "capture"

_RUN_KEY: Final = r"Software\Microsoft\Windows\CurrentVersion\Run"

#: Longer commands are not run from there (learn.microsoft.com, "Run and RunOnce Registry Keys").
_RUN_KEY_LENGTH: Final = 260


@dataclass(frozen=True, slots=True)
class Entry:
    """What is installed: the command, where it stands, and why it will not begin, if so."""

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
    """The place where a system looks for what to begin with a session."""

    def install(self, command: Sequence[str]) -> None:
        """Begin `command`, a program by its whole path and its arguments, with every session, and no other.

        Raises `NotReadyError` for a command that cannot stand there, `OutputError` where nothing can be written.
        """
        ...

    def remove(self) -> None:
        """Begin nothing any more; may be called twice. Raises `OutputError`."""
        ...

    def installed(self) -> Entry | None:
        """What stands there. Raises `OutputError` where that cannot be read."""
        ...


def autostart_of_this_system() -> Autostart:
    """The place of the system this runs on, for the user it runs as. Touches nothing."""
    if sys.platform == "win32":
        return RunKey()
    if sys.platform == "darwin":
        return LaunchAgent(Path.home() / "Library" / "LaunchAgents")
    import platformdirs

    return DesktopEntry(platformdirs.user_config_path() / "autostart")


def own_command() -> tuple[str, ...]:
    """The command that runs this very program from any folder: the installed one, or else its source."""
    # Takes long to load.
    from importlib.metadata import entry_points

    beside = Path(sys.executable).with_name("capture.exe" if sys.platform == "win32" else "capture")
    # Of that name there are other programs.
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
        lines = (
            "[Desktop Entry]",
            "Type=Application",
            "Name=Capture",
            "Comment=Records the screen and what the computer is playing",
            f"Exec={_as_exec(command)}",
            "Terminal=false",
            "NoDisplay=true",
        )
        _replace(self._file, "".join(f"{line}\n" for line in lines).encode())

    def remove(self) -> None:
        _unlink(self._file)

    def installed(self) -> Entry | None:
        content = _content(self._file)
        if content is None:
            return None
        # What stands below the next head is about something else.
        head = re.split(r"^\[(?!Desktop Entry\])", content.decode("utf-8", "replace"), maxsplit=1, flags=re.MULTILINE)
        pairs = dict(re.findall(r"^([A-Za-z-]+)[ \t]*=[ \t]*(.*?)[ \t\r]*$", head[0], flags=re.MULTILINE))
        command = _of_exec(pairs.get("Exec", ""))
        # Desktops write these when the user switches the entry off in their settings.
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
                    # In a session with a screen, and no slower than what is used there.
                    "LimitLoadToSessionType": "Aqua",
                    "ProcessType": "Interactive",
                }
            )
        except ValueError as error:
            raise _cannot_stand(command) from error
        _replace(self._file, content)

    def remove(self) -> None:
        _unlink(self._file)

    def installed(self) -> Entry | None:
        content = _content(self._file)
        if content is None:
            return None
        command: tuple[str, ...] = ()
        # The reader raises what its XML parser and the values in it do.
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
                    f"{command[0]!r} is too long for the autostart of Windows", "install capture in a shorter folder"
                )
            try:
                with winreg.CreateKeyEx(winreg.HKEY_CURRENT_USER, _RUN_KEY, 0, winreg.KEY_SET_VALUE) as key:
                    winreg.SetValueEx(key, _NAME, 0, winreg.REG_SZ, line)
            except OSError as error:
                raise _cannot("written", "the Run key", error) from error

    def remove(self) -> None:
        if sys.platform == "win32":
            import winreg

            try:
                with winreg.OpenKey(winreg.HKEY_CURRENT_USER, _RUN_KEY, 0, winreg.KEY_SET_VALUE) as key:
                    winreg.DeleteValue(key, _NAME)
            except FileNotFoundError:
                pass
            except OSError as error:
                raise _cannot("written", "the Run key", error) from error

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
    """Why the command will not begin: of its program, and of the script where that is an interpreter."""
    if not command:
        return "no command can be read there"
    if shutil.which(command[0]) is None:
        return f"there is no program {command[0]}"
    if len(command) > 1 and command[1].endswith(".py") and not Path(command[1]).is_file():
        return f"there is no file {command[1]}"
    return ""


# How commands are written


def _as_exec(command: Sequence[str]) -> str:
    """The value of `Exec` (Desktop Entry Specification): quoted, then with the backslashes that every value needs."""
    words = []
    # GNOME does not find a program with % in its name, and = is forbidden there.
    if re.search("[%=]", command[0]):
        raise _cannot_stand(command)
    for word in command:
        if not word.isprintable():
            # This refuses lone surrogates too, with which names stand that are not UTF-8.
            raise _cannot_stand(command)
        quoted = re.sub(r'(["`$\\])', r"\\\1", word.replace("%", "%%"))
        words.append(word if re.fullmatch(r"[A-Za-z0-9_./:@,+-]+", word) else f'"{quoted}"')
    return " ".join(words).replace("\\", "\\\\")


def _of_exec(value: str) -> tuple[str, ...]:
    """The words of a value of `Exec`."""
    quoted = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), value)
    words = []
    for inside, bare in re.findall(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)', quoted):
        word = re.sub(r"\\(.)", r"\1", inside) if inside else bare
        words.append(word.replace("%%", "%"))
    return tuple(words)


_ESCAPES: Final = {"\\": "\\", "s": " ", "t": "\t", "n": "\n", "r": "\r"}


def _of_command_line(line: str) -> tuple[str, ...]:
    """The words of a command line of Windows whose words hold no quotation marks, as file names cannot."""
    return tuple(inside or bare for inside, bare in re.findall(r'"([^"]*)"|([^\s"]+)', line))


def _cannot_stand(command: Sequence[str]) -> NotReadyError:
    return NotReadyError(
        f"{' '.join(command)!r} cannot be begun with the session",
        "install capture in a folder whose name has no special characters",
    )


# Files


def _replace(file: Path, content: bytes) -> None:
    new = file.with_name(f"{file.name}.new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(content)
        new.replace(file)
    except OSError as error:
        with suppress(OSError):
            new.unlink()
        raise _cannot("written", str(file), error) from error


def _unlink(file: Path) -> None:
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot("removed", str(file), error) from error


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _cannot("read", str(file), error) from error


def _cannot(what: str, place: str, error: OSError) -> OutputError:
    return OutputError(f"{place} cannot be {what} ({error.strerror or error})", "see to its rights")
