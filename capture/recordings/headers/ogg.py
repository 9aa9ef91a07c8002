"""Ogg: pages of several streams. The comments are the second packet of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from capture.recordings.headers.bounds import LARGEST_PICTURES_BYTES, MOST_TRACKS, Tally
from capture.recordings.headers.file import File
from capture.recordings.headers.tags import COMMENTS_START_BYTES, hold_comments

__all__ = ["FIRST_PAGE", "MARK", "Page", "pages", "walk"]

#: How a page starts.
MARK: Final = b"OggS"

FIRST_PAGE: Final = 0x02
_CONTINUED: Final = 0x01
_PAGE_HEADER_BYTES: Final = 27
_LONGEST: Final = 255

#: How much of a damaged file to read at a time while looking for the next intact page.
_CHUNK_BYTES: Final = 65_536

#: How the comments of each codec begin.
_COMMENTS: Final = (b"OpusTags", b"\x03vorbis", b"\x81theora")
_START_BYTES: Final = COMMENTS_START_BYTES + max(map(len, _COMMENTS))


class Page(NamedTuple):
    position: int
    flags: int
    stream: bytes
    number: int
    #: Those of its pieces of packets; a piece of 255 bytes goes on in the next.
    lengths: bytes
    body: int
    #: Where it says that it ends, which may be beyond the file.
    end: int


def pages(file: File) -> Iterator[Page]:
    """Yield the pages in order, but for those whose header is cut off; what is no page is skipped."""
    position = 0
    while position < file.size:
        header = file.at(position, _PAGE_HEADER_BYTES + _LONGEST)
        body = position + _PAGE_HEADER_BYTES + (header[26] if len(header) >= _PAGE_HEADER_BYTES else 0)
        if header.startswith(MARK) and _PAGE_HEADER_BYTES <= body - position <= len(header):
            lengths = header[_PAGE_HEADER_BYTES : body - position]
            number = int.from_bytes(header[18:22], "little")
            page = Page(position, header[5], header[14:18], number, lengths, body, body + sum(lengths))
            yield page
            position = page.end
        else:
            position = _next_page(file, position)


def walk(file: File) -> None:
    """Raises `ExcessError`."""
    tally = Tally()
    # For each stream whose comments have not ended, how many bytes they have, and how they start.
    comments: dict[bytes, tuple[int, bytes]] = {}
    for _, flags, stream, _, lengths, body, _ in pages(file):
        if flags & FIRST_PAGE:
            tally.add("tracks", 1, MOST_TRACKS)
            comments[stream] = 0, b""
        elif stream in comments:
            size, start = comments.pop(stream)
            if not flags & _CONTINUED:
                size, start = 0, b""
            piece = _up_to_a_packets_end(lengths)
            size += piece
            start += file.at(body, min(piece, _START_BYTES - len(start)))
            tally.hold("comments", size, LARGEST_PICTURES_BYTES)
            if lengths and max(lengths) == min(lengths) == _LONGEST:
                comments[stream] = size, start
            else:
                _hold(tally, start)
    for _, start in comments.values():
        _hold(tally, start)


def _up_to_a_packets_end(lengths: bytes) -> int:
    size = 0
    for each in lengths:
        size += each
        if each < _LONGEST:
            break
    return size


def _hold(tally: Tally, start: bytes) -> None:
    for mark in _COMMENTS:
        if start.startswith(mark):
            hold_comments(tally, start[len(mark) :][:COMMENTS_START_BYTES])


def _next_page(file: File, position: int) -> int:
    """Return where the next page after `position` starts, or the end of the file."""
    position += 1
    while position < file.size:
        found = file.at(position, _CHUNK_BYTES).find(MARK)
        if found >= 0:
            return position + found
        position += _CHUNK_BYTES - 3
    return file.size
