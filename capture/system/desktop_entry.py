"""The syntax of desktop entries (freedesktop.org), and the entry by which a desktop knows this program."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from capture.errors import NotReadyError
from capture.system.private_files import read_small
from capture.system.user_folders import user_folder

__all__ = [
    "APP_ID",
    "as_exec",
    "entry_folder",
    "entry_folders",
    "entry_text",
    "keys_of",
    "of_exec",
    "trouble_with_own_entry",
    "unrepresentable",
]

#: What the desktop calls this program, in its settings for keys among others: the name of the entry without its ending.
#: It must have a dot (D-Bus Specification, bus names), and this project has no domain.
APP_ID: Final = "local.capture.Recorder"

_ESCAPES: Final = {"\\": "\\", "s": " ", "t": "\t", "n": "\n", "r": "\r"}


def entry_text(command: Sequence[str]) -> bytes:
    """Return a desktop entry that runs `command`. Raises `NotReadyError` for a command that no entry can hold."""
    lines = (
        "[Desktop Entry]",
        "Type=Application",
        "Name=Capture",
        "Comment=Records the screen and what the computer is playing",
        f"Exec={as_exec(command)}",
        "Terminal=false",
        "NoDisplay=true",
    )
    return "".join(f"{line}\n" for line in lines).encode()


def keys_of(content: bytes) -> dict[str, str]:
    """Return the keys of an entry's main group."""
    # The groups that follow, such as desktop actions, have keys of the same names.
    head = re.split(r"^\[(?!Desktop Entry\])", content.decode("utf-8", "replace"), maxsplit=1, flags=re.MULTILINE)
    return dict(re.findall(r"^([A-Za-z-]+)[ \t]*=[ \t]*(.*?)[ \t\r]*$", head[0], flags=re.MULTILINE))


def entry_folder(environment: Mapping[str, str]) -> Path:
    """Return the user's folder of entries; it need not exist."""
    return user_folder(environment, "DATA") / "applications"


def entry_folders(environment: Mapping[str, str]) -> list[Path]:
    """Return all folders of entries, the user's own first; of two entries with the same name the first counts."""
    system = environment.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
    # A relative one does not count: it would be looked for in the folder where capture was started.
    shared = (Path(folder, "applications") for folder in system.split(":") if folder.startswith("/"))
    return [entry_folder(environment), *shared]


def trouble_with_own_entry(environment: Mapping[str, str]) -> str:
    """Return why a desktop does not know `APP_ID`; "" if it does: its entry is installed, and its program exists."""
    for folder in entry_folders(environment):
        content = b""
        with suppress(OSError):
            content = read_small(folder / f"{APP_ID}.desktop")
        if content:
            # The first one counts, also if a later one is better.
            words = of_exec(keys_of(content).get("Exec", ""))
            program = words[0] if words else ""
            # The desktop's own PATH may be shorter.
            if program and shutil.which(program, path=environment.get("PATH")):
                return ""
            return f"the entry {APP_ID} starts {program or 'nothing'}, which does not exist"
    return f"there is no entry {APP_ID}"


def as_exec(command: Sequence[str]) -> str:
    """Return the value of `Exec` (Desktop Entry Specification): quoted, then with all backslashes doubled.

    Raises `NotReadyError` for a command that `Exec` cannot represent.
    """
    words = []
    # GNOME does not find a program with % in its name, and the specification forbids =.
    if re.search("[%=]", command[0]):
        raise unrepresentable(command)
    for word in command:
        if not word.isprintable():
            # This also refuses lone surrogates, which stand for file names that are not UTF-8.
            raise unrepresentable(command)
        quoted = re.sub(r'(["`$\\])', r"\\\1", word.replace("%", "%%"))
        words.append(word if re.fullmatch(r"[A-Za-z0-9_./:@,+-]+", word) else f'"{quoted}"')
    return " ".join(words).replace("\\", "\\\\")


def of_exec(value: str) -> tuple[str, ...]:
    """Return the words of a value of `Exec`."""
    quoted = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[0]), value)
    words = []
    for inside, bare in re.findall(r'"((?:[^"\\]|\\.)*)"|([^\s"]+)', quoted):
        word = re.sub(r"\\(.)", r"\1", inside) if inside else bare
        words.append(word.replace("%%", "%"))
    return tuple(words)


def unrepresentable(command: Sequence[str]) -> NotReadyError:
    """Return the error for a command that a desktop cannot start."""
    return NotReadyError(
        f"{' '.join(command)!r} cannot be started by the desktop",
        "install capture in a folder whose path has no special characters",
    )
