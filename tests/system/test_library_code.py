"""Code that only the start used is unmapped, and comes back when it runs."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from capture.system import library_code

#: Loads large libraries, unmaps their code, and runs it again while other threads run and load more of it.
PROGRAM = """
import re, threading
from pathlib import Path
import av, numpy
from capture.system.library_code import unmap_unused_code

def of_files():
    return int(re.search(r"RssFile:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

def work():
    while not ended.is_set():
        numpy.linalg.inv(numpy.eye(50)).sum()
        av.VideoFrame(64, 48, "bgra").reformat(format="yuv420p").to_ndarray()

ended = threading.Event()
before = of_files()
unmapped = unmap_unused_code()
print(unmapped > 50_000_000, of_files() < before * 2 / 3)
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for name in ("decimal", "sqlite3", "ssl", "xml.etree.ElementTree", "_curses", "_lzma"):
    __import__(name)
    unmap_unused_code()
ended.set()
for thread in threads:
    thread.join()
print("ended")
"""


#: Moves the code of a library out of its file, as programs do to have it in huge pages, and runs it afterwards.
MOVED = """
import ctypes, mmap
from pathlib import Path
import numpy
from capture.system.library_code import unmap_unused_code

process = ctypes.CDLL(None)
process.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
process.mmap.restype = ctypes.c_void_p
maps = Path("/proc/self/maps").read_text().splitlines()
line = next(line for line in maps if "_multiarray_umath" in line and " r-xp " in line)
begin, end = (int(each, 16) for each in line.split()[0].split("-"))
code = ctypes.string_at(begin, end - begin)
all_rights = mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
fixed = 0x10
assert process.mmap(begin, len(code), all_rights, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | fixed, -1, 0) == begin
ctypes.memmove(begin, code, len(code))
unmap_unused_code()
print(numpy.ones(9).sum())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are left alone")
def test_code_that_lies_in_no_file_stays() -> None:
    ran = subprocess.run([sys.executable, "-c", MOVED], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "9.0\n"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems are left alone")
def test_code_is_unmapped_and_still_runs() -> None:
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "True True\nended\n"


def library(*segments: tuple[int, int, int, int], base: int = 0) -> library_code._Library:
    """Return a library with segments of these kinds, flags, addresses and sizes in memory."""
    made = (library_code._Segment * len(segments))(
        *(library_code._Segment(kind, flags, 0, address, 0, size, size, 0) for kind, flags, address, size in segments)
    )
    return library_code._Library(base, b"", made, len(segments))


def test_only_whole_pages_of_large_segments_that_nothing_writes_to_are_unmapped() -> None:
    tried = library(
        *((1, 5, 0x1000, 0x20000), (1, 4, 0x21010, 0x30000), (1, 6, 0x60000, 0x90000)),
        *((1, 4, 0xF0000, 0x1000), (6, 4, 0, 0x90000)),
        base=0x100000,
    )
    assert list(library_code._unchanged(tried)) == [(0x101000, 0x20000), (0x122000, 0x2F000)]


@pytest.mark.parametrize(("tag", "value"), [(22, 0), (30, 4)], ids=["as an entry", "as a flag"])
def test_code_that_the_loader_has_changed_stays(tag: int, value: int) -> None:
    entries = (ctypes.c_uint64 * 8)(1, 5, tag, value, 0, 0, 0, 0)
    code = (1, 5, 0, 0x20000)
    changed = library(code, (2, 6, ctypes.addressof(entries), ctypes.sizeof(entries)))
    assert list(library_code._unchanged(changed)) == []
    # Behind the end of the section are other things.
    entries[2], entries[4], entries[6] = 0, tag, tag
    assert list(library_code._unchanged(changed)) == [(0, 0x20000)]


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert library_code.unmap_unused_code() == 0
