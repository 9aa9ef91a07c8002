"""Starts the desk's two servers, each with a log, and quotes that log when a server fails."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from capture.errors import NotReadyError
from capture.virtual.supervised_process import SupervisedProcess

__all__ = ["server_error", "start_server"]


def start_server(argv: Sequence[str], environment: Mapping[str, str], log: Path, package: str) -> SupervisedProcess:
    """Start `argv` and send all its output to `log`, a file in the desk's folder.

    Raises `NotReadyError` when the program is missing, naming the Debian `package` that contains it.
    """
    with log.open("wb") as output:
        try:
            return SupervisedProcess(
                argv, environment, log.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        except FileNotFoundError:
            raise NotReadyError(f"{argv[0]} is not installed", f"apt-get install {package}") from None
        except OSError as error:
            raise NotReadyError(f"cannot run {argv[0]} ({error.strerror})", f"reinstall {package}") from error


def server_error(name: str, log: Path, deadline_s: float) -> NotReadyError:
    """Return the error for a server that has ended, or has not answered by `deadline_s` (monotonic)."""
    trouble = "does not answer" if time.monotonic() >= deadline_s else "did not start"
    lines = [line.strip() for line in log.read_text("utf-8", "replace").split("\n")]
    last = next((line for line in reversed(lines) if line), "")
    return NotReadyError(f"{name} {trouble}", f"its log ends with {last!r}" if last else "its log is empty")
