"""Hostile Ogg, WAV, FLAC and MP3 files: pages, chunks, blocks, frames, and tags."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Final

__all__ = ["FILES", "flac", "ogg_page", "wav"]

_OPUS_HEAD: Final = struct.pack("<8sBBHIHB", b"OpusHead", 1, 2, 312, 48_000, 0, 0)
_OPUS_TAGS: Final = b"OpusTags" + struct.pack("<I4sI", 4, b"made", 0)


_REVERSED: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _crc(content: bytes) -> int:
    """Return the checksum of Ogg: that of zlib, but for the order of bits, the start and the end."""
    mirrored = zlib.crc32(content.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def ogg_page(lengths: bytes, body: bytes, *, flags: int = 0, stream: int = 1, number: int = 0, at: int = 0) -> bytes:
    """Return an Ogg page with its checksum."""
    start = struct.pack("<4sBBqII", b"OggS", 0, flags, at, stream, number)
    rest = bytes([len(lengths)]) + lengths + body
    return start + struct.pack("<I", _crc(start + bytes(4) + rest)) + rest


def _ogg_start(tags: bytes = _OPUS_TAGS, stream: int = 1) -> bytes:
    """Return the two headers of a stream; long tags go on over many pages."""
    pages = [ogg_page(bytes([len(_OPUS_HEAD)]), _OPUS_HEAD, flags=2, stream=stream)]
    full = 255 * 255
    for place in range(0, len(tags) + 1, full):
        piece = tags[place : place + full]
        last = len(piece) < full
        lengths = b"\xff" * (len(piece) // 255) + (bytes([len(piece) % 255]) if last else b"")
        pages.append(ogg_page(lengths, piece, flags=1 if place else 0, stream=stream, number=1))
    return b"".join(pages)


def ogg_pages(lengths: bytes, body: bytes, *, at: int = 960) -> Callable[[int], bytes]:
    """Return a builder of a file of the same page again and again."""
    page = ogg_page(lengths, body, number=2, at=at)
    return lambda size: _ogg_start() + page * ((size - 200) // len(page))


def ogg_at_the_limit(size: int) -> bytes:
    """Return a file that was never closed, with as many packets as are allowed."""
    packet = b"\xfc".ljust(48, b"\xff")
    count = min(3_600, size // 255 // (len(packet) + 1))
    lengths, body = bytes([len(packet)]) * 255, packet * 255
    pages = [ogg_page(lengths, body, number=2 + place, at=(place + 1) * 255 * 960) for place in range(count)]
    return _ogg_start() + b"".join(pages)


def ogg_streams(size: int) -> bytes:
    pages = [_ogg_start(stream=number) for number in range(min(5_000, size // 100))]
    return b"".join(pages) * (size // sum(map(len, pages)))


def ogg_tags(comment: bytes) -> Callable[[int], bytes]:
    """Return a builder of a file that is one header of comments."""

    def build(size: int) -> bytes:
        each = struct.pack("<I", len(comment)) + comment
        count = (size - size // 200 - 1_000) // len(each)
        return _ogg_start(b"OpusTags" + struct.pack("<I4sI", 4, b"made", count) + each * count)

    return build


def ogg_picture(size: int) -> bytes:
    return ogg_tags(b"METADATA_BLOCK_PICTURE=" + b"A" * (size * 98 // 100 - 1_000))(size)


def wav(*chunks: tuple[bytes, bytes] | tuple[bytes, bytes, int], rate: int = 48_000, align: int = 4) -> bytes:
    """Return a WAV file of these chunks; a third value states another size than the true one."""
    shape = (b"fmt ", struct.pack("<HHIIHH", 1, 2, rate, rate * align, align, 16))
    body = b"WAVE"
    for kind, content, *stated in (shape, *chunks) if chunks[0][0] != b"fmt " else chunks:
        body += struct.pack("<4sI", kind, stated[0] if stated else len(content)) + content + b"\0" * (len(content) % 2)
    return struct.pack("<4sI", b"RIFF", len(body)) + body


def wav_format(size: int) -> bytes:
    """Return a WAV whose format, by one wrong byte, takes 1 GB."""
    shape = struct.pack("<HHIIHHH", 1, 2, 48_000, 192_000, 4, 16, 0)
    return wav((b"fmt ", shape, 0x40000012), (b"data", bytes(size - 100)))


def wav_long_format(size: int) -> bytes:
    shape = struct.pack("<HHIIHHH", 1, 2, 48_000, 192_000, 4, 16, 0xFFFF)
    return wav((b"fmt ", shape + bytes(size // 2)), (b"data", bytes(size // 2 - 100)))


def wav_list(size: int) -> bytes:
    listed = b"INFO" + b"".join(struct.pack("<4sI", b"%04d" % (number % 9999), 2) + b"a\0" for number in range(1_000))
    return wav((b"LIST", listed[:4] + listed[4:] * ((size - 100) // len(listed))), (b"data", bytes(64)))


def wav_slow(size: int) -> bytes:
    """Return a WAV with one sample of one byte a second: each is a packet of its own."""
    shape = struct.pack("<HHIIHH", 1, 1, 1, 1, 1, 8)
    return wav((b"fmt ", shape), (b"data", bytes(size - 100)))


def wav_at_the_limit(size: int) -> bytes:
    """Return a WAV that was never closed, with as many packets as are allowed."""
    shape = struct.pack("<HHIIHH", 1, 1, 1, 1, 1, 8)
    return wav((b"fmt ", shape), (b"data", bytes(min(size, 918_000)), 0xFFFFFFFF))


def wav_chunks(size: int) -> bytes:
    return wav((b"data", b"")) + struct.pack("<4sI", b"junk", 0) * ((size - 100) // 8)


def _chunks_before_sound(size: int) -> bytes:
    start = wav((b"fmt ", struct.pack("<HHIIHH", 1, 2, 48_000, 192_000, 4, 16)))
    return start + struct.pack("<4sI", b"junk", 0) * ((size - 100) // 8) + struct.pack("<4sI", b"data", 4) + bytes(4)


def flac(
    *blocks: tuple[int, bytes], frames: bytes = b"", samples: int = 48_000, shortest: int = 4_608, channels: int = 2
) -> bytes:
    """Return a FLAC file with these blocks of metadata, each a type and a content."""
    info = struct.pack(">HH6x", shortest, max(shortest, 4_608)) + (
        48_000 << 44 | (channels - 1) << 41 | 15 << 36 | samples
    ).to_bytes(8, "big")
    listed = [(0, info + bytes(16)), *blocks]
    made = b"fLaC"
    for place, (kind, content) in enumerate(listed):
        made += bytes([kind | (0x80 if place == len(listed) - 1 else 0)]) + len(content).to_bytes(3, "big") + content
    return made + frames


def flac_blocks(kind: int, content: Callable[[int], bytes], each: int = 16_000_000) -> Callable[[int], bytes]:
    """Return a builder of a file full of blocks of metadata of `each` bytes."""

    def build(size: int) -> bytes:
        block = content(min(each, size))
        head = flac(*([(kind, block)] if size < 2 * each else []))
        if size < 2 * each:
            return head
        made = bytes([kind]) + len(block).to_bytes(3, "big") + block
        # More blocks follow the first: it is not marked as the last.
        head = flac()[:4] + b"\0" + flac()[5:]
        return head + made * ((size - 100) // len(made)) + b"\x81\0\0\0"

    return build


def _comments(size: int) -> bytes:
    count = (size - 12) // 7
    return struct.pack("<I4sI", 4, b"made", count) + (struct.pack("<I", 3) + b"a=b") * count


def _different_comments(size: int) -> bytes:
    count = (size - 12) // 13
    made = b"".join(struct.pack("<I", 9) + b"%07x=b" % number for number in range(count))
    return struct.pack("<I4sI", 4, b"made", count) + made


def _seek_points(size: int) -> bytes:
    count = size // 18
    return b"".join(struct.pack(">QQH", count - number, 0, 1) for number in range(count))


def _picture(size: int) -> bytes:
    return struct.pack(">II9sI16xI", 3, 9, b"image/png", 0, max(1, size - 41)) + b"\x89PNG\r\n\x1a\n".ljust(
        size - 41, b"x"
    )


def _crc8(content: bytes) -> int:
    value = 0
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value << 1 ^ (7 if value & 0x80 else 0)) & 0xFF
    return value


def _crc16(content: bytes) -> int:
    value = 0
    for byte in content:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (0x8005 if value & 0x8000 else 0)) & 0xFFFF
    return value


def flac_frame(block: int, number: int = 0, channels: int = 2) -> bytes:
    """Return a FLAC frame of silence of `block` samples."""
    header = (
        bytes([0xFF, 0xF8, 0x7A, (channels - 1) << 4 | 0x08]) + chr(number).encode() + (block - 1).to_bytes(2, "big")
    )
    header += bytes([_crc8(header)])
    body = header + bytes(3) * channels
    return body + struct.pack(">H", _crc16(body))


def flac_frames(block: int, channels: int = 2) -> Callable[[int], bytes]:
    """Return a builder of silence in frames of `block` samples."""
    frames = b"".join(flac_frame(block, number, channels) for number in range(128))
    return lambda size: flac(
        frames=frames * (size // len(frames)), shortest=block, samples=1_000_000, channels=channels
    )


def flac_at_the_limit(size: int) -> bytes:
    """Return a FLAC that was never closed, with as many samples as are allowed."""
    frames = [flac_frame(65_535, place, 8) for place in range(min(5_700, size // 40))]
    return flac(frames=b"".join(frames), samples=0, shortest=65_535, channels=8)


def flac_headers(size: int) -> bytes:
    """Return frame headers without frames."""
    headers = b"".join(flac_frame(4_608, number)[:8] for number in range(128))
    return flac(frames=headers * (size // len(headers)))


_MP3_FRAME: Final = bytes.fromhex("fff314c4") + bytes(20)


def mp3_at_the_limit(size: int) -> bytes:
    """Return an MP3 that was never closed, with as many packets as are allowed."""
    table = (_MP3_FRAME[:4] + bytes(9) + b"Info" + struct.pack(">III", 3, 0, 0)).ljust(48, b"\0")
    return table + _MP3_FRAME * min(918_000, size // len(_MP3_FRAME))


def _sevens(number: int) -> bytes:
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3(*frames: bytes, size: int | None = None, version: int = 4, flags: int = 0) -> bytes:
    """Return an ID3 tag of these frames; `size` states another size than the true one."""
    body = b"".join(frames)
    return b"ID3" + bytes([version, 0, flags]) + _sevens(len(body) if size is None else size) + body


def id3_frame(kind: bytes, body: bytes, flags: int = 0) -> bytes:
    return kind + _sevens(len(body)) + struct.pack(">H", flags) + body


def tagged(frame: bytes) -> Callable[[int], bytes]:
    """Return a builder of an MP3 that is one tag of the same frame again and again."""
    return lambda size: id3(frame * ((size - 30_000) // len(frame))) + _MP3_FRAME * 1_000


def _texts(size: int) -> bytes:
    frames = b"".join(id3_frame(b"TXXX", b"\0%06x\0b" % number) for number in range((size - 30_000) // 19))
    return id3(frames) + _MP3_FRAME * 1_000


FILES: Final[dict[str, Callable[[int], bytes]]] = {
    "packets-at-the-limit.ogg": ogg_at_the_limit,
    "empty-packets.ogg": ogg_pages(bytes(255), b""),
    "packets-of-one-byte.opus": ogg_pages(b"\1" * 255, b"\xf8" * 255),
    "empty-pages.ogg": ogg_pages(b"", b""),
    "pages-without-time.ogg": ogg_pages(b"\1", b"\xf8", at=-1),
    "packet-without-end.ogg": ogg_pages(b"\xff" * 255, b"\xf8" * 255 * 255, at=-1),
    "many-streams.ogg": ogg_streams,
    "many-comments.opus": ogg_tags(b"a=b"),
    "large-comment.ogg": lambda size: ogg_tags(b"TITLE=" + b"x" * (size * 98 // 100 - 1_000))(size),
    "large-picture.opus": ogg_picture,
    "packets-at-the-limit.wav": wav_at_the_limit,
    "claims-format.wav": wav_format,
    "long-format.wav": wav_long_format,
    "many-tags.wav": wav_list,
    "claims-list.wav": lambda size: wav((b"LIST", b"INFOIART", 0x7FFFFFFF), (b"data", bytes(size - 100))),
    "claims-tag.wav": lambda size: wav(
        (b"LIST", b"INFOIART" + struct.pack("<I", 0x7FFFFFF0), size - 100), (b"data", bytes(size - 100))
    ),
    "one-sample-a-second.wav": wav_slow,
    "many-chunks.wav": _chunks_before_sound,
    "many-chunks-behind.wav": wav_chunks,
    "samples-at-the-limit.flac": flac_at_the_limit,
    "many-comments.flac": flac_blocks(4, _comments),
    "different-comments.flac": flac_blocks(4, _different_comments),
    "many-seek-points.flac": flac_blocks(3, _seek_points),
    "large-pictures.flac": flac_blocks(6, _picture),
    "many-pictures.flac": flac_blocks(6, _picture, each=60),
    "many-blocks.flac": flac_blocks(1, bytes, each=4),
    "tiny-frames.flac": flac_frames(16),
    "days-of-silence.flac": flac_frames(65_535, 8),
    "only-headers.flac": flac_headers,
    "no-frames.flac": lambda size: flac(frames=bytes(size - 100)),
    "no-frames-no-length.flac": lambda size: flac(frames=bytes(64), samples=1),
    "frames-at-the-limit.mp3": mp3_at_the_limit,
    "tiny-frames.mp3": lambda size: _MP3_FRAME * (size // len(_MP3_FRAME)),
    "only-a-tag.mp3": lambda size: id3(bytes(size - 100)),
    "claims-tag.mp3": lambda size: id3(size=(1 << 28) - 1) + bytes(size - 100),
    "large-cover.mp3": lambda size: tagged(id3_frame(b"APIC", b"\0image/png\0\3\0" + b"x" * (size - 40_000)))(size),
    "many-covers.mp3": tagged(id3_frame(b"APIC", b"\0image/png\0\3\0\x89PNG\r\n\x1a\n")),
    "many-texts.mp3": _texts,
    "many-chapters.mp3": tagged(id3_frame(b"CHAP", b"a\0" + bytes(16))),
    "compressed-tag.mp3": lambda size: (
        id3(id3_frame(b"TXXX", struct.pack(">I", 0x0FFFFFF0) + b"x" * 64, 0x0009))
        + _MP3_FRAME * ((size - 200) // len(_MP3_FRAME))
    ),
    "noise.mp3": lambda size: _MP3_FRAME + b"\xff\xf3\x14\xc4\xff" * (size // 5),
}
