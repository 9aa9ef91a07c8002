"""Keeps the screensaver and the sleep of the screen away while a picture is recorded, on each system in its own way.

It is optional everywhere: a refusal, or a system without it, changes nothing.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from capture.events import EventKind
from capture.threads.worker import Worker

__all__ = ["ScreenAwake"]

#: How long `close` waits for the thread. It is a daemon: if a service hangs, it ends with the process.
CLOSE_LIMIT_S: Final = 1.0

_Report: TypeAlias = Callable[[EventKind, str], None]


class ScreenAwake:
    """Keeps the screen awake while something holds it: a recording (as a `TakeObserver`), or the replay buffer.

    For one thread. Nothing waits for the desktop or the system: a thread of its own asks them. `report` is called by
    that thread when the screen is locked or blanked nevertheless, and when it is shown again (Linux).
    """

    def __init__(self, report: _Report) -> None:
        self._report = report
        self._holders = 0
        self._released = threading.Event()
        self._worker: Worker | None = None

    def hold(self) -> None:
        self._holders += 1
        if self._worker is None:
            self._released = threading.Event()
            self._worker = Worker("screen awake", partial(_keep_awake, self._released, self._report))
            self._worker.start()

    def release(self) -> None:
        """Undo one `hold`; the last one gives the screen back."""
        self._holders = max(0, self._holders - 1)
        if not self._holders:
            self.close()

    def take_began(self, path: str) -> None:
        self.hold()

    def take_ended(self) -> None:
        self.release()

    def close(self) -> None:
        """Let the screen sleep again, by whichever way it was kept awake. May be called twice."""
        self._holders = 0
        worker, self._worker = self._worker, None
        if worker is not None:
            self._released.set()
            worker.join(CLOSE_LIMIT_S)


def _keep_awake(released: threading.Event, report: _Report) -> None:
    """Keep the screen awake until `released` is set."""
    if sys.platform == "win32":
        from capture.desktop.awake_elsewhere import keep_windows_awake

        keep_windows_awake(released)
    elif sys.platform == "darwin":
        from capture.desktop.awake_elsewhere import keep_macos_awake

        keep_macos_awake(released)
    elif sys.platform == "linux":
        from capture.desktop.awake_linux import keep_linux_awake

        keep_linux_awake(released, report)
