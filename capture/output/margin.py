"""When a recording has to end so that its file can still be finished on a disk that fills."""

from __future__ import annotations

import math
from typing import Final

from capture.output.output_file import OutputFile

__all__ = ["Margin"]

#: What closing a file takes in any case, chapters included.
_CLOSING_BYTES: Final = 65_536


#: How much of a recording FFmpeg still has in memory, at most: a fragment and what waits for the other track.
_INSIDE_S: Final = 1.0


#: How much of it is on its way when it is stopped because of the disk, and what that is at least.
_ON_ITS_WAY_S: Final = 2.0


_ON_ITS_WAY_BYTES: Final = 524_288


#: The disk is looked at whenever so much was recorded, in time or in bytes.
_LOOK_S: Final = 0.5


_LOOK_BYTES: Final = 1_000_000


class Margin:
    """What a recording leaves of the disk for its own end, which grows with it; used by the thread that writes."""

    def __init__(self, file: OutputFile, index_bytes: int) -> None:
        """`index_bytes` is what each packet adds to what is written last."""
        self._file = file
        self._index_bytes = index_bytes
        self._bytes_per_s = 0.0
        self._looked_at_s = -math.inf
        self._looked_at_bytes = 0
        self.packets = 0
        #: How far the recording has come in media time.
        self.reached_s = 0.0

    def count(self, ends_s: float) -> None:
        """A packet was written that ends at `ends_s` in media time."""
        self.packets += 1
        self.reached_s = max(self.reached_s, ends_s)

    @property
    def is_due(self) -> bool:
        """Whether it is time to look at the disk again."""
        seconds, grown = self.reached_s - self._looked_at_s, self._file.size_bytes - self._looked_at_bytes
        return seconds >= _LOOK_S or grown >= _LOOK_BYTES

    def is_gone_into(self) -> bool:
        """Look whether others have left no more of the disk than what is to be left."""
        seconds, grown = self.reached_s - self._looked_at_s, self._file.size_bytes - self._looked_at_bytes
        self._looked_at_s, self._looked_at_bytes = self.reached_s, self._file.size_bytes
        # A scene that took more is remembered for a while.
        self._bytes_per_s = max(0.9 * self._bytes_per_s, grown / max(seconds, _LOOK_S))
        on_its_way = max(_ON_ITS_WAY_BYTES, round(_ON_ITS_WAY_S * self._bytes_per_s))
        return not self._file.keep_back(self.closing_bytes + on_its_way)

    @property
    def is_used_up(self) -> bool:
        """Whether there is room for the end of the file alone."""
        return self._file.met_the_end and self._file.kept_back_bytes < self.closing_bytes

    @property
    def closing_bytes(self) -> int:
        """What it takes to finish the file."""
        return _CLOSING_BYTES + self._index_bytes * self.packets + round(_INSIDE_S * self._bytes_per_s)
