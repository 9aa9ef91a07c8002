"""Cleans up after desks that were killed together with all their supervisors, as by the out-of-memory killer.

A desk normally cleans up after itself, and after a killed recorder its supervisors do. Nothing is left that could when
they are killed too: then the next desk ends what still runs there and removes the folder. A desk is dead when nothing
holds a lock on its folder. Linux only.
"""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, NamedTuple

from capture.virtual.supervisor import FOLDER_PREFIX, GRACE_S, LAST_WAIT_S, hold, parent_of

__all__ = ["Leftover", "clean_up", "make_folder"]

if sys.platform != "linux":
    raise ImportError("desks need Linux: their programs are found in /proc")

#: Each of these names the desk's folder in the environment of a program on it; a program may change some of them.
_MARKS: Final = (b"XDG_RUNTIME_DIR=%s", b"XAUTHORITY=%s/xauthority", b"PULSE_SERVER=unix:%s/pulse.socket")


class Leftover(NamedTuple):
    """What was left of a dead desk: its folder, and the names of the programs that still ran."""

    folder: Path
    programs: tuple[str, ...]

    def __str__(self) -> str:
        running = f"; ended {', '.join(self.programs)}, still running on it" if self.programs else ""
        return f"a private desktop that was killed left {self.folder}: removed it{running}"


def make_folder() -> tuple[Path, int]:
    """Make a desk's folder in the temporary folder; return it with the descriptor that holds it, see `hold`.

    Raises `OSError`.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        # Until it is held, another desk that opens may take it for a leftover and remove it.
        with suppress(FileNotFoundError):
            held = hold(folder)
            if folder.exists():
                return folder, held
            os.close(held)


def clean_up() -> list[Leftover]:
    """End what runs on the dead desks of this user, and remove their folders; return what was found.

    Takes no time without a dead desk, else at most the time that supervisors allow too: two seconds between SIGTERM and
    SIGKILL, and one after it.
    """
    found = []
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        with suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid != os.geteuid():
                    continue
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                leftover = Leftover(folder, tuple(sorted(_end_programs(folder))))
                # An empty one may belong to a desk that is just being opened.
                if leftover.programs or any(folder.iterdir()):
                    found.append(leftover)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
    return found


def _end_programs(folder: Path) -> list[str]:
    """End all programs on the desk of `folder`, except for this one and its ancestors; return their names."""
    with ExitStack() as closing:
        programs = {}
        for process in _programs(folder):
            with suppress(OSError):
                # From here on the number cannot come to mean another process.
                descriptor = os.pidfd_open(process)
                closing.callback(os.close, descriptor)
                if _is_on(process, folder):
                    programs[descriptor] = Path(f"/proc/{process}/comm").read_text().strip()
        _signal(programs, signal.SIGTERM)
        left = _await_end(programs, GRACE_S)
        _signal(left, signal.SIGKILL)
        _await_end(left, LAST_WAIT_S)
        return list(programs.values())


def _programs(folder: Path) -> Iterator[int]:
    spared = set()
    process: int | None = os.getpid()
    while process:
        spared.add(process)
        process = parent_of(process)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) not in spared and _is_on(int(entry.name), folder):
            yield int(entry.name)


def _is_on(process: int, folder: Path) -> bool:
    try:
        environment = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        # It has ended, or is another user's.
        return False
    return any(mark % os.fsencode(folder) in environment for mark in _MARKS)


def _signal(programs: Iterable[int], number: int) -> None:
    for descriptor in programs:
        with suppress(OSError):
            signal.pidfd_send_signal(descriptor, number)


def _await_end(programs: Mapping[int, str], limit_s: float) -> dict[int, str]:
    """Wait until the programs have ended; return those that have not after `limit_s`."""
    deadline_s = time.monotonic() + limit_s
    left = dict(programs)
    ends = select.poll()
    for descriptor in left:
        ends.register(descriptor, select.POLLIN)
    while left and (remaining_s := deadline_s - time.monotonic()) > 0:
        for descriptor, _ in ends.poll(remaining_s * 1000):
            ends.unregister(descriptor)
            del left[descriptor]
    return left
