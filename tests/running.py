"""A `capture` that runs while a test looks on."""

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

#: Longer than anything here takes on the busiest machine: it only ends what hangs.
LIMIT_S: Final = 60.0


#: What a busy machine may do to any recording: it loses pictures, its sound begins late, and nothing runs for a second.
BY_CHANCE: Final = ("dropped", "no_data", "stood_still")


def kinds(summary: Mapping[str, Any]) -> list[str]:
    """What happened to a recording, as its summary in JSON says, but for what happens by chance."""
    return [event["kind"] for event in summary["events"] if event["kind"] not in BY_CHANCE]


def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition` holds; fails the test, naming `what`, when that takes forever."""
    deadline_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain for {what}"
        time.sleep(0.005)


class Recorder:
    """A process that runs `capture ARGUMENT…` in `folder`; leaving the context kills it if it still runs.

    Its two outputs are nameless files, so that it can never wait for somebody to read them. With `group` it is in that
    process group: its own with 0, or that of another recorder by the number of its process. `by` is a program that runs
    it, with its own arguments.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        folder: Path,
        *arguments: str | Path,
        group: int | None = None,
        by: Sequence[str] = (),
    ) -> None:
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - closed at the exit
        self.process = subprocess.Popen(
            [*by, sys.executable, "-m", "capture", *map(str, arguments)],
            cwd=folder,
            env=dict(environment),
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
        """Wait for `condition`; fails with the recorder's own words when it ends first."""

        def met() -> bool:
            if condition():
                return True
            # What it did last may have been just that.
            assert self.process.poll() is None or condition(), f"ended before {what}: {self.stderr}"
            return False

        eventually(met, f"{what}; it said {self.stderr!r}")

    def until_recording(self, path: Path) -> None:
        """Wait until something recorded has reached the file; its header may be there before."""
        self.until(lambda: _size_bytes(path) > 0, f"{path.name} has content")
        self.until_grown(path, 1)

    def until_grown(self, path: Path, times: int = 2) -> None:
        """Wait until the file was added to `times` times.

        What is added at once may have been on its way when this was called. From the second time on it holds what
        happened since.
        """
        for _ in range(times):
            before = _size_bytes(path)
            self.until(lambda before=before: _size_bytes(path) > before, f"{path.name} grows")  # type: ignore[misc]

    def until_said(self, words: str) -> None:
        self.until(lambda: words in self.stderr, f"the words {words!r}")

    def handles(self, number: int) -> bool:
        """Whether it has set a handler of its own for a signal, one that stops a recording.

        Python sets one for Ctrl+C when it starts, long before; for SIGTERM it has none.
        """
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        caught = int(next(line for line in status.splitlines() if line.startswith("SigCgt")).split()[1], 16)
        return bool(caught >> (signal.SIGTERM - 1) & 1) and bool(caught >> (number - 1) & 1)

    def wait(self) -> int:
        """Wait for its end and return the exit code."""
        return self.process.wait(LIMIT_S)

    def summary(self) -> dict[str, Any]:
        """The one object on standard output, after its end."""
        self.wait()
        assert self.stdout.endswith("}\n"), f"no summary: {self.stdout!r}, but {self.stderr!r}"
        found = json.loads(self.stdout)
        assert isinstance(found, dict)
        return found

    def stop(self) -> dict[str, Any]:
        """Ask it to end and finish its file; the summary."""
        self.process.terminate()
        assert self.wait() == 0, self.stderr
        return self.summary()


def _text_of(descriptor: int) -> str:
    if sys.platform == "win32":
        raise OSError("Windows cannot read past the file's position")
    # Reading at a place of its own: the recorder writes where the file's position is.
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode()


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
