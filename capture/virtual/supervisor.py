"""Runs one program for the recorder and ends all its processes when either the program or the recorder ends.

A script that needs only the standard library: ``python -I -S supervisor.py LINK FOLDER PROGRAM ARGUMENT…``. LINK is the
descriptor of a socket to the recorder. The supervisor answers on it with one number: 0 when the program runs, or the
error number when it could not be started. When the socket closes, the supervisor stops the program. The kernel closes
the socket however the recorder ends, SIGKILL included. SIGTERM, SIGINT and SIGHUP stop the program too.

The supervisor is a child subreaper: every process the program starts stays its descendant, even one that forks twice or
opens a new session. When the program ends or is stopped, all descendants get SIGTERM, two seconds to comply, and
SIGKILL. The supervisor then ends as the program did, with the same exit code or signal.

FOLDER is the desk's. The recorder and each of its supervisors hold a shared lock on it while they run; the kernel
releases the lock of a process that is killed. A recorder that closes its desk removes the folder itself. If it could
not, its last supervisor does.
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
    raise ImportError("the supervisor needs Linux: child subreapers and /proc")

#: How long a program has between SIGTERM and SIGKILL.
GRACE_S: Final = 2.0

#: How long to wait after SIGKILL. A process that is still there is stuck in the kernel or has other privileges; it is
#: left behind.
LAST_WAIT_S: Final = 1.0

#: The prefix of every desk's folder; the supervisor removes no other folder.
FOLDER_PREFIX: Final = "capture-desk-"

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
ORDERS_TO_END: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def parent_of(process: int) -> int | None:
    """Return the parent's id of `process`, which may be a zombie; None when there is no such process."""
    try:
        stat = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return None
    # The name is in parentheses and may itself contain spaces and parentheses.
    return int(stat[stat.rindex(b")") + 1 :].split()[1])


def children() -> dict[int, list[int]]:
    """Return the children of every process on this machine, zombies included, keyed by the parent's id."""
    of_parent: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal() and (parent := parent_of(int(folder.name))) is not None:
            of_parent.setdefault(parent, []).append(int(folder.name))
    return of_parent


def descendants(ancestor: int) -> list[int]:
    """Return the ids of the children of `ancestor`, of their children, and so on."""
    of_parent = children()
    found = list(of_parent.get(ancestor, ()))
    for process in found:  # the list grows during the loop
        found.extend(of_parent.get(process, ()))
    return found


def hold(folder: Path) -> int:
    """Protect `folder` from removal until the returned descriptor is closed. Raises `OSError` when it is missing."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def remove_unless_held(folder: Path, held: int) -> None:
    """Remove the desk's `folder` if `held`, this supervisor's descriptor of it, is the last one."""
    if not folder.name.startswith(FOLDER_PREFIX) or os.fstat(held).st_uid != os.geteuid():
        return
    try:
        # This gives up the shared lock first: of two supervisors that end at once, one succeeds.
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    shutil.rmtree(folder, ignore_errors=True)


class Supervisor:
    """Runs one program and ends all its descendants. Runs in the main thread, the only one of its process."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._signals, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in (signal.SIGCHLD, *ORDERS_TO_END):
            signal.signal(number, lambda number, frame: None)
        signal.set_wakeup_fd(writer)

    def run(self, argv: list[str]) -> int:
        """Run `argv` to its end. Returns its exit code, or the signal that ended it as a negative number."""
        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        try:
            # The descriptors open here, except for the link, are those the recorder meant the program to have.
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
                _signal_all(signal.SIGKILL)  # on every iteration: a process may have been started since
                events.poll(50)
            else:
                events.poll((kill_at_s - now_s) * 1000)
            self._read_signals()

    def _read_signals(self) -> bytes:
        """Return the numbers of the signals received since the last call."""
        try:
            return os.read(self._signals, 4096)
        except BlockingIOError:
            return b""

    def _reap(self, program: subprocess.Popen[bytes]) -> bool:
        """Reap all children that have ended, without waiting. Returns whether any descendant is left."""
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
        held = None  # the recorder has ended and removed the folder
    ending = Supervisor(link).run(arguments[2:])
    if held is not None:
        remove_unless_held(folder, held)
    if ending < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the program's own core dump is enough
        signal.set_wakeup_fd(-1)
        if -ending != signal.SIGKILL:
            signal.signal(-ending, signal.SIG_DFL)
        os.kill(os.getpid(), -ending)
    return ending


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
