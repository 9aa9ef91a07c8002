"""Runs `capture` during a measurement and controls it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.desk import Desk
from benchmarks.process import REPOSITORY
from capture.remote import client

__all__ = ["Keys", "Remote", "recorder", "until"]

#: Longer than anything here takes; only ends a program that hangs.
_LIMIT_S: Final = 120.0


@contextmanager
def recorder(desk: Desk, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `capture` with `arguments` until the end of the `with` block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "capture", *arguments, "--quiet"],
        env=dict(desk.environment),
        cwd=REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def until(condition: Callable[[], bool], what: str) -> float:
    """Wait until `condition` holds; return the moment when it did. Raises `TimeoutError`."""
    gives_up_at_s = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > gives_up_at_s:
            raise TimeoutError(f"timed out waiting for {what}")
        time.sleep(0.001)
    return time.monotonic()


class Remote:
    """The remote control of the recorder on a desk."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = Path(environment["XDG_RUNTIME_DIR"], "capture")

    def status(self) -> dict[str, Any]:
        """Return the status of the recorder; empty while none runs."""
        return next(iter(client.running(self._folder)), {})

    def state(self) -> str:
        return str(self.status().get("state", ""))

    def ask(self, verb: str, **options: Any) -> dict[str, Any]:
        return client.ask(verb, options=options, folder=self._folder)


class Keys:
    """Presses keys on a desk. xdotool is started once, so that its start does not count as latency."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["xdotool", "-"], env=dict(environment), stdin=subprocess.PIPE, text=True, bufsize=1
        )

    def press(self, combination: str) -> float:
        """Press keys such as `ctrl+alt+p`; return the moment just before."""
        pressed_s = time.monotonic()
        if self._process.stdin is not None:
            self._process.stdin.write(f"key --delay 0 {combination}\n")
            self._process.stdin.flush()
        return pressed_s

    def close(self) -> None:
        self._process.communicate()
