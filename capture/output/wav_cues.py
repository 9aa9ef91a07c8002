"""Gives a finished WAV its chapters: cue points with labels (`cue `, and `labl` in a list `adtl`) behind the samples.

That is how audio editors store markers, and FFmpeg reads them as chapters; it writes none. The chunks come first, and
then the size of the file that includes them: until then, and after a crash in between, readers end before them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, Final

from capture.output.chapters import BEGINNING, Chapter
from capture.output.output_file import OutputFile
from capture.output.wav_header import HEADER_BYTES, places_of

__all__ = ["add_cues", "add_cues_at"]

#: Places are counted in 32 bits: a day at 48 kHz.
_MOST: Final = 0xFFFFFFFF

#: The size of an RF64 is in a chunk of its own.
_LONG_SIZES: Final = b"ds64"


def add_cues(file: OutputFile, chapters: Sequence[Chapter]) -> None:
    """Add the chapters to a WAV that FFmpeg has finished. A file that cannot hold them stays as it is.

    Raises `OSError` only for the size in its header.
    """
    head = file.read_start(HEADER_BYTES)
    added = _chunks(head, file.size_bytes, chapters)
    if not added:
        return
    try:
        file.replace_end(file.size_bytes, added)
    except OSError:
        # The disk is full.
        return
    _state_size(file, head, file.size_bytes)


def add_cues_at(path: Path, chapters: Sequence[Chapter]) -> None:
    """Do what `add_cues` does for the finished file at `path`. Raises `OSError`."""
    with path.open("rb+") as file:
        head = file.read(HEADER_BYTES)
        added = _chunks(head, file.seek(0, os.SEEK_END), chapters)
        if added:
            file.write(added)
            _state_size(file, head, file.tell())


def _chunks(head: bytes, size_bytes: int, chapters: Sequence[Chapter]) -> bytes:
    """Return what follows a file of this size, whose start is `head`; b"" for a file that is no WAV."""
    places = places_of(head)
    if b"fmt " not in places:
        return b""
    (rate,) = struct.unpack_from("<I", head, places[b"fmt "] + 12)
    # A marker is where the user made a mark; the start of the file needs none.
    wanted = chapters[1:] if chapters and chapters[0].title == BEGINNING and not chapters[0].start_s else chapters
    marks = [(round(each.start_s * rate), each.title) for each in wanted if round(each.start_s * rate) <= _MOST]
    if not marks:
        return b""
    cues = [struct.pack("<II4sIII", n, at, b"data", 0, 0, at) for n, (at, _) in enumerate(marks, 1)]
    labels = [
        _chunk(b"labl", struct.pack("<I", n) + title.encode(errors="replace") + b"\0")
        for n, (_, title) in enumerate(marks, 1)
    ]
    points = _chunk(b"cue ", struct.pack("<I", len(cues)) + b"".join(cues))
    return bytes(size_bytes % 2) + points + _chunk(b"LIST", b"adtl" + b"".join(labels))


def _chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk; it takes an even number of bytes."""
    return struct.pack("<4sI", kind, len(body)) + body + bytes(len(body) % 2)


def _state_size(file: OutputFile | BinaryIO, head: bytes, size_bytes: int) -> None:
    """Write the size of the whole file into its header."""
    long_sizes = places_of(head).get(_LONG_SIZES)
    if long_sizes is not None:
        place, size = long_sizes + 8, struct.pack("<Q", size_bytes - 8)
    elif size_bytes - 8 <= _MOST:
        place, size = 4, struct.pack("<I", size_bytes - 8)
    else:
        # Just below the limit of a plain WAV, the chunks go beyond it. Readers end where the samples do.
        return
    file.seek(place)
    file.write(size)
