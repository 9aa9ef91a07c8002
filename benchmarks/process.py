"""Runs a program to its end and measures its time and memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

__all__ = [
    "REPOSITORY",
    "Outcome",
    "Sampling",
    "compiling",
    "cpu_s",
    "descriptors",
    "high_water_bytes",
    "resident_bytes",
    "run",
    "started",
    "text_of",
    "threads",
]

REPOSITORY: Final = Path(__file__).resolve().parents[1]

_SAMPLING_S: Final = 0.2
_READY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a program ended. CPU time and memory include the child processes it waited for."""

    exit_code: int
    launched_s: float
    lasted_s: float
    cpu_s: float
    peak_bytes: int
    output: str
    errors: str


def run(argv: Sequence[str], environment: Mapping[str, str], timeout_s: float) -> Outcome:
    """Run `argv` from the repository's root. Raises `TimeoutError` when it had to be killed."""
    environment = compiling(environment)
    if sys.platform == "win32":
        raise OSError("measuring programs needs wait4")
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        launched_s = time.monotonic()
        process = subprocess.Popen(
            argv, env=environment, cwd=REPOSITORY, stdin=subprocess.DEVNULL, stdout=output, stderr=errors
        )
        killer = threading.Timer(timeout_s, process.kill)
        killer.start()
        memory = _MemoryWatch(process.pid)
        with Sampling(memory.look, _SAMPLING_S):
            # Only this way of waiting returns the CPU time of a single child.
            _, status, usage = os.wait4(process.pid, 0)
        killer.cancel()
        lasted_s = time.monotonic() - launched_s
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        outcome = Outcome(
            process.returncode,
            launched_s,
            lasted_s,
            usage.ru_utime + usage.ru_stime,
            memory.peak_bytes,
            output.read().decode("utf-8", "replace"),
            errors.read().decode("utf-8", "replace"),
        )
    if lasted_s >= timeout_s:
        raise TimeoutError(f"{argv[0]} did not end within {timeout_s:g} s: {outcome.errors[-500:]}")
    return outcome


def compiling(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which Python writes its byte code: an installed program is compiled once."""
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}


class started(AbstractContextManager[None]):  # noqa: N801  reads as a verb: with started(…)
    """Runs a program during a `with` block, which starts once the program has printed `ready`."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._argv = argv
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> None:
        self._process = subprocess.Popen(
            self._argv, env=self._environment, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
        )
        killer = threading.Timer(_READY_S, self._process.kill)
        killer.start()
        said = self._process.stdout.readline() if self._process.stdout else ""
        killer.cancel()
        if said != "ready\n":
            self._end()
            raise RuntimeError(f"{' '.join(self._argv)} did not print 'ready'")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()


class Sampling(AbstractContextManager[None]):
    """Calls `sample` every `interval_s`, on a thread of its own, during a `with` block."""

    def __init__(self, sample: Callable[[], None], interval_s: float) -> None:
        self._sample = sample
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampling", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._interval_s):
            self._sample()


class _MemoryWatch:
    """Samples the peak memory of a process and its descendants while they run.

    The figure from `wait4` is of no use, because a child starts with the peak of its parent.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peaks_bytes: dict[int, int] = {}

    @property
    def peak_bytes(self) -> int:
        return sum(self._peaks_bytes.values())

    def look(self) -> None:
        for pid in _with_descendants(self._pid):
            self._peaks_bytes[pid] = max(self._peaks_bytes.get(pid, 0), high_water_bytes(pid))


def _with_descendants(pid: int) -> list[int]:
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in text_of(task).split():
            found += _with_descendants(int(child))
    return found


def high_water_bytes(pid: int) -> int:
    """Return the peak memory of a process; 0 if it is gone."""
    return _status_bytes(str(pid), "VmHWM")


def resident_bytes(pid: int | None = None) -> int:
    """Return the current memory of a process, by default of this one; 0 if it is gone."""
    return _status_bytes("self" if pid is None else str(pid), "VmRSS")


def threads(pid: int) -> int:
    """Return how many threads a process has; 0 if it is gone."""
    return _status(str(pid), "Threads")


def cpu_s(pid: int) -> float:
    """Return the user and system time that a process has used; 0 if it is gone."""
    if sys.platform == "win32":
        raise OSError("measuring programs needs /proc")
    # The name, in parentheses, may contain spaces; utime and stime are fields 14 and 15 of proc(5).
    fields = text_of(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


def descriptors(pid: int) -> int:
    """Return how many files, sockets and pipes a process has open. Raises `OSError` if it is gone."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _status_bytes(pid: str, name: str) -> int:
    return _status(pid, name) * 1024


def _status(pid: str, name: str) -> int:
    line = re.search(rf"^{name}:\s+(\d+)", text_of(Path(f"/proc/{pid}/status")), re.MULTILINE)
    return int(line[1]) if line else 0


def text_of(path: Path) -> str:
    """Read a file under `/proc`; "" if the process or thread is gone."""
    try:
        return path.read_text()
    except OSError:
        return ""
