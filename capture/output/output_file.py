"""Writes the file of a recording to a disk that may fill up, stall or disappear.

When FFmpeg owns its output, the first failed write is final, even if there is room again a moment later. So it writes
through this module, which keeps space back: blocks in an unnamed file, released piece by piece once the disk is full,
so that packets on their way and the index can still be written.
"""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from capture.output.disk_space import free_bytes
from capture.output.reserved_file import ReservedFile

__all__ = ["OutputFile"]

#: The errors for a full disk and for a full quota. Windows has no second one.
_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})

#: How much of the reserve to release at a time, at least: as much as FFmpeg writes at once. Other programs that wait
#: for space get none of it.
_PIECE_BYTES: Final = 32_768

#: The reserve grows in steps of this.
_STEP_BYTES: Final = 262_144


class OutputFile:
    """A new file with the interface that FFmpeg wants: `write`, `seek`, `tell` and `closed`.

    One thread at a time uses it; any thread may read `size_bytes` and `busy_s`.
    """

    def __init__(self, own: ReservedFile) -> None:
        """`own` is the file to write to, new and empty."""
        self._folder = own.path.parent
        self._descriptor = os.dup(own.descriptor)
        self._position = 0
        self._reserve = _Reserve(self._folder)
        self._busy_since_s: float | None = None
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
        with self._busy():
            try:
                while left:
                    left = left[self._write_some(left) :]
            except OSError as error:
                self.error = self.error or error
                raise
        return len(data)

    def _write_some(self, data: memoryview) -> int:
        while True:
            try:
                count = os.write(self._descriptor, data)
            except OSError as error:
                if error.errno not in _FULL:
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
    def kept_back_bytes(self) -> int:
        """The size of the reserve: how much can still be written to a full disk."""
        return self._reserve.size_bytes

    def keep_back(self, wanted_bytes: int) -> bool:
        """Grow the reserve to `wanted_bytes`; return whether as much again stays free for other programs."""
        with self._busy():
            if self.has_been_full or not self._reserve.grow(wanted_bytes):
                return False
            free = free_bytes(self._folder)
        return free is None or free >= wanted_bytes

    def close(self) -> None:
        """Release the reserve and close the file; may be called twice. Raises `OSError` when data did not arrive."""
        self._reserve.close()
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
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115 - closed by close
            _allocate(self._file, self.size_bytes, size_bytes)
        except OSError as error:
            if self._file is not None:
                with suppress(OSError):
                    self._file.truncate(self.size_bytes)
            return error.errno not in _FULL
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


def _allocate(file: IO[bytes], from_bytes: int, to_bytes: int) -> None:
    """Allocate the blocks of `file` from `from_bytes` to `to_bytes`. Raises `OSError`."""
    if sys.platform == "linux":
        os.posix_fallocate(file.fileno(), from_bytes, to_bytes - from_bytes)
    else:
        file.seek(from_bytes)
        file.write(bytes(to_bytes - from_bytes))
