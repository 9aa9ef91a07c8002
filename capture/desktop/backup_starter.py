"""Has what a recorder saves backed up: queues each file, and starts `capture backup` beside the recorder.

The recorder never waits for a copy. While it waits itself, it starts those again whose next attempt is due.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from capture.desktop.backup import BackupList, backup_path
from capture.system.packages import how_to_install
from capture.threads.worker import Worker

__all__ = ["BackupStarter"]

#: How often to look whether an attempt is due. A backup that cannot even start leaves it due: the pause then doubles.
_RETRY_S: Final = 60.0
_LONGEST_RETRY_S: Final = 3600.0


class BackupStarter:
    """Queues files and starts backups in processes with this `environment`; any thread may call `add`.

    `complain` takes a line about what went wrong.
    """

    def __init__(self, environment: Mapping[str, str], complain: Callable[[str], None]) -> None:
        self._environment = dict(environment)
        self._complain = complain
        self._known = BackupList(backup_path())
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._has_complained = False
        self._ended = threading.Event()
        self._retries = Worker("backup", self._retry)

    def add(self, path: Path) -> None:
        """Queue a file, and start its backup.

        One that runs may have had its last look at the list. Which of the two copies the file is for them to settle.
        """
        try:
            self._known.queue([path])
            self._start()
        except OSError as error:
            self._complain(f"{path} was not queued for its backup ({error.strerror or error}): see capture backup")

    def start_retrying(self) -> None:
        """Start those that are due, now and later, until `close`. Raises `NotReadyError` without a thread."""
        self._retries.start()

    def close(self) -> None:
        """End the retries; a backup that runs goes on."""
        self._ended.set()
        self._retries.join()
        for process in self._running():
            # Otherwise Python warns that the process is never waited for.
            process.returncode = 0

    def _retry(self) -> None:
        # The list is read again each time: other recorders queue in it too.
        pause_s = _RETRY_S
        while not self._ended.is_set():
            if self._known.due():
                with suppress(OSError):
                    if not self._running():
                        self._start()
                pause_s = min(2 * pause_s, _LONGEST_RETRY_S)
            else:
                pause_s = _RETRY_S
            self._ended.wait(pause_s)

    def _running(self) -> list[subprocess.Popen[bytes]]:
        """Return the backups that run; those that have ended stay no zombies."""
        with self._lock:
            self._processes = [process for process in self._processes if process.poll() is None]
            return self._processes

    def _start(self) -> None:
        """Start a backup. Raises `OSError`."""
        from capture.desktop.autostart import own_command

        self._running()
        with self._lock:
            if shutil.which("rclone", path=self._environment.get("PATH")) is None:
                if not self._has_complained:
                    self._has_complained = True
                    self._complain(f"recordings wait for their backup, rclone is missing: {how_to_install('rclone')}")
                return
            self._processes.append(
                subprocess.Popen(
                    [*own_command(), "backup", "--quiet"],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=self._environment,
                    # It outlives this process, whose Ctrl+C must not reach it.
                    start_new_session=True,
                )
            )
