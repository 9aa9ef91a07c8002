"""Gives a finished MP4 or M4A the brands of an ordinary one.

The brands in its first box (`ftyp`) name the version of the standard that a reader has to know (ISO/IEC 14496-12,
annex E). Fragments whose offsets count from the fragment need the fifth, fragments with a start time the sixth; once
the file is closed, the first two suffice, which every reader knows.
"""

from __future__ import annotations

from typing import Final

from capture.output.output_file import OutputFile

__all__ = ["restore_brands"]

#: The longest `ftyp` that we expect.
_HEAD_BYTES: Final = 64

_ORDINARY: Final = {b"iso5": b"isom", b"iso6": b"iso2"}


def restore_brands(file: OutputFile) -> None:
    """Replace the brands in the closed MP4, MOV or M4A `file`, in place. Raises `OSError`."""
    head = file.read_start(_HEAD_BYTES)
    size = int.from_bytes(head[:4], "big")
    if head[4:8] != b"ftyp" or not 16 <= size <= len(head):
        return
    brands = [head[place : place + 4] for place in range(8, size, 4)]
    # The second is the version of the first.
    fresh = [brand if number == 1 else _ORDINARY.get(brand, brand) for number, brand in enumerate(brands)]
    if fresh != brands:
        file.overwrite_start(head[:8] + b"".join(fresh))
