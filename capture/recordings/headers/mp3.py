"""MP3: tags before and behind the sound."""

from __future__ import annotations

from typing import Final

from capture.recordings.headers import flac
from capture.recordings.headers.bounds import Tally
from capture.recordings.headers.file import File
from capture.recordings.headers.tags import hold_ape, hold_id3

__all__ = ["walk"]

_MARK: Final = b"fLaC"


def walk(file: File) -> None:
    """Raises `ExcessError`."""
    tally = Tally()
    position = 0
    while (end := hold_id3(tally, file, position)) > position:
        position = end
    hold_ape(tally, file)
    if file.at(position, 4) == _MARK:
        # Some programs tag FLAC this way.
        flac.walk(file, position)
