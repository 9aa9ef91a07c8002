"""Names the maker of a finished voice note as messengers do.

An Opus file names the program that wrote it in its second packet (`OpusTags`, RFC 7845, section 5.2); FFmpeg writes its
own name and version. The packet keeps its length: zeros may follow the comments.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from capture.media import is_voice_note
from capture.output.output_file import OutputFile

__all__ = ["name_vendor", "name_vendor_at"]

#: What the voice notes of the most common messenger state. Its phones are reported to refuse others.
_VENDOR: Final = b"WhatsApp"

#: The first page holds `OpusHead` alone, the second one `OpusTags`.
_HEAD_BYTES: Final = 8192

_PAGE: Final = b"OggS"
_PAGE_HEADER: Final = 27
_CRC: Final = slice(22, 26)
_TAGS: Final = b"OpusTags"

#: A comment that FFmpeg adds.
_OWN_COMMENT: Final = b"encoder="

_CRC_POLYNOMIAL: Final = 0x04C11DB7


def name_vendor(file: OutputFile) -> None:
    """Replace the vendor string of the Ogg `file`, in place, if it is a voice note. Raises `OSError`.

    One whose comments are not within one page stays as it is.
    """
    start = _with_vendor(file.read_start(_HEAD_BYTES))
    if start:
        file.overwrite_start(start)


def name_vendor_at(path: Path) -> None:
    """Do what `name_vendor` does for the finished file at `path`. Raises `OSError`."""
    with path.open("rb+") as file:
        start = _with_vendor(file.read(_HEAD_BYTES))
        if start:
            file.seek(0)
            file.write(start)


def _with_vendor(head: bytes) -> bytes:
    """Return the changed start of a file that begins with `head`; empty if nothing needs to change."""
    begin = _end_of_page(head, 0)
    end = _end_of_page(head, begin)
    if not 0 < begin < end <= len(head) or not is_voice_note(_packet_of(head[:begin])):
        return b""
    body = begin + _PAGE_HEADER + head[begin + _PAGE_HEADER - 1]
    tags = _renamed(head[body:end])
    if tags is None:
        return b""
    page = head[begin:body] + tags
    page = page[: _CRC.start] + bytes(4) + page[_CRC.stop :]
    page = page[: _CRC.start] + struct.pack("<I", _checksum(page)) + page[_CRC.stop :]
    return head[:begin] + page


def _end_of_page(data: bytes, begin: int) -> int:
    """Return where the page at `begin` ends; 0 if there is none."""
    table = begin + _PAGE_HEADER
    if data[begin : begin + len(_PAGE)] != _PAGE or len(data) < table:
        return 0
    lengths = data[table : table + data[table - 1]]
    return table + len(lengths) + sum(lengths)


def _packet_of(page: bytes) -> bytes:
    return page[_PAGE_HEADER + page[_PAGE_HEADER - 1] :]


def _renamed(tags: bytes) -> bytes | None:
    """Return the packet with another vendor, and without FFmpeg's own comment; None if that is not possible."""
    if not tags.startswith(_TAGS):
        return None
    fields = []
    at = len(_TAGS)
    try:
        (size,) = struct.unpack_from("<I", tags, at)
        at += 4 + size
        (count,) = struct.unpack_from("<I", tags, at)
        at += 4
        for _ in range(count):
            (size,) = struct.unpack_from("<I", tags, at)
            fields.append(tags[at + 4 : at + 4 + size])
            at += 4 + size
    except struct.error:
        return None
    kept = [field for field in fields if not field.lower().startswith(_OWN_COMMENT)]
    parts = [_VENDOR, *kept]
    packed = [struct.pack("<I", len(part)) + part for part in parts]
    made = _TAGS + packed[0] + struct.pack("<I", len(kept)) + b"".join(packed[1:])
    return made.ljust(len(tags), b"\0") if at <= len(tags) and len(made) <= len(tags) else None


def _checksum(page: bytes) -> int:
    """Return the checksum of a page whose own field is zero (RFC 3533, section 6)."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ _CRC_POLYNOMIAL if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc
