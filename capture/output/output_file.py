"""The file of a recording on a disk that may run full, stand still or go away.

FFmpeg gives an output of its own up for good with the first write that fails, also when there is room again a moment
later. So it writes through here, where space is kept back: blocks in a file without a name, which are given up piece by
piece when nothing else is left, so that what is under way and the index of the file can still be written.
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

#: What the system says when there is no room: for anybody, or for this user. Windows has no second one.
_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})

#: What is given up at a time, at least: as much as FFmpeg writes at once. Others who wait for room get none of it.
_PIECE_BYTES: Final = 32_768

#: What is kept back grows in steps of this.
_STEP_BYTES: Final = 262_144


class OutputFile:
    """A new file, as FFmpeg wants it: `write`, `seek` and `tell`, and `closed` when it is not to be written any more.

    One thread at a time uses it; `size_bytes` and `busy_s` are for any.
    """

    def __init__(self, own: ReservedFile) -> None:
        """Write into `own`, which is new and empty."""
        self._folder = own.path.parent
        self._descriptor = os.dup(own.descriptor)
        self._position = 0
        self._reserve = _Reserve(self._folder)
        self._busy_since_s: float | None = None
        #: How large it is.
        self.size_bytes = 0
        #: Whether the disk had no room for it once.
        self.met_the_end = False
        #: Why it cannot be written any more.
        self.error: OSError | None = None

    # For FFmpeg

    @property
    def closed(self) -> bool:
        return self._descriptor < 0

    def write(self, data: bytes) -> int:
        """Write all of it, out of what is kept back where there is no other room. Raises `OSError`."""
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
                self.met_the_end = True
                if not self._reserve.give_up(max(len(data), _PIECE_BYTES)):
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

    # For whoever owns it

    @property
    def busy_s(self) -> float:
        """For how long the disk has been taking what is being written to it now; 0 while nothing is."""
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
        """How much can be written to a full disk."""
        return self._reserve.size_bytes

    def keep_back(self, wanted_bytes: int) -> bool:
        """Keep so much back, and say whether the disk has as much again for all others."""
        with self._busy():
            if self.met_the_end or not self._reserve.grow(wanted_bytes):
                return False
            free = free_bytes(self._folder)
        return free is None or free >= wanted_bytes

    def close(self) -> None:
        """Give everything back; may be called twice. Raises `OSError` where what was written did not arrive."""
        self._reserve.close()
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _Reserve:
    """Blocks of a disk that are taken and not used, in a file without a name: it goes with the process, however."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] | None = None
        self.size_bytes = 0

    def grow(self, wanted_bytes: int) -> bool:
        """Take at least so much. False where the disk has not so much; True also where nothing can be kept back."""
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

    def give_up(self, size_bytes: int) -> bool:
        """Let the disk have so much of it; False where nothing is left."""
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
    """Have the disk set the space of `file` between these two apart. Raises `OSError`."""
    if sys.platform == "linux":
        os.posix_fallocate(file.fileno(), from_bytes, to_bytes - from_bytes)
    else:
        file.seek(from_bytes)
        file.write(bytes(to_bytes - from_bytes))
