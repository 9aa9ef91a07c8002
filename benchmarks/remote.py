"""A `capture` that runs beside a measurement, and the orders it is given."""

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

#: Longer than anything here takes: it only ends what hangs.
_LIMIT_S: Final = 120.0


@contextmanager
def recorder(desk: Desk, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `capture` with `arguments` until the block is left."""
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
    """Wait for `condition`; when it was seen to hold."""
    gives_up_at_s = time.monotonic() + _LIMIT_S
    while not condition():
        if time.monotonic() > gives_up_at_s:
            raise TimeoutError(f"waited in vain for {what}")
        time.sleep(0.001)
    return time.monotonic()


class Remote:
    """The remote control of the recorder on a desk."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._folder = Path(environment["XDG_RUNTIME_DIR"], "capture")

    def status(self) -> dict[str, Any]:
        """What the recorder says of itself; empty while there is none."""
        return next(iter(client.running(self._folder)), {})

    def state(self) -> str:
        return str(self.status().get("state", ""))

    def ask(self, verb: str, **options: Any) -> dict[str, Any]:
        return client.ask(verb, options=options, folder=self._folder)


class Keys:
    """Presses keys on a desk; xdotool is started once, so that its start is no part of a key's way."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            ["xdotool", "-"], env=dict(environment), stdin=subprocess.PIPE, text=True, bufsize=1
        )

    def press(self, combination: str) -> float:
        """Press keys, `ctrl+alt+p`; the moment just before."""
        pressed_s = time.monotonic()
        if self._process.stdin is not None:
            self._process.stdin.write(f"key --delay 0 {combination}\n")
            self._process.stdin.flush()
        return pressed_s

    def close(self) -> None:
        self._process.communicate()
