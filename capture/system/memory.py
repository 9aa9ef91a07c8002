"""Hands memory that was freed back to the system.

glibc keeps what a program frees, for its next use. A recording frees most of what it took in large pieces, tens of
megabytes between pieces that stay, and a recorder that waits for the next one has no use for them.
"""

from __future__ import annotations

import ctypes
import sys
from ctypes import c_int, c_size_t
from functools import cache
from typing import Any

__all__ = ["hand_back_memory"]


def hand_back_memory() -> bool:
    """Hand back what the allocator holds free; return whether there was any. Does nothing without glibc.

    Takes 1 to 5 ms after a recording. Threads that allocate meanwhile wait for it, so call it when nothing is recorded.
    """
    trim = _trim()
    return trim is not None and bool(trim(0))


@cache
def _trim() -> Any:
    """Return `malloc_trim`, or None if the C library has none, as musl."""
    if sys.platform != "linux":
        return None
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return None
    trim.restype, trim.argtypes = c_int, [c_size_t]
    return trim
