"""Reads the header of an Opus track (`OpusHead`, RFC 7845, section 5.1)."""

from __future__ import annotations

import struct
from typing import Final

from capture.media import VOICE_SAMPLE_RATE

__all__ = ["is_voice", "priming_of", "with_priming"]

_SIGNATURE: Final = b"OpusHead"
_PRE_SKIP: Final = slice(10, 12)
_INPUT_RATE: Final = slice(12, 16)


def is_voice(head: bytes | None) -> bool:
    """Whether the track was encoded as a voice note, by the input sample rate in its header."""
    head = bytes(head or b"")
    return head.startswith(_SIGNATURE) and int.from_bytes(head[_INPUT_RATE], "little") == VOICE_SAMPLE_RATE


def priming_of(head: bytes | None) -> int:
    """Return how many samples at 48 kHz players skip at the start; 0 for other codecs."""
    head = bytes(head or b"")
    return int.from_bytes(head[_PRE_SKIP], "little") if head.startswith(_SIGNATURE) else 0


def with_priming(head: bytes, samples: int) -> bytes:
    """Return the header with another number of samples to skip."""
    return head[: _PRE_SKIP.start] + struct.pack("<H", samples) + head[_PRE_SKIP.stop :]
