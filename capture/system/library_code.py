"""Unmaps the code of libraries that only a program's start needed.

Loading Python and FFmpeg touches most of their code once. A recording runs a fifth of it. Until memory runs short, the
system leaves all of it mapped: 20 MB of the recorder's memory. What is unmapped stays in the system's file cache, and
comes back when it runs again, some 64 KB with each page that is missing.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from bisect import bisect_right
from collections.abc import Iterator
from ctypes import POINTER, c_char_p, c_int, c_size_t, c_uint16, c_uint32, c_uint64
from ctypes import c_void_p as Pointer  # noqa: N812 - used as the type of a pointer
from pathlib import Path
from typing import Any, Final

__all__ = ["unmap_unused_code"]

#: The kinds of segments in elf(5), and the flag of those that are written to.
_LOADED: Final = 1
_DYNAMIC: Final = 2
_WRITABLE: Final = 2

#: Entries of the dynamic section: its end, and two ways to say that the loader has changed the code.
_END: Final = 0
_CODE_RELOCATED: Final = 22
_FLAGS: Final = 30
_FLAG_CODE_RELOCATED: Final = 4

#: Smaller segments have too little in them to be worth the call.
_LEAST_BYTES: Final = 1 << 14

_MADV_DONTNEED: Final = 4


class _Segment(ctypes.Structure):
    """`Elf64_Phdr` of elf(5)."""

    _fields_ = (
        ("kind", c_uint32),
        ("flags", c_uint32),
        ("offset", c_uint64),
        ("address", c_uint64),
        ("physical_address", c_uint64),
        ("file_bytes", c_uint64),
        ("memory_bytes", c_uint64),
        ("alignment", c_uint64),
    )


class _Library(ctypes.Structure):
    """The first fields of `dl_phdr_info` of dl_iterate_phdr(3)."""

    _fields_ = (("base", c_size_t), ("name", c_char_p), ("segments", POINTER(_Segment)), ("count", c_uint16))


def unmap_unused_code() -> int:
    """Unmap the code and constants of all libraries; return how many bytes of address space that were.

    Any thread may run library code meanwhile: it waits for the pages it needs, microseconds each. Takes 4 ms. Code that
    lies in no file stays: some programs move theirs to huge pages. Returns 0 where nothing can be done, as outside of
    64-bit Linux.
    """
    if sys.platform != "linux" or sys.maxsize < 1 << 32:
        return 0
    try:
        begins, ends = _places_without_file()
    except OSError:
        return 0
    unmapped = 0

    def visit(library: Any, _size: int, _data: object) -> int:
        nonlocal unmapped
        for first, size in _unchanged(library.contents):
            place = bisect_right(ends, first)
            is_of_file = place == len(begins) or begins[place] >= first + size
            if is_of_file and advise(first, size, _MADV_DONTNEED) == 0:
                unmapped += size
        return 0

    # The loader is locked for the time of the calls, so that no library goes away. The callback needs Python's lock,
    # which another thread may hold while it waits for the loader: so this one keeps it.
    process = ctypes.PyDLL(None)
    try:
        iterate, advise = process.dl_iterate_phdr, process.madvise
    except AttributeError:
        return 0
    kind = ctypes.PYFUNCTYPE(c_int, POINTER(_Library), c_size_t, Pointer)
    advise.argtypes = [Pointer, c_size_t, c_int]
    iterate.argtypes = [kind, Pointer]
    iterate(kind(visit), None)
    return unmapped


def _places_without_file() -> tuple[list[int], list[int]]:
    """Return where the mappings that lie in no file begin, and where they end, in order. Raises `OSError`."""
    begins, ends = [], []
    for line in Path("/proc/self/maps").read_bytes().splitlines():
        place, _, _, _, inode = line.split(None, 5)[:5]
        if inode == b"0":
            begin, _, end = place.partition(b"-")
            begins.append(int(begin, 16))
            ends.append(int(end, 16))
    return begins, ends


def _unchanged(library: _Library) -> Iterator[tuple[int, int]]:
    """Yield address and size of each large stretch of a library that is in memory as it is in the file."""
    segments = library.segments[: library.count]
    large = [
        segment
        for segment in segments
        if segment.kind == _LOADED and not segment.flags & _WRITABLE and segment.memory_bytes >= _LEAST_BYTES
    ]
    if not large or any(segment.kind == _DYNAMIC and _has_relocated_code(library, segment) for segment in segments):
        return
    for segment in large:
        # Only whole pages: another segment may begin in the last one.
        begin = -(-(library.base + segment.address) // mmap.PAGESIZE) * mmap.PAGESIZE
        end = (library.base + segment.address + segment.memory_bytes) // mmap.PAGESIZE * mmap.PAGESIZE
        yield begin, end - begin


def _has_relocated_code(library: _Library, segment: _Segment) -> bool:
    count = segment.memory_bytes // 16
    entries = (c_uint64 * (2 * count)).from_address(library.base + segment.address)
    for number in range(count):
        tag, value = entries[2 * number], entries[2 * number + 1]
        if tag == _CODE_RELOCATED or (tag == _FLAGS and value & _FLAG_CODE_RELOCATED):
            return True
        if tag == _END:
            break
    return False
