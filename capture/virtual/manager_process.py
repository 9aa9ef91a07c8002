"""Starts the desk's window manager, see `window_manager.py`.

It is a process of its own, so that windows do not wait for a recorder that is stopped or busy.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from capture.virtual.server import server_error, start_server
from capture.virtual.supervised_process import SupervisedProcess

__all__ = ["ManagerProcess"]

SCRIPT: Final = Path(__file__).with_name("window_manager.py")

#: The line that the script prints when it is ready.
READY: Final = "ready"


class ManagerProcess:
    """The window manager of a desk. One thread calls all methods."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "window-manager.log"
        self._program: SupervisedProcess | None = None

    def open(self, environment: Mapping[str, str]) -> None:
        """Start it on the display of `environment`; use `await_ready` to wait for it. Raises `NotReadyError`."""
        # Without -P, modules beside the script could stand in for libraries.
        self._program = start_server([sys.executable, "-P", str(SCRIPT)], environment, self._log)

    def await_ready(self, deadline_s: float) -> None:
        """Return once programs can rely on it. Raises `NotReadyError` when it fails or `deadline_s` (monotonic) passes.

        It fails if python-xlib is missing, which comes with capture.
        """
        if self._program is None or not self._program.await_answer(self._is_ready, deadline_s):
            raise server_error("the window manager", self._log, deadline_s)

    def _is_ready(self) -> bool:
        return READY in self._log.read_text("utf-8", "replace").splitlines()

    def close(self) -> None:
        """End it; may be called twice."""
        if self._program is not None:
            self._program.end()
