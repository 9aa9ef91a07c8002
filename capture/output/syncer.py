"""Keeps a growing file on the disk: syncs it about once a second, on a thread of its own."""

from __future__ import annotations

import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from capture.system.durable import sync_content, sync_name
from capture.threads.worker import Worker

__all__ = ["Syncer"]

#: How often to sync. A power cut costs this much, what FFmpeg still holds, and the length of the sync itself.
INTERVAL_S: Final = 1.0


class Syncer:
    """Syncs a file while it grows, and its name once. Between writes it sleeps.

    One thread writes the file, and calls `note_write` after each write, which never waits; `sync` and `close` do. Any
    thread may read `behind_s` and `error`.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        """`descriptor` is the open file, which is duplicated; `path` is where it is now."""
        self._descriptor = os.dup(descriptor)
        self._path = path
        self._lock = threading.Lock()
        self._has_news = threading.Event()
        self._is_closing = threading.Event()
        # When the oldest write was made that no sync covers yet, and the oldest that the current sync covers.
        self._unsynced_since_s: float | None = None
        self._syncing_since_s: float | None = None
        #: The first error of a sync: what was written may be lost, although later syncs succeed.
        self.error: OSError | None = None
        self._worker = Worker("sync", self._run)
        self._worker.start()

    def note_write(self) -> None:
        """Note that the file has grown. Call it after the write: a sync covers only what was written before it."""
        if self._unsynced_since_s is None:
            self._unsynced_since_s = time.monotonic()
            self._has_news.set()

    @property
    def behind_s(self) -> float:
        """How much a power cut would cost now: the age of the oldest write that is not on the disk; 0 without one."""
        # A sync that ends between the two readings makes this 0 too early, never too late.
        since_s = self._syncing_since_s
        since_s = self._unsynced_since_s if since_s is None else since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    def sync(self) -> None:
        """Wait until everything written so far is on the disk. Raises `OSError` also for an earlier failed sync."""
        with self._lock:
            self._syncing_since_s = self._unsynced_since_s
            self._unsynced_since_s = None
            try:
                # The kernel reports each failure to one sync only, which may have been an earlier one.
                if self.error is None:
                    sync_content(self._descriptor)
            except OSError as error:
                self.error = error
            finally:
                self._syncing_since_s = None
        if self.error is not None:
            raise self.error

    def close(self, *, wait: bool = True) -> None:
        """Stop syncing; may be called twice. Without `wait`, a sync under way is left to end by itself."""
        self._is_closing.set()
        self._has_news.set()
        if wait:
            self._worker.join()

    def _run(self) -> None:
        began_s = time.monotonic()
        is_named = False
        try:
            while True:
                self._has_news.wait()
                # Before it looks whether to end: `close` sets both, and this may not clear what it has just set.
                self._has_news.clear()
                if self._is_closing.wait(max(0.0, began_s + INTERVAL_S - time.monotonic())):
                    return
                began_s = time.monotonic()
                self.sync()
                if not is_named:
                    sync_name(self._path)
                    is_named = True
        except Exception as error:
            # Without this thread nothing is safe any more, whatever ended it.
            self.error = self.error or (error if isinstance(error, OSError) else OSError(f"it failed: {error!r}"))
        finally:
            # An error concerns the file, so the next write to it raises it too.
            with suppress(OSError):
                os.close(self._descriptor)
