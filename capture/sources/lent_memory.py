"""Memory that a server writes pixels into, lent to the code that reads them."""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from capture.errors import DisplayLostError

__all__ = ["LentMemory"]


class LentMemory:
    """A stretch of memory that is shared by its descriptor. It is free once nothing references what was lent last."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._holder: weakref.ref[Any] | None = None

    @classmethod
    def make(cls, size_bytes: int) -> tuple[Self, int]:
        """Return new memory, and its descriptor, which the caller hands over or closes. Raises `OSError`."""
        if sys.platform != "linux":
            raise DisplayLostError("sharing memory with the display server needs Linux")
        descriptor = os.memfd_create("capture")
        try:
            os.ftruncate(descriptor, size_bytes)
            return cls(mmap.mmap(descriptor, size_bytes)), descriptor
        except BaseException:
            os.close(descriptor)
            raise

    @property
    def size_bytes(self) -> int:
        return len(self._memory)

    @property
    def is_free(self) -> bool:
        return self._holder is None or self._holder() is None

    def lend(self, size_bytes: int) -> npt.NDArray[np.uint8]:
        """Return the first bytes: uint8 (size_bytes,)."""
        values = np.frombuffer(self._memory, np.uint8, size_bytes)
        # Every array made from this one holds a reference to it.
        self._holder = weakref.ref(values)
        return values
