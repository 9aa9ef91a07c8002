"""Starts the desk's two servers, each with a log, and quotes that log when a server fails.

All their files are the user's alone, whatever the umask.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from capture.errors import NotReadyError
from capture.system.packages import how_to_install
from capture.virtual.supervised_process import SupervisedProcess

__all__ = ["server_error", "start_server", "write_private"]

_PRIVATE_FILE: Final = 0o600
_PRIVATE_UMASK: Final = 0o077


def write_private(path: Path, content: bytes) -> None:
    """Write a file with mode 0600 in the desk's folder, in place of an earlier one. Raises `OSError`."""
    path.touch(_PRIVATE_FILE)
    path.write_bytes(content)


def start_server(argv: Sequence[str], environment: Mapping[str, str], log: Path) -> SupervisedProcess:
    """Start `argv` and send all its output to `log`, a file in the desk's folder.

    Raises `NotReadyError` when the program is missing, naming its package.
    """
    write_private(log, b"")
    with log.open("wb") as output:
        try:
            return SupervisedProcess(
                argv,
                environment,
                log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                umask=_PRIVATE_UMASK,
            )
        except FileNotFoundError:
            raise NotReadyError(f"{argv[0]} is not installed", how_to_install(argv[0])) from None
        except OSError as error:
            raise NotReadyError(f"cannot run {argv[0]} ({error.strerror})", f"reinstall {argv[0]}") from error


def server_error(name: str, log: Path, deadline_s: float) -> NotReadyError:
    """Return the error for a server that has ended, or has not answered by `deadline_s` (monotonic)."""
    trouble = "does not answer" if time.monotonic() >= deadline_s else "did not start"
    lines = [line.strip() for line in log.read_text("utf-8", "replace").split("\n")]
    last = next((line for line in reversed(lines) if line), "")
    return NotReadyError(f"{name} {trouble}", f"its log ends with {last!r}" if last else "its log is empty")
