"""Hands files to the desktop's own programs: a player, and the file manager.

Each call returns once the desktop has taken the file, and does not wait for the program. Any thread may call it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from capture.errors import NotReadyError
from capture.system.desktop_entry import entry_folders, keys_of, of_exec
from capture.system.packages import how_to_install
from capture.system.private_files import read_small
from capture.system.session_bus import bus_address

__all__ = ["begins", "open_with_desktop", "open_with_program", "show_in_file_manager"]

#: How long a program that opens files may take to fail. Some become the player themselves, and do not end before it.
_FAILS_WITHIN_S: Final = 2.0

#: How long a file manager may take to answer: the bus may have to start it first.
_ANSWER_LIMIT_S: Final = 10.0

#: The programs that open a file as the desktop would, in the order in which they are tried.
_OPENERS: Final = (("xdg-open",), ("gio", "open"))


def has_desktop() -> bool:
    """Whether this process can reach a desktop."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_with_desktop(path: Path) -> None:
    """Open a file with the program that the desktop has for it.

    Raises `NotReadyError` when there is no desktop, or when it has no program for this file.
    """
    path = path.absolute()
    if sys.platform == "win32":
        try:
            os.startfile(path)  # noqa: S606 - what it is for
        except OSError as error:
            raise _refused(path, error.strerror or str(error)) from error
        return
    if sys.platform == "darwin":
        openers = [("open",)]
    elif not has_desktop():
        raise NotReadyError("there is no desktop here to open it with", "run this in a terminal of the desktop")
    else:
        openers = [opener for opener in _OPENERS if shutil.which(opener[0])]
        if not openers:
            raise NotReadyError("the program xdg-open is missing", how_to_install("xdg-open"))
    if not any(begins([*opener, str(path)]) for opener in openers):
        raise _refused(path, f"{openers[0][0]} failed")


def _refused(path: Path, reason: str) -> NotReadyError:
    kind = path.suffix or "this file"
    return NotReadyError(
        f"the desktop could not open {path} ({reason})", f"choose a program for {kind} in its settings"
    )


def open_with_program(path: Path, name: str) -> None:
    """Open a file with a program, by the name that the desktop's menu has for it, or by that of its command.

    Raises `NotReadyError` when there is no such program, or when it fails at once.
    """
    path = path.absolute()
    if sys.platform == "darwin":
        command: Sequence[str] | None = ["open", "-a", name, str(path)]
    else:
        command = _command_of_menu(name, path)
        if command is None and shutil.which(name) is not None:
            command = [name, str(path)]
    if command is None:
        raise NotReadyError(f"there is no program {name!r} here", "name it as the desktop's menu does, or its command")
    if not begins(command):
        raise NotReadyError(f"{name} could not be started, or failed at once", "try it with the file yourself")


def _command_of_menu(name: str, path: Path) -> Sequence[str] | None:
    """Return the command with which the menu's entry of this name, or with this id, opens a file; None without one."""
    wanted = name.casefold().removesuffix(".desktop")
    for folder in entry_folders(os.environ):
        for entry in sorted(folder.rglob("*.desktop")):
            with suppress(OSError):
                keys = keys_of(read_small(entry))
                words = of_exec(keys.get("Exec", ""))
                if words and wanted in (entry.stem.casefold(), keys.get("Name", "").casefold()):
                    return _with_file(words, path)
    return None


def _with_file(words: Sequence[str], path: Path) -> Sequence[str]:
    """Return the command of an entry with the file in the place that it names, else at the end."""
    fields = {"%f": str(path), "%F": str(path), "%u": path.as_uri(), "%U": path.as_uri()}
    # Other fields stand for an icon or a name, which need not be given.
    filled = [fields.get(word, word) for word in words if word in fields or not re.fullmatch("%[a-zA-Z]", word)]
    return filled if any(word in fields for word in words) else [*filled, str(path)]


def show_in_file_manager(path: Path) -> None:
    """Show a file in the desktop's file manager, selected; where that is not possible, its folder.

    Raises `NotReadyError` when there is no desktop or no file manager.
    """
    path = path.absolute()
    if sys.platform == "win32":
        # It reads its command line in its own way, and its exit code says nothing.
        subprocess.Popen(f'explorer /select,"{path}"')
    elif sys.platform == "darwin":
        if not begins(["open", "-R", str(path)]):
            raise NotReadyError(f"the Finder could not show {path}", "open its folder yourself")
    elif not _shown_by_bus(path):
        open_with_desktop(path.parent)


def _shown_by_bus(path: Path) -> bool:
    """Ask the file manager on the session bus, which the bus starts if necessary; return whether it took the file."""
    address = bus_address(os.environ)
    if address is None:
        return False
    # Loading it takes 20 ms.
    from jeepney import DBusAddress, MessageType, new_method_call
    from jeepney.io.blocking import open_dbus_connection

    name = "org.freedesktop.FileManager1"
    call = new_method_call(
        DBusAddress("/org/freedesktop/FileManager1", name, name), "ShowItems", "ass", ([path.as_uri()], "")
    )
    # Whatever is wrong with the bus, there is another way.
    with suppress(Exception), closing(open_dbus_connection(address)) as bus:
        return bus.send_and_get_reply(call, timeout=_ANSWER_LIMIT_S).header.message_type is MessageType.method_return
    return False


def begins(command: Sequence[str]) -> bool:
    """Start a program and leave it alone; return False if it fails at once."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # It outlives this process, whose Ctrl+C must not reach it.
            start_new_session=True,
        )
    except OSError:
        return False
    try:
        return process.wait(_FAILS_WITHIN_S) == 0
    except subprocess.TimeoutExpired:
        # Otherwise Python warns that the process is never waited for.
        process.returncode = 0
        return True
