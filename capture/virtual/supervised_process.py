"""Starts programs that end with the recorder, together with everything they started themselves."""

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

KEEPER: Final = Path(__file__).with_name("supervisor.py")

#: A keeper needs at most its grace and its last wait, three seconds together; more on a machine that is busy.
END_LIMIT_S: Final = 10.0

#: Between two looks at whether a server answers. It costs start-up time when longer, and processor time when shorter.
POLL_S: Final = 0.01


class SupervisedProcess:
    """A program under a keeper (see `supervisor.py`); Linux only, and used by one thread.

    The program has begun when the constructor returns; `OSError` says why it could not, `FileNotFoundError` that there
    is no such program on the PATH of `environment`. `folder` is the desk's. The program runs in a session of its own.
    `process` is its keeper, and ends as the program does; `process.terminate()` ends all that the program started, as
    `end` does.
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
    ) -> None:
        self._link, theirs = socket.socketpair()
        with contextlib.ExitStack() as undo:
            undo.callback(self._link.close)
            with theirs:
                self.process = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(KEEPER), str(theirs.fileno()), str(folder), *argv],
                    env=environment,
                    stdin=stdin,
                    stdout=stdout,
                    stderr=stderr,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            undo.callback(self.end)
            answer = self._link.recv(16)
            if answer != b"0":
                number = int(answer or b"0")
                raise OSError(number, os.strerror(number) if number else "its keeper was killed", argv[0])
            undo.pop_all()

    def await_answer(self, answers: Callable[[], bool], deadline_s: float) -> bool:
        """Wait until `answers()`, the end of the program, or `deadline_s` (monotonic); return whether it answered."""
        self._link.settimeout(POLL_S)
        while not answers():
            if time.monotonic() >= deadline_s:
                return False
            with contextlib.suppress(TimeoutError):
                self._link.recv(1)  # comes back before its time only when the keeper has ended
                return False
        return True

    def ask_to_end(self) -> None:
        """Give the order to end and return at once; may be called twice."""
        self._link.close()

    def end(self) -> None:
        """End the program and everything it started, and wait for that; may be called twice."""
        self.ask_to_end()
        try:
            self.process.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def end_all(programs: Iterable[SupervisedProcess]) -> None:
    """End several programs in the time of the slowest."""
    programs = tuple(programs)
    for program in programs:
        program.ask_to_end()
    for program in programs:
        program.end()
