"""The most that the headers of a recording may claim, and the words for what is beyond.

A file of 50 MB within these bounds takes at most 300 MB of memory, and 10 s to check or to repair. Larger files may
have more packets, in proportion.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "LARGEST_CONFIGURATION_BYTES",
    "LARGEST_PICTURES_BYTES",
    "MOST_CHAPTERS",
    "MOST_PICTURES",
    "MOST_TAGS",
    "MOST_TRACKS",
    "TRUST",
    "ExcessError",
    "Tally",
    "most_packets",
]

#: Five hours of one Opus track. A check takes about 3 µs for each; a repair, which reads the old file twice
#: and the new one once, 10; FFmpeg up to 100 bytes of memory.
_MOST_PACKETS: Final = 920_000

#: Files up to this size are held to that; larger ones may have one more packet for each of these bytes.
_LARGE_FILE_BYTES: Final = 50_000_000
_LEAST_PACKET_BYTES: Final = 25

#: A recorder writes 17 at most. FFmpeg opens a decoder for each.
MOST_TRACKS: Final = 100

#: FFmpeg compares each tag with all before it.
MOST_TAGS: Final = 10_000

MOST_CHAPTERS: Final = 10_000

#: FFmpeg makes a track of each.
MOST_PICTURES: Final = 100

#: All titles, comments and pictures together. FFmpeg copies them up to three times.
LARGEST_PICTURES_BYTES: Final = 32_000_000

#: What a decoder needs to know of its track: about 100 bytes. FFmpeg copies it up to five times.
LARGEST_CONFIGURATION_BYTES: Final = 256_000


#: What to do when there are many packets, entries or tags: a very long recording may have them.
TRUST: Final = "if you trust the file, add --no-limits"


class ExcessError(Exception):
    """A header claims more than a recording holds. The message is a sentence for the user."""


def most_packets(file_bytes: int) -> int:
    """Return the most packets that a file of this size may hold."""
    return _MOST_PACKETS + max(0, file_bytes - _LARGE_FILE_BYTES) // _LEAST_PACKET_BYTES


class Tally:
    """Adds up what the headers of one file claim. Raises `ExcessError` beyond the bounds."""

    def __init__(self) -> None:
        self._found: dict[str, int] = {}

    def add(self, things: str, count: int, most: int) -> None:
        """Count some more `things`, a plural; no more than `most` in all."""
        self._found[things] = self._found.get(things, 0) + count
        if self._found[things] > most:
            raise ExcessError(f"its headers claim {self._found[things]:,} {things}, more than {most:,}: {TRUST}")

    def hold(self, what: str, size_bytes: int, most_bytes: int) -> None:
        """Hold a size that a header states against the most it may be."""
        if size_bytes > most_bytes:
            raise ExcessError(
                f"the file is damaged: a header claims {size_bytes:,} bytes for {what}, more than {most_bytes:,}"
            )
