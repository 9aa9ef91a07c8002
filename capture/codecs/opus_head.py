"""Reads the header of an Opus track (`OpusHead`, RFC 7845, section 5.1)."""

from __future__ import annotations

import struct
from typing import Final

__all__ = ["priming_of", "with_priming"]

_SIGNATURE: Final = b"OpusHead"
_PRE_SKIP: Final = slice(10, 12)


def priming_of(head: bytes | None) -> int:
    """Return how many samples at 48 kHz players skip at the start; 0 for other codecs."""
    head = bytes(head or b"")
    return int.from_bytes(head[_PRE_SKIP], "little") if head.startswith(_SIGNATURE) else 0


def with_priming(head: bytes, samples: int) -> bytes:
    """Return the header with another number of samples to skip."""
    return head[: _PRE_SKIP.start] + struct.pack("<H", samples) + head[_PRE_SKIP.stop :]
