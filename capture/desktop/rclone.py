"""Copies files to the user's remote storage with the program rclone, if it is installed.

rclone knows the user's accounts; capture knows only the name that rclone has for a place, like `drive:Captures`.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from capture.errors import NotReadyError, OutputError
from capture.system.packages import how_to_install

__all__ = ["Rclone"]

#: By itself, rclone tries for minutes. A network that is gone stays gone for longer, and the next backup tries again. A
#: connection that hangs ends after these times.
_OPTIONS: Final = (
    *("--retries", "1", "--low-level-retries", "2", "--contimeout", "15s", "--timeout", "60s"),
    "--ask-password=false",
)

#: How the name of a file begins while it is copied.
_PARTIAL: Final = ".capture-partial-"


class Rclone:
    """Copies files to `remote`. One thread at a time uses it.

    `held` are descriptors that rclone keeps open as long as it runs, also when this process is killed: locks.
    """

    def __init__(self, remote: str, held: Sequence[int] = ()) -> None:
        """Raises `NotReadyError` when rclone is not installed."""
        program = shutil.which("rclone")
        if program is None:
            instead = "or copy recordings into a synced folder: capture config record.after_save 'cp -p {path} FOLDER'"
            raise NotReadyError("the program rclone is missing", f"{how_to_install('rclone')}; {instead}")
        self._program = program
        self._remote = remote
        self._held = tuple(held)

    def copy(self, path: Path, name: str) -> None:
        """Copy the file at `path` to the remote as `name`. The name belongs to the whole file only.

        Raises `OutputError` when that fails. Ctrl+C ends rclone too.
        """
        partial = self._place(_PARTIAL + name)
        self._run("copyto", str(path.absolute()), partial)
        self._run("moveto", partial, self._place(name))

    def _place(self, name: str) -> str:
        return self._remote + ("" if self._remote.endswith((":", "/")) else "/") + name

    def _run(self, verb: str, source: str, target: str) -> None:
        try:
            done = subprocess.run(
                [self._program, verb, *_OPTIONS, "--", source, target],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                check=False,
                pass_fds=self._held,
            )
        except OSError as error:
            raise OutputError(f"rclone could not be started ({error.strerror or error})") from error
        if done.returncode:
            raise OutputError(f"rclone failed: {_reason(done.stderr, done.returncode)}")


def _reason(said: bytes, code: int) -> str:
    """Return the last line that rclone said, without the time and level before it."""
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    last = lines[-1] if lines else f"exit code {code}"
    return last.partition(": ")[2] or last if last[:4].isdigit() else last
