"""Walks the headers of a recording before FFmpeg opens it, and holds their sizes and counts against bounds.

FFmpeg believes headers: one wrong byte can make it reserve gigabytes, or read for minutes. `excess_in` finds such a
header in any container that capture reads. Each walk reads headers only, a few bytes each, and skips what is between.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from capture.recordings.headers import flac, matroska, mp3, mp4, ogg, wav
from capture.recordings.headers.bounds import TRUST, ExcessError
from capture.recordings.headers.file import File, Form, TooManyReadsError, form_of

__all__ = ["excess_in"]

_WALKS: Final[dict[Form, Callable[[File], None]]] = {
    Form.MP4: mp4.walk,
    Form.MATROSKA: matroska.walk,
    Form.OGG: ogg.walk,
    Form.WAV: wav.walk,
    Form.FLAC: flac.walk,
    Form.MP3: mp3.walk,
}


def excess_in(path: Path) -> str:
    """Return what a header of the file at `path` claims beyond all bounds, as a sentence; "" for nothing.

    Raises `OSError`.
    """
    with path.open("rb") as opened:
        file = File(opened)
        form = form_of(file.at(0, 12))
        if form is None:
            return ""
        try:
            _WALKS[form](file)
        except ExcessError as error:
            return str(error)
        except TooManyReadsError:
            return f"it has more than {file.most_reads:,} headers: {TRUST}"
    return ""
