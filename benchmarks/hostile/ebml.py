"""Hostile MKV and WebM files: elements, lacing, and tables."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

__all__ = ["FILES", "element", "segment", "track_entry"]

_HEADER: Final = bytes.fromhex("1a45dfa3 93 4282 84 7765626d 4287 81 04 4285 81 02 42f2 81 04")


def element(number: int, *parts: bytes, size: int | None = None) -> bytes:
    """Return an element; `size` states another size than the true one."""
    body = b"".join(parts)
    length = len(body) if size is None else size
    coded = bytes([0x80 | length]) if length < 127 else (1 << 56 | length).to_bytes(8, "big")
    return number.to_bytes((number.bit_length() + 7) // 8, "big") + coded + body


def segment(*parts: bytes, killed: bool = False) -> bytes:
    """Return a file with these elements, and a header before them that states the length; `killed` ends without one."""
    info = element(0x1549A966, element(0x2AD7B1, b"\x0f\x42\x40"), element(0x4489, struct.pack(">d", 1_000.0)))
    if killed:
        return _HEADER + bytes.fromhex("18538067 01ffffffffffffff") + b"".join(parts)
    return _HEADER + element(0x18538067, info, *parts, element(0x1C53BB6B))


def track_entry(codec: bytes = b"A_OPUS", *more: bytes, private: bytes | None = None, number: int = 1) -> bytes:
    """Return an audio track."""
    head = struct.pack("<8sBBHIHB", b"OpusHead", 1, 2, 312, 48_000, 0, 0) if private is None else private
    sound = element(0xE1, element(0xB5, struct.pack(">d", 48_000.0)), element(0x9F, b"\2"))
    return element(
        0xAE, element(0xD7, bytes([number])), element(0x73C5, bytes([number])),
        element(0x83, b"\2"), element(0x86, codec),
        *([element(0x63A2, head)] if head else []), sound, *more,
    )  # fmt: skip


TRACKS: Final = element(0x1654AE6B, track_entry())


def clusters(blocks: Callable[[int], bytes], size: int, *before: bytes, each: int = 60_000) -> bytes:
    """Return a file of clusters, each of about `each` bytes; `blocks` makes the content of one."""
    cluster = element(0x1F43B675, element(0xE7, b"\0"), blocks(each))
    count = (size - 1_000 - sum(map(len, before))) // len(cluster)
    return segment(*(before or (TRACKS,)), cluster * count)


def tiny_blocks(content: bytes = b"\xf8") -> Callable[[int], bytes]:
    """Return a builder of blocks with one byte each."""
    block = element(0xA3, b"\x81\0\0\x80" + content)
    return lambda size: clusters(lambda each: block * (each // len(block)), size)


def at_the_limit(size: int) -> bytes:
    """Return a file that was never closed, with as many packets as are allowed, in two tracks."""
    count = min(918, size // 50_000)
    content = b"\xfc".ljust(39, b"\xff")
    blocks = b"".join(
        element(0xA3, bytes([0x81 + number % 2]) + (number // 2 * 20).to_bytes(2, "big") + b"\x80", content)
        for number in range(1_000)
    )
    made = [element(0x1F43B675, element(0xE7, (place * 10_000).to_bytes(4, "big")), blocks) for place in range(count)]
    tracks = element(0x1654AE6B, track_entry(), track_entry(number=2))
    return segment(tracks, *made, killed=True)


def laced(content: bytes, *, flags: int = 0x84, codec: bytes = b"A_OPUS") -> Callable[[int], bytes]:
    """Return a builder of blocks with 256 packets each, all of the same size."""
    block = element(0xA3, b"\x81\0\0", bytes([flags]), b"\xff", content)
    tracks = element(0x1654AE6B, track_entry(codec, private=None if codec == b"A_OPUS" else b""))
    return lambda size: clusters(lambda each: block * (each // len(block)), size, tracks)


def listed(parent: int, child: bytes) -> Callable[[int], bytes]:
    """Return a builder of a file that is one list of small elements."""

    def build(size: int) -> bytes:
        lists = element(parent, child * ((size - 1_000) // len(child)))
        return segment(*([] if parent == 0x1654AE6B else [TRACKS]), lists)

    return build


def large(number: int, codec: bytes, *, claim: int | None = None) -> Callable[[int], bytes]:
    """Return a builder of a track with one enormous element, or one that only claims to be."""

    def build(size: int) -> bytes:
        inner = element(number, b"\1" * (100 if claim else size - 1_000), size=claim)
        tail = bytes(size - 1_000) if claim else b""
        return segment(element(0x1654AE6B, track_entry(codec, inner, private=b"")), element(0xEC, tail))

    return build


def nested(size: int) -> bytes:
    """Return tags in tags in tags."""
    depth, inner = 4_000, b""
    for _ in range(depth):
        inner = element(0x67C8, inner)
    return segment(TRACKS, element(0x1254C367, element(0x7373, inner)), element(0xEC, bytes(size - len(inner))))


_TAG: Final = element(0x7373, element(0x67C8, element(0x45A3, b"a"), element(0x4487, b"b")))

FILES: Final[dict[str, Callable[[int], bytes]]] = {
    "tiny-blocks.webm": tiny_blocks(),
    "blocks-at-the-limit.webm": at_the_limit,
    "empty-blocks.mkv": tiny_blocks(b""),
    "laced-empty.mkv": laced(b""),
    "laced-bytes.webm": laced(b"\xf8" * 256),
    "laced-unknown.mkv": laced(b"\xf8" * 256, codec=b"A_MPEG/L3"),
    "laced-xiph.mkv": laced(bytes(255), flags=0x82),
    "many-clusters.webm": lambda size: segment(
        TRACKS, element(0x1F43B675, element(0xE7, b"\0"), element(0xA3, b"\x81\0\0\x80\xf8")) * (size // 16)
    ),
    "many-tracks.mkv": listed(0x1654AE6B, track_entry()),
    "many-bare-tracks.mkv": listed(0x1654AE6B, element(0xAE)),
    "many-cues.webm": listed(0x1C53BB6B, element(0xBB, element(0xB3, b"\0"), element(0xB7, element(0xF7, b"\1")))),
    "many-tags.mkv": listed(0x1254C367, _TAG),
    "many-simple-tags.mkv": listed(0x1254C367, element(0x7373, element(0x67C8, element(0x45A3, b"a")))),
    "many-chapters.mkv": listed(
        0x1043A770, element(0x45B9, element(0xB6, element(0x73C4, b"\1"), element(0x91, b"\1"), element(0x92, b"\2")))
    ),
    "many-attachments.mkv": listed(
        0x1941A469, element(0x61A7, element(0x466E, b"a"), element(0x4660, b"image/png"), element(0x465C, b"x"))
    ),
    "many-seeks.mkv": listed(0x114D9B74, element(0x4DBB, element(0x53AB, b"\x11\x4d\x9b\x74"), element(0x53AC, b"\0"))),
    "many-voids.mkv": listed(0x1654AE6B, element(0xEC)),
    "large-private.mkv": large(0x63A2, b"A_AAC"),
    "claims-private.mkv": large(0x63A2, b"A_AAC", claim=1 << 28),
    "claims-name.mkv": large(0x536E, b"A_OPUS", claim=1 << 28),
    "large-block.mkv": lambda size: segment(
        TRACKS, element(0x1F43B675, element(0xE7, b"\0"), element(0xA3, b"\x81\0\0\x80", b"\xf8" * (size - 1_000)))
    ),
    "nested-tags.mkv": nested,
}
