"""The tags of a file, which other programs show: those of the whole and a name for each track."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["NO_TAGS", "Tags"]


class Tags(NamedTuple):
    #: FFmpeg's names and their values.
    of_file: Mapping[str, str] = {}
    #: A name for each track, in their order; "" and those that are missing stay without. Formats for sound alone have
    #: none.
    of_tracks: tuple[str, ...] = ()


NO_TAGS: Final = Tags()
