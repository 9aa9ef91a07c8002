"""Memory that a server writes pixels into, lent to the code that reads them."""

from __future__ import annotations

import mmap
import os
import sys
import weakref
from typing import TYPE_CHECKING, Any, Self

from capture.errors import DisplayLostError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["HeldMemory", "LentMemory"]


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

    def hold(self, size_bytes: int) -> HeldMemory:
        """Keep the first bytes as they are, for an array of them that is made later."""
        held = HeldMemory(self, size_bytes)
        self._holder = weakref.ref(held)
        return held

    def lend(self, size_bytes: int) -> npt.NDArray[np.uint8]:
        """Return the first bytes: uint8 (size_bytes,)."""
        # Imported here: screens are opened before numpy is loaded.
        import numpy as np

        values = np.frombuffer(self._memory, np.uint8, size_bytes)
        # Every array made from this one holds a reference to it.
        self._holder = weakref.ref(values)
        return values


class HeldMemory:
    """Memory that is not free for as long as this is referenced."""

    def __init__(self, memory: LentMemory, size_bytes: int) -> None:
        self._memory = memory
        self._size_bytes = size_bytes

    def values(self) -> npt.NDArray[np.uint8]:
        """Return the bytes: uint8 (size_bytes,). The array takes over the memory."""
        return self._memory.lend(self._size_bytes)
