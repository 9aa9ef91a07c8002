"""Writes the file of a recording to a disk that may fill up, stall, disappear or lose its power.

When FFmpeg owns its output, the first failed write is final, even if there is room again a moment later. So it writes
through this module, which keeps space back: blocks in an unnamed file, released piece by piece once the disk is full,
so that packets on their way and the index can still be written.

The disk may store writes in any order. A header that is written last, over the one from the start, makes use of what
was written before it: it is written only once all of that is on the disk.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from capture.output.disk_space import free_bytes
from capture.output.file_size import FileSizeLimit, file_size_limit
from capture.output.reserved_file import ReservedFile
from capture.output.syncer import Syncer
from capture.system.at_place import read_at, write_at
from capture.system.durable import FULL

__all__ = ["OutputFile"]

#: How much of the reserve to release at a time, at least: as much as FFmpeg writes at once. Other programs that wait
#: for space get none of it.
_PIECE_BYTES: Final = 32_768

#: The last header of an MP4 is in the first bytes, and nothing else that FFmpeg writes on closing.
_HEADER_END: Final = 64

#: The reserve grows in steps of this.
_STEP_BYTES: Final = 262_144


class OutputFile:
    """A new file with the interface that FFmpeg wants: `write`, `seek`, `tell` and `closed`.

    One thread at a time uses it; any thread may read `size_bytes`, `busy_s` and `behind_s`.
    """

    def __init__(self, own: ReservedFile) -> None:
        """`own` is the file to write to, new and empty."""
        self._path = own.path
        self._descriptor = os.dup(own.descriptor)
        self._position = 0
        self._reserve = _Reserve(own.path.parent)
        #: The most that the file may hold; None without a limit.
        self.limit: FileSizeLimit | None = file_size_limit(own.path.parent)
        self._busy_since_s: float | None = None
        self._syncer: Syncer | None = None
        # How much of the file was on the disk before a header at its start was last written.
        self._secured_bytes = 0
        #: Called once, before the next write to the first bytes, where the last header goes.
        self.before_header: Callable[[], None] | None = None
        #: The size of the file.
        self.size_bytes = 0
        #: Whether the disk has ever been full.
        self.has_been_full = False
        #: The first error of a write that failed for good.
        self.error: OSError | None = None

    # For FFmpeg

    @property
    def closed(self) -> bool:
        return self._descriptor < 0

    def write(self, data: bytes) -> int:
        """Write all of `data`, using the reserve if the disk is full. Raises `OSError`."""
        left = memoryview(data)
        before_header = self.before_header
        if before_header is not None and self._position < _HEADER_END:
            self.before_header = None
            before_header()
        if self._position < self.size_bytes and self._secured_bytes < self.size_bytes:
            self.sync()
            self._secured_bytes = self.size_bytes
        with self._busy():
            try:
                while left:
                    left = left[self._write_some(left) :]
            except OSError as error:
                self.error = self.error or error
                raise
        if self._syncer is not None:
            self._syncer.note_write()
        return len(data)

    def _write_some(self, data: memoryview) -> int:
        while True:
            try:
                count = os.write(self._descriptor, data)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                self.has_been_full = True
                if not self._reserve.release(max(len(data), _PIECE_BYTES)):
                    raise
            else:
                self._position += count
                self.size_bytes = max(self.size_bytes, self._position)
                return count

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._position = os.lseek(self._descriptor, offset, whence)
        return self._position

    def tell(self) -> int:
        return self._position

    # For the owner

    def read_start(self, count: int) -> bytes:
        """Return the first `count` bytes, or fewer of a shorter file. Raises `OSError`."""
        return self.read_at(0, count)

    def read_at(self, place: int, count: int) -> bytes:
        """Return up to `count` bytes from `place` on. Raises `OSError`."""
        return read_at(self._descriptor, place, count)

    def replace_end(self, place: int, data: bytes) -> None:
        """Replace everything from `place` on by `data`, which is at least as long.

        Raises `OSError`. If the disk is full, the file is unchanged.
        """
        position, size, error = self._position, self.size_bytes, self.error
        try:
            # What takes new space comes first.
            self.seek(size)
            self.write(data[size - place :])
            self.seek(place)
            self.write(data[: size - place])
        except OSError:
            if self.error is not error and self._position >= size:
                self.error, self.size_bytes = error, size
                os.ftruncate(self._descriptor, size)
            raise
        finally:
            self.seek(position)

    def overwrite_start(self, data: bytes) -> None:
        """Replace the first bytes; see `overwrite`. Raises `OSError`."""
        self.overwrite(0, data)

    def overwrite(self, place: int, data: bytes) -> None:
        """Replace bytes at `place`. It waits for no sync: `data` must be right whatever reaches the disk first.

        Raises `OSError`.
        """
        with self._busy():
            write_at(self._descriptor, place, data)

    def keep_synced(self) -> None:
        """From now on, bring what is written to the disk about once a second, and the content before the headers."""
        self._syncer = Syncer(self._descriptor, self._path)

    def sync(self) -> None:
        """Wait until everything written is on the disk; does nothing without `keep_synced`. Raises `OSError`."""
        if self._syncer is None:
            return
        try:
            self._syncer.sync()
        except OSError as error:
            self.error = self.error or error
            raise

    def stop_syncing(self) -> None:
        """Let the disk take its time from now on: the file is no longer wanted. Never waits."""
        syncer, self._syncer = self._syncer, None
        if syncer is not None:
            syncer.close(wait=False)

    @property
    def sync_error(self) -> OSError | None:
        """The first error of a sync, after which what was written may be lost."""
        return self._syncer.error if self._syncer is not None else None

    @property
    def behind_s(self) -> float:
        """How much a power cut would cost now: the age of the oldest write that is not on the disk.

        0 without such a write, and without `keep_synced`.
        """
        syncer = self._syncer
        return syncer.behind_s if syncer is not None and not self.closed else 0.0

    @property
    def busy_s(self) -> float:
        """How long the current write has been blocked on the disk; 0 without one."""
        since_s = self._busy_since_s
        return 0.0 if since_s is None else time.monotonic() - since_s

    @contextmanager
    def _busy(self) -> Iterator[None]:
        self._busy_since_s = time.monotonic()
        try:
            yield
        finally:
            self._busy_since_s = None

    @property
    def allowed_bytes(self) -> float:
        """How much larger the file may still become; infinite without a limit on it."""
        return math.inf if self.limit is None else self.limit.size_bytes - self.size_bytes

    @property
    def kept_back_bytes(self) -> int:
        """The size of the reserve: how much can still be written to a full disk."""
        return self._reserve.size_bytes

    def keep_back(self, wanted_bytes: int) -> bool:
        """Grow the reserve to `wanted_bytes`; return whether as much again stays free for other programs."""
        with self._busy():
            if self.has_been_full or not self._reserve.grow(wanted_bytes):
                return False
            free = free_bytes(self._path.parent)
        return free is None or free >= wanted_bytes

    def close(self) -> None:
        """Release the reserve and close the file; may be called twice. Raises `OSError` when data did not arrive."""
        self._reserve.close()
        if self._syncer is not None:
            self._syncer.close()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _Reserve:
    """Holds disk blocks without using them, in an unnamed file that disappears with the process, however it ends."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self.size_bytes = 0

    def grow(self, wanted_bytes: int) -> bool:
        """Grow to at least `wanted_bytes`. Return False when the disk is full, True also if it cannot reserve space."""
        if wanted_bytes <= self.size_bytes:
            return True
        size_bytes = -(-wanted_bytes // _STEP_BYTES) * _STEP_BYTES
        try:
            if self._file is None:
                self._file = _unnamed_file(self._folder)
            _allocate(self._file, self.size_bytes, size_bytes)
        except OSError as error:
            if self._file is not None:
                with suppress(OSError):
                    self._file.truncate(self.size_bytes)
            return error.errno not in FULL
        self.size_bytes = size_bytes
        return True

    def release(self, size_bytes: int) -> bool:
        """Release `size_bytes` to the disk; return False when nothing is left."""
        if self._file is None or not self.size_bytes:
            return False
        self.size_bytes = max(0, self.size_bytes - size_bytes)
        self._file.truncate(self.size_bytes)
        return True

    def close(self) -> None:
        self.size_bytes = 0
        if self._file is not None:
            self._file.close()


def _unnamed_file(folder: Path) -> IO[bytes]:
    """Open a new file without a name on the disk of `folder`. Raises `OSError`."""
    if sys.platform == "linux":
        # Some file systems have no files without a name.
        with suppress(OSError):
            return os.fdopen(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600), "r+b", buffering=0)
    # Imported here: it loads `random` and every compressor, which takes 5 ms.
    import tempfile

    return tempfile.TemporaryFile(dir=folder, buffering=0)


def _allocate(file: IO[bytes], from_bytes: int, to_bytes: int) -> None:
    """Allocate the blocks of `file` from `from_bytes` to `to_bytes`. Raises `OSError`."""
    if sys.platform == "linux":
        os.posix_fallocate(file.fileno(), from_bytes, to_bytes - from_bytes)
    else:
        file.seek(from_bytes)
        file.write(bytes(to_bytes - from_bytes))
