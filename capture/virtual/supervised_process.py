"""Starts programs that end with the recorder, and takes everything those programs started down with them."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, TypeAlias

__all__ = ["Stream", "SupervisedProcess", "end_all"]

#: What `subprocess` takes for a standard stream; None shares the recorder's.
Stream: TypeAlias = int | IO[Any] | None

SUPERVISOR: Final = Path(__file__).with_name("supervisor.py")

#: A supervisor needs at most its grace and its last wait, three seconds together; on a busy machine it takes longer.
END_LIMIT_S: Final = 10.0

#: How often to check whether a server answers. A longer interval costs start-up time, a shorter one processor time.
POLL_S: Final = 0.01


class SupervisedProcess:
    """A program run by a supervisor (see `supervisor.py`). Linux only; used by one thread.

    The program is running when the constructor returns, in a new session. The constructor raises `OSError` when it
    cannot be started, `FileNotFoundError` when it is not on the PATH of `environment`. `folder` is the desk's.
    `process` is the supervisor, which ends with the program's exit code or signal. `process.terminate()` and `end` both
    end the program and everything it started.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        *,
        stdin: Stream = None,
        stdout: Stream = None,
        stderr: Stream = None,
        umask: int = -1,
    ) -> None:
        self._link, theirs = socket.socketpair()
        with contextlib.ExitStack() as undo:
            undo.callback(self._link.close)
            with theirs:
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(SUPERVISOR), str(theirs.fileno()), str(folder), *argv],
                    env=environment,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                    umask=umask,
                )
            undo.callback(self.end)
            answer = self._link.recv(16)
            if answer != b"0":
                number = int(answer or b"0")
                raise OSError(number, os.strerror(number) if number else "its supervisor was killed", argv[0])
            undo.pop_all()

    def await_answer(self, answers: Callable[[], bool], deadline_s: float) -> bool:
        """Wait until `answers()` is true, the program ends, or `deadline_s` (monotonic) passes.

        Returns whether the program answered.
        """
        self._link.settimeout(POLL_S)
        while not answers():
            if time.monotonic() >= deadline_s:
                return False
            with contextlib.suppress(TimeoutError):
                self._link.recv(1)  # returns before the timeout only when the supervisor has ended
                return False
        return True

    def ask_to_end(self) -> None:
        """Ask the program to end and return at once. May be called twice."""
        self._link.close()

    def end(self) -> None:
        """End the program and everything it started, and wait for the end. May be called twice."""
        self.ask_to_end()
        try:
            self.process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def end_all(programs: Iterable[SupervisedProcess]) -> None:
    """End several programs at once, so that all of them take only as long as the slowest."""
    programs = tuple(programs)
    for program in programs:
        program.ask_to_end()
    for program in programs:
        program.end()
