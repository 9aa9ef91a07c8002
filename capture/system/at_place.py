"""Reads and writes an open file at a place, and leaves the position at which it is read and written otherwise."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["read_at", "write_at"]


def read_at(descriptor: int, place: int, count: int) -> bytes:
    """Return up to `count` bytes from `place` on. Raises `OSError`."""
    if sys.platform != "win32":
        return os.pread(descriptor, count, place)
    with _position_at(descriptor, place):
        return os.read(descriptor, count)


def write_at(descriptor: int, place: int, data: bytes) -> int:
    """Write `data` at `place`; return how many bytes were written. Raises `OSError`."""
    if sys.platform != "win32":
        return os.pwrite(descriptor, data, place)
    with _position_at(descriptor, place):
        return os.write(descriptor, data)


@contextmanager
def _position_at(descriptor: int, place: int) -> Iterator[None]:
    """Move the position to `place` inside the block, and back after it."""
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, place, os.SEEK_SET)
        yield
    finally:
        os.lseek(descriptor, position, os.SEEK_SET)
