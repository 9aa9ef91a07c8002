"""Reads what is in a GIF or a WebP file. FFmpeg cannot read animated WebP."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from capture.errors import RecordingError
from capture.recordings.check import CheckReport, StreamReport
from capture.recordings.headers.animation import HEAD_BYTES, animation_head
from capture.recordings.headers.bounds import TRUST
from capture.recordings.structure import Ending

__all__ = ["check_animation", "report_animation"]

#: The blocks of a GIF (GIF89a, sections 20 to 27), and the label of the extension with the duration of a frame.
_GIF_EXTENSION: Final = 0x21
_GIF_FRAME: Final = 0x2C
_GIF_END: Final = 0x3B
_GIF_CONTROL: Final = 0xF9

#: An animation is read as a whole. A clip of a minute in full motion has some 50 MB.
_MOST_BYTES: Final = 500_000_000


def check_animation(path: Path, *, limits: bool = True) -> CheckReport | None:
    """Check the GIF or WebP at `path` as `check` does recordings; None if it is neither, or cannot be read.

    With `limits`, a file beyond `_MOST_BYTES` is not read.
    """
    path = path.absolute()
    try:
        with path.open("rb") as file:
            if animation_head(file.read(HEAD_BYTES)) is None:
                return None
        if limits and path.stat().st_size > _MOST_BYTES:
            excess = f"the animation is larger than {_MOST_BYTES / 1e6:.0f} MB: {TRUST}"
            return CheckReport(path, (excess,), (), Ending.DAMAGED, plays=False, beyond_limits=True)
        found = report_animation(path)
    except OSError:
        return None
    except RecordingError:
        return CheckReport(path, ("the animation is damaged",), (), Ending.DAMAGED, plays=False)
    return CheckReport(path, (), (found,), Ending.WHOLE, plays=True)


def report_animation(path: Path) -> StreamReport:
    """Return what is in the GIF or WebP at `path`; a still picture has no duration.

    Raises `RecordingError` when it is incomplete or has no picture, `OSError` when it cannot be read.
    """
    data = path.read_bytes()
    try:
        width, height, durations_s = _webp(data) if data.startswith(b"RIFF") else _gif(data)
    except (IndexError, struct.error, ValueError) as error:
        raise RecordingError(f"{path} is damaged", "make it again") from error
    return StreamReport(
        "video",
        "webp" if data.startswith(b"RIFF") else "gif",
        0.0,
        sum(durations_s),
        None,
        width,
        height,
        len(durations_s),
    )


def _gif(data: bytes) -> tuple[int, int, list[float]]:
    """Return the width, the height and the duration of each frame. Raises `ValueError` or `IndexError` if damaged."""
    if not data.startswith(b"GIF89a"):
        raise ValueError("not a GIF")
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _table_bytes(flags)
    durations_s: list[float] = []
    duration_s = 0.0
    while data[at] != _GIF_END:
        if data[at] == _GIF_EXTENSION:
            if data[at + 1] == _GIF_CONTROL:
                duration_s = struct.unpack_from("<H", data, at + 4)[0] / 100
            at = _after_parts(data, at + 2)
        elif data[at] == _GIF_FRAME:
            durations_s.append(duration_s)
            # A byte before the parts says how they are packed.
            at = _after_parts(data, at + 11 + _table_bytes(data[at + 9]))
        else:
            raise ValueError("an unknown block")
    if not durations_s or at + 1 != len(data):
        raise ValueError("no picture, or no end")
    return width, height, durations_s


def _table_bytes(flags: int) -> int:
    """Return the size of the colour table that these flags announce."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _after_parts(data: bytes, at: int) -> int:
    """Return the place after the parts that begin at `at`, each with its length before it, and an empty last one."""
    while data[at]:
        at += 1 + data[at]
    return at + 1


def _webp(data: bytes) -> tuple[int, int, list[float]]:
    """Return the width, the height and the duration of each frame. Raises `ValueError` or `struct.error` if damaged.

    libwebp writes a still picture when all frames are the same.
    """
    if int.from_bytes(data[4:8], "little") + 8 != len(data):
        raise ValueError("incomplete")
    size: tuple[int, int] | None = None
    durations_s: list[float] = []
    for kind, content in _chunks(data):
        if kind == b"VP8X":
            size = int.from_bytes(content[4:7], "little") + 1, int.from_bytes(content[7:10], "little") + 1
        elif kind == b"ANMF":
            durations_s.append(int.from_bytes(content[12:15], "little") / 1000)
        elif kind == b"VP8 ":
            width, height = struct.unpack_from("<HH", content, 6)
            size, durations_s = size or (width & 0x3FFF, height & 0x3FFF), [0.0]
        elif kind == b"VP8L":
            (bits,) = struct.unpack_from("<I", content, 1)
            size, durations_s = size or ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1), [0.0]
    if size is None or not durations_s:
        raise ValueError("no picture")
    return *size, durations_s


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 12
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        yield kind, data[position + 8 : position + 8 + size]
        # Chunks begin at even places.
        position += 8 + size + size % 2
