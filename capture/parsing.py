"""Text to values: times, sizes, levels, regions and tracks, as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Final

from capture.errors import UsageError
from capture.media import Rectangle
from capture.settings import APPLICATION, MAX_FPS, MAX_PICTURE_SIDE, MAX_TIME_S, AudioTrack

__all__ = ["parse_audio", "parse_fps", "parse_geometry", "parse_level", "parse_region", "parse_size", "parse_time"]

_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


_NUMBER: Final = r"(?:[0-9]{1,12}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})"


_WITH_UNITS: Final = re.compile(rf"(?:({_NUMBER})h)?(?:({_NUMBER})m)?(?:({_NUMBER})s)?(?:({_NUMBER})ms)?", re.ASCII)


_PLAIN: Final = re.compile(_NUMBER, re.ASCII)


_CLOCK: Final = re.compile(r"(?:([0-9]{1,6}):)?([0-9]{1,6}):([0-9]{1,2}(?:\.[0-9]{0,9})?)", re.ASCII)


def parse_time(text: str, *, zero_allowed: bool = False) -> float:
    """Seconds from `90`, `90s`, `1m30s`, `1:30` or `1:02:03`; also `500ms` and decimals."""
    seconds = _seconds(text.strip())
    if seconds is None:
        raise UsageError(f"{text!r} is not a time", "write it like 90, 90s, 1m30s or 1:30")
    if seconds == 0.0 and not zero_allowed:
        raise UsageError(f"{text!r} is no time at all", "give more than zero seconds")
    if seconds > MAX_TIME_S:
        raise UsageError(f"{text!r} is longer than a thousand hours", "give a shorter time")
    return seconds


def _seconds(text: str) -> float | None:
    if _PLAIN.fullmatch(text):
        return float(text)
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, seconds = (float(part or 0) for part in clock.groups())
        return hours * 3600 + minutes * 60 + seconds if seconds < 60 else None
    with_units = _WITH_UNITS.fullmatch(text)
    if not text or not with_units:
        return None
    return sum(float(n or 0) * unit_s for n, unit_s in zip(with_units.groups(), _UNITS_S.values(), strict=True))


_LEVEL: Final = re.compile(r"(-?[0-9]{1,3}(?:\.[0-9]{0,9})?)\s?(?:db|dbfs)?", re.ASCII | re.IGNORECASE)


def parse_level(text: str) -> float:
    """Decibels below full scale from `-50dB`, `-50 dBFS` or `-50`."""
    match = _LEVEL.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a level", "write it like -50dB")
    return float(match[1])


_SIZE: Final = re.compile(rf"({_NUMBER})\s?(|k|m|g|t)(|i?b)", re.ASCII | re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes from `500KB`, `16MB`, `2GB` (thousands, as sharing limits count), `16MiB` (1024s) or a bare number."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3].lower() == "ib" and not match[2]):
        raise UsageError(f"{text!r} is not a size", "write it like 500KB, 16MB or 2GB")
    base = 1024 if match[3].lower() == "ib" else 1000
    size_bytes: int = math.floor(float(match[1]) * base ** " kmgt".index(match[2].lower() or " "))
    if size_bytes == 0:
        raise UsageError(f"{text!r} leaves no room for anything", "give more than zero bytes")
    return size_bytes


_OFFSET: Final = r"(\+-?[0-9]{1,6}|-[0-9]{1,6})"


_REGION: Final = re.compile(rf"([0-9]{{1,6}})x([0-9]{{1,6}}){_OFFSET}{_OFFSET}", re.ASCII)


_GEOMETRY: Final = re.compile(r"([0-9]{1,6})x([0-9]{1,6})", re.ASCII)


def parse_region(text: str) -> Rectangle:
    """A rectangle from `WxH+X+Y`; X and Y may be negative: `640x480+-1280+0` or `640x480-1280+0`."""
    match = _REGION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a region", "write it like 1280x720+100+50")
    region = Rectangle(int(match[3].lstrip("+")), int(match[4].lstrip("+")), int(match[1]), int(match[2]))
    if region.width < 2 or region.height < 2:
        raise UsageError(f"the region {text!r} has no area to record", "make it at least 2x2")
    return region


def parse_geometry(text: str) -> tuple[int, int]:
    """Width and height, both even, from `WxH`."""
    match = _GEOMETRY.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a picture size", "write it like 1280x720")
    width, height = int(match[1]), int(match[2])
    if not (16 <= width <= MAX_PICTURE_SIDE and 16 <= height <= MAX_PICTURE_SIDE) or width % 2 or height % 2:
        raise UsageError(
            f"{text!r} cannot be encoded", f"use even numbers from 16 to {MAX_PICTURE_SIDE}, like 1280x720"
        )
    return width, height


def parse_fps(text: str) -> float:
    """Frames per second, above 0 and at most `MAX_FPS`."""
    fps = float(text) if _PLAIN.fullmatch(text.strip()) else 0.0
    if not 0.1 <= fps <= MAX_FPS:
        raise UsageError(f"{text!r} frames per second cannot be recorded", f"give a number from 0.1 to {MAX_FPS}")
    return fps


def parse_audio(values: Sequence[str]) -> tuple[AudioTrack, ...]:
    """Tracks from the values of every `--audio`: one track each, `+` mixes within it, `none` alone means no sound."""
    if "none" in values:
        if len(values) > 1:
            raise UsageError("--audio none was given beside other sources", "give either none or sources")
        return ()
    tracks = tuple(AudioTrack(tuple(_sources(value))) for value in values)
    names = [track.name for track in tracks]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--audio {name} was given twice", "name each track once")
    return tracks


def _sources(value: str) -> Iterable[str]:
    parts = value.split("+")
    for part in parts:
        if not part or part != part.strip() or not part.isprintable():
            raise UsageError(f"--audio {value!r} names an empty source", "write it like internal, mic or internal+mic")
        if part.startswith(APPLICATION) and not part.removeprefix(APPLICATION).strip():
            raise UsageError(f"--audio {value!r} names no application", "write it like app:firefox; devices lists them")
        if part == "none":
            raise UsageError(f"--audio {value!r} mixes none with a source", "drop the none")
        if parts.count(part) > 1:
            raise UsageError(f"--audio {value!r} mixes {part} with itself", "name each source once")
    return parts
