"""Memory that was freed goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

from capture.system import memory

#: Frees 100 MB in circles, below a piece that stays, so that glibc keeps them.
PROGRAM = """
import gc
from benchmarks.process import resident_bytes
from capture.system.memory import hand_back_memory
gc.disable()
pieces = [[bytearray(100_000)] for _ in range(1_000)]
for piece in pieces:
    piece.append(piece)
full = resident_bytes()
del pieces[:-1], piece
kept = resident_bytes()
print(hand_back_memory(), full - kept < 20_000_000, kept - resident_bytes() > 80_000_000)
"""

#: Frees 4 MB below a piece that stays, once glibc has seen a freed block of 8 MB.
LARGE_BLOCKS = """
import sys
from benchmarks.process import resident_bytes
from capture.system.memory import hand_back_large_blocks
print(sys.argv[1] == "kept" or hand_back_large_blocks())
bytearray(8_000_000)
large, staying = bytearray(4_000_000), [bytearray(100_000) for _ in range(9)]
full = resident_bytes()
del large
print(full - resident_bytes() > 3_000_000)
"""


def test_what_was_freed_is_handed_back() -> None:
    if memory._trim() is None:
        pytest.skip("this C library hands memory back by itself")
    ran = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == "True True True\n"


@pytest.mark.parametrize(("how", "is_back"), [("kept", False), ("handed back", True)])
def test_large_blocks_go_back_as_soon_as_they_are_freed(how: str, is_back: bool) -> None:
    if memory._trim() is None:
        pytest.skip("this C library hands memory back by itself")
    program = [sys.executable, "-c", LARGE_BLOCKS, how]
    ran = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout == f"True\n{is_back}\n"


def test_other_c_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_function_of_glibc", lambda name: None)
    memory._trim.cache_clear()
    assert not memory.hand_back_memory()
    memory._trim.cache_clear()
    assert not memory.hand_back_large_blocks()
