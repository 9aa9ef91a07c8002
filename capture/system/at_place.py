"""Reads and writes an open file at a place, and leaves the position at which it is read and written otherwise."""

from __future__ import annotations

import os
import sys

__all__ = ["read_at", "write_at"]


def read_at(descriptor: int, place: int, count: int) -> bytes:
    """Return up to `count` bytes from `place` on. Raises `OSError`."""
    if sys.platform != "win32":
        return os.pread(descriptor, count, place)
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, place, os.SEEK_SET)
        return os.read(descriptor, count)
    finally:
        os.lseek(descriptor, position, os.SEEK_SET)


def write_at(descriptor: int, place: int, data: bytes) -> int:
    """Write `data` at `place`; return how many bytes were written. Raises `OSError`."""
    if sys.platform != "win32":
        return os.pwrite(descriptor, data, place)
    position = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, place, os.SEEK_SET)
        return os.write(descriptor, data)
    finally:
        os.lseek(descriptor, position, os.SEEK_SET)
