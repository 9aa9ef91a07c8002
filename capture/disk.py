"""The file of a recording on a disk that may run full, stand still or go away.

FFmpeg gives an output of its own up for good with the first write that fails, also when there is room again a moment
later. So it writes through here, where space is kept back: blocks in a file without a name, which are given up piece by
piece when nothing else is left, so that what is under way and the index of the file can still be written.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from capture.errors import NotReadyError
from capture.own_file import OwnFile

__all__ = ["Margin", "OutputFile", "check_room", "free_bytes"]

#: What the system says when there is no room: for anybody, or for this user. Windows has no second one.
_FULL: Final = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})

#: What is given up at a time, at least: as much as FFmpeg writes at once. Others who wait for room get none of it.
_PIECE_BYTES: Final = 32_768

#: What is kept back grows in steps of this.
_STEP_BYTES: Final = 262_144

#: With less than this a recording would end as soon as it has begun.
_LEAST_FREE_BYTES: Final = 4_000_000

#: What closing a file takes in any case, chapters included.
_CLOSING_BYTES: Final = 65_536

#: How much of a recording FFmpeg still has in memory, at most: a fragment and what waits for the other track.
_INSIDE_S: Final = 1.0

#: How much of it is on its way when it is stopped because of the disk, and what that is at least.
_ON_ITS_WAY_S: Final = 2.0
_ON_ITS_WAY_BYTES: Final = 524_288

#: The disk is looked at whenever so much was recorded, in time or in bytes.
_LOOK_S: Final = 0.5
_LOOK_BYTES: Final = 1_000_000


def free_bytes(folder: Path) -> int | None:
    """How much an ordinary user can still write in `folder`; None where the file system does not tell."""
    try:
        found = shutil.disk_usage(folder)
    except OSError:
        return None
    # Some network file systems count nothing.
    return found.free if found.total else None


def check_room(folder: Path) -> None:
    """Raise `NotReadyError` where `folder` has no room for a recording worth beginning."""
    free = free_bytes(folder.absolute())
    if free is not None and free < _LEAST_FREE_BYTES:
        raise NotReadyError(
            f"the disk of {folder.absolute()} has {free / 1e6:.1f} MB left",
            f"free at least {_LEAST_FREE_BYTES / 1e6:.0f} MB, or record to another disk",
        )


class OutputFile:
    """A new file, as FFmpeg wants it: `write`, `seek` and `tell`, and `closed` when it is not to be written any more.

    One thread at a time uses it; `size_bytes` and `busy_s` are for any.
    """

    def __init__(self, own: OwnFile) -> None:
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


class Margin:
    """What a recording leaves of the disk for its own end, which grows with it; used by the thread that writes."""

    def __init__(self, file: OutputFile, index_bytes: int) -> None:
        """`index_bytes` is what each packet adds to what is written last."""
        self._file = file
        self._index_bytes = index_bytes
        self._bytes_per_s = 0.0
        self._looked_at_s = -math.inf
        self._looked_at_bytes = 0
        self.packets = 0
        #: How far the recording has come in media time.
        self.reached_s = 0.0

    def count(self, ends_s: float) -> None:
        """A packet was written that ends at `ends_s` in media time."""
        self.packets += 1
        self.reached_s = max(self.reached_s, ends_s)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look at the disk again."""
        seconds, grown = self.reached_s - self._looked_at_s, self._file.size_bytes - self._looked_at_bytes
        return seconds >= _LOOK_S or grown >= _LOOK_BYTES

    def is_gone_into(self) -> bool:
        """Look whether others have left no more of the disk than what is to be left."""
        seconds, grown = self.reached_s - self._looked_at_s, self._file.size_bytes - self._looked_at_bytes
        self._looked_at_s, self._looked_at_bytes = self.reached_s, self._file.size_bytes
        # A scene that took more is remembered for a while.
        self._bytes_per_s = max(0.9 * self._bytes_per_s, grown / max(seconds, _LOOK_S))
        on_its_way = max(_ON_ITS_WAY_BYTES, round(_ON_ITS_WAY_S * self._bytes_per_s))
        return not self._file.keep_back(self.closing_bytes + on_its_way)

    @property
    def is_used_up(self) -> bool:
        """Whether there is room for the end of the file alone."""
        return self._file.met_the_end and self._file.kept_back_bytes < self.closing_bytes

    @property
    def closing_bytes(self) -> int:
        """What it takes to finish the file."""
        return _CLOSING_BYTES + self._index_bytes * self.packets + round(_INSIDE_S * self._bytes_per_s)


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
