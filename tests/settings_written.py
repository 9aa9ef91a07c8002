"""A settings file as a user may have written it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["WRITTEN", "write"]

WRITTEN = """\
# My settings.

[record]   # pictures
  fps = 25     # enough
  audio = [
    "internal",  # what plays
    "mic",
  ]  # both

# Keys

[hotkeys]
record = '<f9>' # nearer
mark = ""

[replay]
last = "2m"
"""


def write(file: Path, text: str | bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file
