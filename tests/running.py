"""Runs `capture` as a process while the test watches it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

#: Longer than anything here takes on the busiest machine: only a hang reaches it.
LIMIT_S: Final = 60.0


#: Events that a busy machine may cause in any recording: lost frames, sound that starts late, a process that stalls, a
#: disk that does.
BY_CHANCE: Final = ("dropped", "no_data", "stood_still", "disk_slow")


def kinds(summary: Mapping[str, Any]) -> list[str]:
    """Return the kinds of the events in a JSON summary, without those that happen by chance."""
    return [event["kind"] for event in summary["events"] if event["kind"] not in BY_CHANCE]


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition` holds. Fail the test after `LIMIT_S`, naming `what`."""
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain for {what}"
        time.sleep(0.005)


class Recorder:
    """A process that runs `capture ARGUMENT…` in `folder`. Leaving the context kills it if it still runs.

    Its standard output and error are unnamed files, so it never blocks on a reader. `group` is the process group to
    join: 0 for a new one, or the process id of another recorder. `by` is a program, with arguments, that runs it.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        *arguments: str | Path,
        group: int | None = None,
        by: Sequence[str] = (),
    ) -> None:
        self.environment = dict(environment)
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed at the exit
        self.process = subprocess.Popen(
            [*by, sys.executable, "-m", "capture", *map(str, arguments)],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            process_group=group,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        self._out.close()
        self._err.close()

    @property
    def stdout(self) -> str:
        return _text_of(self._out.fileno())

    @property
    def stderr(self) -> str:
        return _text_of(self._err.fileno())

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for `condition`. Fail with the recorder's standard error if it exits first."""

        def met() -> bool:
            if condition():
                return True
            # It may have met the condition just before it exited.
            assert self.process.poll() is None or condition(), f"ended before {what}: {self.stderr}"
            return False

        eventually(met, f"{what}; it said {self.stderr!r}")

    def until_recording(self, path: Path) -> None:
        """Wait until recorded data has reached the file; its header may be there earlier."""
        self.until(lambda: _size_bytes(path) > 0, f"{path.name} has content")
        self.until_grown(path, 1)

    def until_grown(self, path: Path, times: int = 2) -> None:
        """Wait until the file has grown `times` times.

        The first growth may have been under way at the call. From the second on, the file holds what happened since.
        """
        for _ in range(times):
            before = _size_bytes(path)
            self.until(lambda before=before: _size_bytes(path) > before, f"{path.name} grows")  # type: ignore[misc]

    def until_said(self, words: str) -> None:
        self.until(lambda: words in self.stderr, f"the words {words!r}")

    def handles(self, number: int) -> bool:
        """Whether it has installed its own handler for a signal, one that stops a recording.

        Python itself handles Ctrl+C from its start on, but not SIGTERM: so this also checks SIGTERM.
        """
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1) and bool(caught >> (number - 1) & 1)

    def wait(self) -> int:
        """Wait until it exits and return the exit code."""
        return self.process.wait(LIMIT_S)

    def summary(self) -> dict[str, Any]:
        """Wait until it exits and return the one JSON object on its standard output."""
        self.wait()
        assert self.stdout.endswith("}\n"), f"no summary: {self.stdout!r}, but {self.stderr!r}"
        found = json.loads(self.stdout)
        assert isinstance(found, dict)
        return found

    def stop(self) -> dict[str, Any]:
        """Send SIGTERM, wait until it has finished its file, and return the summary."""
        self.process.terminate()
        assert self.wait() == 0, self.stderr
        return self.summary()


def _text_of(descriptor: int) -> str:
    if sys.platform == "win32":
        raise OSError("Windows cannot read past the file's position")
    # `pread` leaves the file position alone: the recorder writes there.
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode()


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
