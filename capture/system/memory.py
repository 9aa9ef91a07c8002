"""Hands memory that was freed back to the system, at once or when it is asked to.

glibc keeps what a program frees, for its next use. A recording frees most of what it took in large pieces, tens of
megabytes between pieces that stay, and a recorder that waits for the next one has no use for them.

Libraries may leave circles, which Python's collector finds sooner or later: PyAV 19 ties a filter graph to itself in
every encoder of sound, 0.4 MB.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from ctypes import c_int, c_size_t
from functools import cache
from typing import Any, Final

__all__ = ["hand_back_large_blocks", "hand_back_memory"]

#: glibc's number for the size from which a block has pages of its own, in mallopt(3).
_MMAP_THRESHOLD: Final = -3

#: Pictures and their encoders are larger, and what comes and goes many times a second, as packets do, is smaller.
_LARGE_BYTES: Final = 1 << 19


def hand_back_large_blocks() -> bool:
    """Let each block of half a megabyte or more go back to the system as soon as it is freed; False without glibc.

    Otherwise glibc keeps blocks of the size of those that were freed before, up to 32 MB: when the first encoder of a
    recording makes way for one with another search, the second takes 10 MB more at 1080p. For the whole process, so
    only a program itself should call this, not a library.
    """
    set_option = _function_of_glibc("mallopt")
    return set_option is not None and bool(set_option(c_int(_MMAP_THRESHOLD), c_int(_LARGE_BYTES)))


def hand_back_memory() -> bool:
    """Free circles, then hand back what the allocator holds free; return whether there was any, False without glibc.

    Takes 5 to 15 ms after a recording. Threads that allocate meanwhile wait, so call it when nothing is recorded.
    """
    gc.collect()
    trim = _trim()
    return trim is not None and bool(trim(0))


@cache
def _trim() -> Any:
    """Return `malloc_trim`, or None if the C library has none, as musl."""
    trim = _function_of_glibc("malloc_trim")
    if trim is not None:
        trim.restype, trim.argtypes = c_int, [c_size_t]
    return trim


def _function_of_glibc(name: str) -> Any:
    if sys.platform != "linux":
        return None
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
