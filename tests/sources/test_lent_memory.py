"""Memory shared with a server is reused once nothing refers to what was lent."""

from __future__ import annotations

import os
import sys

import pytest

from capture.sources.lent_memory import LentMemory

if sys.platform != "linux":
    pytest.skip("sharing memory needs Linux", allow_module_level=True)


@pytest.fixture
def memory() -> LentMemory:
    found, descriptor = LentMemory.make(4096)
    os.pwrite(descriptor, b"abcd", 0)
    os.close(descriptor)
    return found


def test_memory_is_free_once_nothing_refers_to_an_array(memory: LentMemory) -> None:
    assert memory.is_free
    values = memory.lend(4)
    part = values[1:]
    del values
    assert not memory.is_free
    assert bytes(part) == b"bcd"
    del part
    assert memory.is_free


def test_held_memory_is_not_free_and_becomes_an_array_later(memory: LentMemory) -> None:
    held = memory.hold(4)
    assert not memory.is_free
    values = held.values()
    del held
    assert not memory.is_free
    assert bytes(values) == b"abcd"
    del values
    assert memory.is_free


def test_held_memory_that_is_let_go_of_is_free(memory: LentMemory) -> None:
    held = memory.hold(4)
    del held
    assert memory.is_free
