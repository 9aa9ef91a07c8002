"""Stands between the recorder and one program it starts, so that nothing of that program outlives either of them.

A script of its own, on the standard library alone: ``python -I -S supervisor.py LINK FOLDER PROGRAM ARGUMENT…``. LINK
is the descriptor of a socket to the recorder. The keeper answers on it with one number, 0 when the program runs and the
error number when it could not be started. The socket's end is the order to stop, and it ends by itself however the
recorder does, SIGKILL included; SIGTERM, SIGINT and SIGHUP are the same order.

The keeper is a child subreaper: whatever the program starts stays its descendant, also what forks twice or opens a
session of its own. When the program has ended or the order has come, all of them get SIGTERM, two seconds to comply,
and SIGKILL. The keeper then ends as the program did, with the same exit code or signal.

FOLDER is the desk's. The recorder and each of its keepers hold a shared lock on it for as long as they run, which the
kernel takes from whoever is killed. A recorder that closes its desk removes the folder itself; after one that could
not, the last of the keepers does.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

__all__ = ["FOLDER_PREFIX", "GRACE_S", "children", "descendants", "hold", "parent_of"]

if sys.platform != "linux":
    raise ImportError("the keeper needs Linux: child subreapers and /proc")

#: What a program gets between SIGTERM and SIGKILL.
GRACE_S: Final = 2.0

#: After SIGKILL only a process that the kernel holds, or one with other rights, is still there; it is left behind.
LAST_WAIT_S: Final = 1.0

#: What the names of all desks' folders begin with; nothing else is ever removed.
FOLDER_PREFIX: Final = "capture-desk-"

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
ORDERS_TO_END: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def parent_of(process: int) -> int | None:
    """The id of the parent of `process`, which may be waiting to be reaped; None when there is no such process."""
    try:
        stat = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return None
    # The name stands in brackets and may itself hold blanks and brackets.
    return int(stat[stat.rindex(b")") + 1 :].split()[1])


def children() -> dict[int, list[int]]:
    """The children of every process of this machine by their parent's id; those that wait to be reaped are included."""
    of_parent: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (parent := parent_of(int(folder.name))) is not None:
            of_parent.setdefault(parent, []).append(int(folder.name))
    return of_parent


def descendants(ancestor: int) -> list[int]:
    """The ids of everything that `ancestor` started, and that those started."""
    of_parent = children()
    found = list(of_parent.get(ancestor, ()))
    for process in found:  # grows as it is walked
        found.extend(of_parent.get(process, ()))
    return found


def hold(folder: Path) -> int:
    """Keep `folder` from being removed until the descriptor that is returned is closed; `OSError` without it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def remove_unless_held(folder: Path, held: int) -> None:
    """Remove the desk's `folder` if `held`, this keeper's descriptor of it, is the last one."""
    if not folder.name.startswith(FOLDER_PREFIX) or os.fstat(held).st_uid != os.geteuid():
        return
    try:
        # It gives up the shared lock first: of two keepers that end at once, one succeeds.
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    shutil.rmtree(folder, ignore_errors=True)


class Supervisor:
    """One program and all its descendants, from start to end. One thread, and the only one of its process."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._signals, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGCHLD, *ORDERS_TO_END):
            signal.signal(number, lambda number, frame: None)
        signal.set_wakeup_fd(writer)

    def keep(self, argv: list[str]) -> int:
        """Run `argv` to its end and return its exit code, or its signal as a negative number."""
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            # The descriptors that are open here are those the recorder meant the program to have, but for the link.
            program = subprocess.Popen(
                argv,
                close_fds=False,
                start_new_session=True,
                preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0),
            )
        except OSError as error:
            self._link.sendall(str(error.errno or errno.ENOEXEC).encode())
            return 127
        self._link.sendall(b"0")
        self._await_end_or_order(program)
        self._end_descendants(program)
        return 1 if program.returncode is None else program.returncode

    def _await_end_or_order(self, program: subprocess.Popen[bytes]) -> None:
        events = select.poll()
        events.register(self._link, select.POLLIN)
        events.register(self._signals, select.POLLIN)
        while self._reap(program) and program.returncode is None:
            ready = {descriptor for descriptor, _ in events.poll()}
            if self._link.fileno() in ready or any(number in ORDERS_TO_END for number in self._read_signals()):
                return

    def _end_descendants(self, program: subprocess.Popen[bytes]) -> None:
        events = select.poll()
        events.register(self._signals, select.POLLIN)
        kill_at_s = time.monotonic() + GRACE_S
        give_up_at_s = kill_at_s + LAST_WAIT_S
        _signal_all(signal.SIGTERM)
        while self._reap(program) and (now_s := time.monotonic()) < give_up_at_s:
            if now_s >= kill_at_s:
                _signal_all(signal.SIGKILL)  # each time round: a process may have been born since
                events.poll(50)
            else:
                events.poll((kill_at_s - now_s) * 1000)
            self._read_signals()

    def _read_signals(self) -> bytes:
        """The numbers of the signals that came since the last call."""
        try:
            return os.read(self._signals, 4096)
        except BlockingIOError:
            return b""

    def _reap(self, program: subprocess.Popen[bytes]) -> bool:
        """Collect all that have ended, without waiting; return whether any descendant is left."""
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if process == 0:
                return True
            if process == program.pid:
                program.returncode = os.waitstatus_to_exitcode(status)


def _signal_all(number: int) -> None:
    for process in descendants(os.getpid()):
        try:
            os.kill(process, number)
        except (ProcessLookupError, PermissionError):
            continue


def main(arguments: list[str]) -> int:
    link = socket.socket(fileno=int(arguments[0]))
    link.set_inheritable(False)
    folder = Path(arguments[1])
    try:
        held = hold(folder)
    except OSError:
        held = None  # the recorder is gone, and so is the folder
    ending = Supervisor(link).keep(arguments[2:])
    if held is not None:
        remove_unless_held(folder, held)
    if ending < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # one core dump, the program's own, is enough
        signal.set_wakeup_fd(-1)
        if -ending != signal.SIGKILL:
            signal.signal(-ending, signal.SIG_DFL)
        os.kill(os.getpid(), -ending)
    return ending


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
