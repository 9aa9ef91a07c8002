"""Decides when a recording must end so that its file can still be finished on a disk that fills up."""

from __future__ import annotations

import math
from typing import Final

from capture.output.output_file import OutputFile

__all__ = ["Margin"]

#: What closing any file takes, chapters included.
_CLOSING_BYTES: Final = 65_536

#: How much of a recording FFmpeg holds in memory, at most: a fragment, and packets that wait for the other track.
_INSIDE_S: Final = 1.0

#: How much of a recording is still on its way when the disk ends it, in time and at least in bytes.
_ON_ITS_WAY_S: Final = 2.0
_ON_ITS_WAY_BYTES: Final = 524_288

#: How often to check the disk: after this much was recorded, in time or in bytes.
_CHECK_S: Final = 0.5
_CHECK_BYTES: Final = 1_000_000


class Margin:
    """Keeps back the disk space that finishing the file takes, which grows with it. Used by the writing thread only."""

    def __init__(self, file: OutputFile, index_bytes: int) -> None:
        """`index_bytes` is how much each packet adds to the index, which is written last."""
        self._file = file
        self._index_bytes = index_bytes
        self._bytes_per_s = 0.0
        self._checked_at_s = -math.inf
        self._checked_at_bytes = 0
        self.packets = 0
        #: Media time up to which packets were written.
        self.reached_s = 0.0

    def count(self, ends_s: float) -> None:
        """Count a written packet that ends at `ends_s` in media time."""
        self.packets += 1
        self.reached_s = max(self.reached_s, ends_s)

    @property
    def is_due(self) -> bool:
        """Whether it is time to check the disk again."""
        seconds, grown = self.reached_s - self._checked_at_s, self._file.size_bytes - self._checked_at_bytes
        return seconds >= _CHECK_S or grown >= _CHECK_BYTES

    def is_reached(self) -> bool:
        """Check the disk; return whether the free space has shrunk into the margin, so that the recording must end."""
        seconds, grown = self.reached_s - self._checked_at_s, self._file.size_bytes - self._checked_at_bytes
        self._checked_at_s, self._checked_at_bytes = self.reached_s, self._file.size_bytes
        # Decay slowly: a busy scene may come back.
        self._bytes_per_s = max(0.9 * self._bytes_per_s, grown / max(seconds, _CHECK_S))
        on_its_way = max(_ON_ITS_WAY_BYTES, round(_ON_ITS_WAY_S * self._bytes_per_s))
        return not self._file.keep_back(self.closing_bytes + on_its_way)

    @property
    def is_used_up(self) -> bool:
        """Whether the remaining space is needed to finish the file."""
        return self._file.has_been_full and self._file.kept_back_bytes < self.closing_bytes

    @property
    def closing_bytes(self) -> int:
        """How much space finishing the file takes."""
        return _CLOSING_BYTES + self._index_bytes * self.packets + round(_INSIDE_S * self._bytes_per_s)
