"""Decides when a recording must end so that its file can still be finished: on a full disk, or at its largest size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from capture.media import in_seconds
from capture.output.output_file import OutputFile

if TYPE_CHECKING:
    import av

__all__ = ["Margin"]

#: What closing any file takes, chapters included.
_CLOSING_BYTES: Final = 65_536

#: How many bytes a packet adds to the index, at most. MP4 stores its length (8 bytes), its size (4), that it is a key
#: frame (4), and the place of each run of packets (20 for a track in every fragment): 13 were measured for frames at
#: irregular moments. Matroska stores about 25 for a key frame or, with sound alone, for every cluster.
_INDEX_BYTES: Final = {"mp4": 24, "mov": 24, "ipod": 24, "matroska": 4, "webm": 4}

#: How much of a recording FFmpeg holds in memory, at most: a fragment, and packets that wait for the other track.
_INSIDE_S: Final = 1.0

#: How much of a recording is still on its way when the disk ends it, in time and at least in bytes.
_ON_ITS_WAY_S: Final = 2.0
_ON_ITS_WAY_BYTES: Final = 524_288

#: Of a file that may not grow large, at most this share is kept back for either.
_SHARE: Final = 8

#: How often to check the disk: after this much was recorded, in time or in bytes.
_CHECK_S: Final = 0.5
_CHECK_BYTES: Final = 1_000_000


class Margin:
    """Keeps back the room that finishing the file takes, which grows with it. Used by the writing thread only."""

    def __init__(self, file: OutputFile, form: str) -> None:
        """`form` is FFmpeg's name for the format of the file; its index is written last."""
        self._file = file
        self._index_bytes = _INDEX_BYTES.get(form, 0)
        self._bytes_per_s = 0.0
        self._checked_at_s = -math.inf
        self._checked_at_bytes = 0
        self._is_used_up = False
        self.packets = 0
        # The latest packet of each track. Their time is looked at now and then: that takes as long as writing them.
        self._latest: dict[int, av.Packet[Any]] = {}

    def count(self, packet: av.Packet[Any]) -> None:
        """Count a packet that was written."""
        self.packets += 1
        self._latest[packet.stream_index] = packet

    @property
    def reached_s(self) -> float:
        """Media time up to which packets were written."""
        ends_s = (in_seconds((one.pts or 0) + (one.duration or 0), one.time_base) for one in self._latest.values())
        return max((0.0, *ends_s))

    @property
    def is_due(self) -> bool:
        """Whether it is time to check the disk again."""
        seconds, grown = self.reached_s - self._checked_at_s, self._file.size_bytes - self._checked_at_bytes
        return seconds >= _CHECK_S or grown >= self._at_most(_CHECK_BYTES)

    def is_reached(self) -> bool:
        """Check the disk; return whether the room has shrunk into the margin, so that the recording must end."""
        seconds, grown = self.reached_s - self._checked_at_s, self._file.size_bytes - self._checked_at_bytes
        self._checked_at_s, self._checked_at_bytes = self.reached_s, self._file.size_bytes
        # Decay slowly: a busy scene may come back.
        self._bytes_per_s = max(0.9 * self._bytes_per_s, grown / max(seconds, _CHECK_S))
        return self.is_at_limit or not self._file.keep_back(self._ending_bytes)

    @property
    def is_at_limit(self) -> bool:
        """Whether the largest size of the file is near, so that the recording must end."""
        return self._file.allowed_bytes < self._ending_bytes

    @property
    def is_used_up(self) -> bool:
        """Whether the remaining room is needed to finish the file; once it is, for good.

        Otherwise a track could go on after a gap, when another one became slower.
        """
        if self._file.limit is None and not self._file.has_been_full:
            return False
        room = self._file.kept_back_bytes if self._file.has_been_full else math.inf
        self._is_used_up |= min(room, self._file.allowed_bytes) < self.closing_bytes
        return self._is_used_up

    @property
    def closing_bytes(self) -> int:
        """How much room finishing the file takes."""
        fixed = self._at_most(_CLOSING_BYTES)
        return fixed + self._index_bytes * self.packets + round(_INSIDE_S * self._bytes_per_s)

    @property
    def _ending_bytes(self) -> int:
        """How much room ending the recording and finishing the file take."""
        on_its_way = max(self._at_most(_ON_ITS_WAY_BYTES), round(_ON_ITS_WAY_S * self._bytes_per_s))
        return self.closing_bytes + on_its_way

    def _at_most(self, size_bytes: int) -> int:
        limit = self._file.limit
        return size_bytes if limit is None else min(size_bytes, limit.size_bytes // _SHARE)
