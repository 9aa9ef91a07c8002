"""Detects a terminal that waits for a password: it does not echo, and takes input line by line."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["waits_for_password"]

#: The range of Linux's major device numbers for pseudo-terminals.
_FIRST_MAJOR: Final = 136
_LAST_MAJOR: Final = 143

#: The field of /proc/PID/stat, counted after the name: state, parent, group, session, terminal.
_TERMINAL: Final = 4

#: More than any terminal was seen to run; it bounds the work for one key press.
MOST_PROCESSES: Final = 500


def waits_for_password(pid: int) -> bool:
    """Whether a command in the terminal window of process `pid` asks for a password, as sudo, ssh and passwd do.

    Editors and shells echo typing themselves and take it key by key, so they do not count.
    """
    return any(_is_silent(path) for path in {path for each in _descendants(pid) for path in _terminal_of(each)})


def _is_silent(path: Path) -> bool:
    if sys.platform == "win32":
        return False
    import termios

    with suppress(OSError, termios.error):
        # Its process holds it open, so opening and closing it here changes nothing.
        terminal = os.open(path, os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            flags: int = termios.tcgetattr(terminal)[3]
        finally:
            os.close(terminal)
        return not flags & termios.ECHO and bool(flags & termios.ICANON)
    return False


def _descendants(pid: int) -> Iterator[int]:
    waiting = [pid]
    for _ in range(MOST_PROCESSES):
        if not waiting:
            return
        parent = waiting.pop()
        for task in _tasks(parent):
            with suppress(OSError):
                waiting += [int(child) for child in (task / "children").read_text().split()]
        if parent != pid:
            yield parent


def _tasks(pid: int) -> list[Path]:
    with suppress(OSError):
        return list(Path(f"/proc/{pid}/task").iterdir())
    return []


def _terminal_of(pid: int) -> Iterator[Path]:
    """Yield the pseudo-terminal that the process belongs to, if any."""
    if sys.platform == "win32":
        return
    with suppress(OSError, ValueError, IndexError):
        # The name may contain anything, even brackets.
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        device = int(stat[_TERMINAL])
        if _FIRST_MAJOR <= os.major(device) <= _LAST_MAJOR:
            yield Path(f"/dev/pts/{(os.major(device) - _FIRST_MAJOR) * 256 + os.minor(device)}")
