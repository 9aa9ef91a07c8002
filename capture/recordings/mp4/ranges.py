"""Copies ranges of bytes from files into another, inside the kernel where the system does that."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable
from typing import BinaryIO, Final, TypeAlias

from capture.recordings.progress import OnProgress

__all__ = ["Range", "copy_ranges"]

#: The number of a file, a place in it, and a length in bytes.
Range: TypeAlias = tuple[int, int, int]

#: Smaller ranges are gathered in memory: for each, a call of the system would take longer.
_SMALL_BYTES: Final = 65_536

#: How much to copy at a time.
_PIECE_BYTES: Final = 8_388_608

#: How a system says that it cannot copy between these files.
_UNABLE: Final = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM})


def copy_ranges(
    ranges: Iterable[tuple[BinaryIO, int, int]], out: BinaryIO, total_bytes: int, on_progress: OnProgress
) -> None:
    """Write the ranges of the files, each at a place and of a length, one behind the other to the end of `out`.

    Raises `OSError`, also when a file ends within a range.
    """
    done = due = 0
    for file, place, size in ranges:
        left = size
        while left:
            count = min(left, _PIECE_BYTES)
            if size >= _SMALL_BYTES:
                count = _copy(file, place + size - left, count, out)
            else:
                file.seek(place)
                data = file.read(count)
                if len(data) < count:
                    raise OSError(errno.EIO, "the recording became shorter")
                out.write(data)
            left -= count
            done += count
            if done >= due:
                on_progress(done / max(1, total_bytes))
                due = min(done + _PIECE_BYTES, total_bytes)


def _copy(file: BinaryIO, place: int, count: int, out: BinaryIO) -> int:
    """Copy up to `count` bytes; return how many. Raises `OSError`."""
    if sys.platform == "linux":
        out.flush()
        try:
            copied = os.copy_file_range(file.fileno(), out.fileno(), count, place)
        except OSError as error:
            if error.errno not in _UNABLE:
                raise
        else:
            if copied:
                out.seek(0, os.SEEK_END)
                return copied
    file.seek(place)
    data = file.read(count)
    if not data:
        raise OSError(errno.EIO, "the recording became shorter")
    out.write(data)
    return len(data)
