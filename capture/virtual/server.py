"""What the desk's two servers have in common: a log each, and a word on what is wrong when they do not serve."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from capture.errors import NotReadyError
from capture.virtual.supervised_process import SupervisedProcess

__all__ = ["not_serving", "start_server"]


def start_server(argv: Sequence[str], environment: Mapping[str, str], log: Path, package: str) -> SupervisedProcess:
    """Start `argv`, all its output going to `log`, which is in the desk's folder.

    `NotReadyError` names the Debian package where the program is missing.
    """
    with log.open("wb") as output:
        try:
            return SupervisedProcess(
                argv, environment, log.parent, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        except FileNotFoundError:
            raise NotReadyError(f"{argv[0]} is not installed", f"apt-get install {package}") from None
        except OSError as error:
            raise NotReadyError(f"{argv[0]} cannot be run ({error.strerror})", f"reinstall {package}") from error


def not_serving(name: str, log: Path, deadline_s: float) -> NotReadyError:
    """The error for a server that has ended, or that does not answer although `deadline_s` (monotonic) has passed."""
    trouble = "does not answer" if time.monotonic() >= deadline_s else "does not start"
    lines = [line.strip() for line in log.read_text("utf-8", "replace").split("\n")]
    last = next((line for line in reversed(lines) if line), "")
    return NotReadyError(f"{name} {trouble}", f"its last words are {last!r}" if last else "it says nothing of why")
