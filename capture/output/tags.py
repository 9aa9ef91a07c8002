"""The tags of a file, which other programs show: those of the whole and a name for each track."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["NO_TAGS", "Tags", "lasting"]

#: Metadata that describes one particular file, in lower case; every muxer writes its own.
_OF_ONE_FILE: Final = frozenset(
    {"compatible_brands", "duration", "encoder", "major_brand", "minor_version", "vendor_id"}
)


class Tags(NamedTuple):
    """The tags of a new file."""

    #: FFmpeg's names and their values.
    of_file: Mapping[str, str] = {}
    #: A name for each track, in their order; "" and those that are missing stay without. Formats for sound alone have
    #: none.
    of_tracks: tuple[str, ...] = ()


NO_TAGS: Final = Tags()


def lasting(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata of a file or a track that holds for a copy, too."""
    return {name: value for name, value in metadata.items() if name.lower() not in _OF_ONE_FILE}
