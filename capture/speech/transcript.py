"""What was said and when, as text and as subtitles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Segment", "as_srt", "as_text", "text_beside"]

#: A longer silence starts a new paragraph.
_PARAGRAPH_S: Final = 2.0

_LONGEST_TEXT_BYTES: Final = 5_000_000


class Segment(NamedTuple):
    """A sentence or a part of one, from `start_s` to `end_s` in the recording."""

    start_s: float
    end_s: float
    text: str


def as_text(segments: Sequence[Segment]) -> str:
    """Return the words, a line for each segment and an empty one after two seconds without speech."""
    lines: list[str] = []
    end_s = 0.0
    for segment in segments:
        if lines and segment.start_s - end_s >= _PARAGRAPH_S:
            lines.append("")
        lines.append(segment.text)
        end_s = segment.end_s
    return "".join(f"{line}\n" for line in lines)


def as_srt(segments: Sequence[Segment]) -> str:
    """Return the words as SubRip subtitles."""
    return "\n".join(
        f"{number}\n{_clock(segment.start_s)} --> {_clock(segment.end_s)}\n{segment.text}\n"
        for number, segment in enumerate(segments, 1)
    )


def text_beside(recording: Path) -> str:
    """Return the text of the file beside a recording that `transcribe` wrote; "" if there is none that can be read."""
    from capture.system.private_files import read_small

    try:
        return read_small(recording.with_suffix(".txt"), _LONGEST_TEXT_BYTES).decode(errors="replace")
    except OSError:
        return ""


def _clock(seconds: float) -> str:
    minutes, thousandths = divmod(round(max(0.0, seconds) * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{thousandths // 1000:02d},{thousandths % 1000:03d}"
