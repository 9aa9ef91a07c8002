"""Reads from the first bytes of a GIF or WebP how large it is. They are no containers of tracks, and have no walk."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

__all__ = ["HEAD_BYTES", "AnimationHead", "animation_head"]

#: How many of the first bytes say it.
HEAD_BYTES: Final = 30

#: The byte that begins a lossless picture (RFC 9649, section 3.4).
_LOSSLESS: Final = 0x2F


class AnimationHead(NamedTuple):
    """`gif` or `webp`, and the size in pixels."""

    codec: str
    width: int
    height: int


def animation_head(head: bytes) -> AnimationHead | None:
    """Return what the first `HEAD_BYTES` of a file say; None if they begin neither a GIF nor a WebP.

    A WebP may be a still picture: libwebp writes one when all frames are the same, as those of a still screen.
    """
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 10:
        return AnimationHead("gif", *struct.unpack_from("<HH", head, 6))
    if head[:4] != b"RIFF" or head[8:12] != b"WEBP" or len(head) < HEAD_BYTES:
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
        return AnimationHead("webp", width, height)
    if kind == b"VP8 ":
        width, height = (size & 0x3FFF for size in struct.unpack_from("<HH", head, 26))
        return AnimationHead("webp", width, height)
    if kind == b"VP8L" and head[20] == _LOSSLESS:
        (bits,) = struct.unpack_from("<I", head, 21)
        return AnimationHead("webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    return None
