"""Parses times, sizes, levels, regions and audio tracks as users write them.

For invalid text a parser raises `UsageError` with the text and the remedy, and never another exception. The bounds are
those of `capture.settings`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

from capture.errors import UsageError
from capture.media import Rectangle
from capture.settings.audio_tracks import AudioTrack, tracks_of
from capture.settings.bounds import Problem, problem_of, time_problem

__all__ = [
    "parse_audio",
    "parse_buffer_size",
    "parse_command",
    "parse_fps",
    "parse_geometry",
    "parse_level",
    "parse_loudness",
    "parse_moment",
    "parse_region",
    "parse_replay",
    "parse_scale",
    "parse_size",
    "parse_span",
    "parse_speed",
    "parse_time",
    "parse_tracks",
    "takes_path",
    "with_path",
]

#: What stands for the file in a command.
_PATH: Final = "{path}"

#: Beyond these, speech is no longer understood.
MIN_SPEED: Final = 0.5
MAX_SPEED: Final = 4.0

_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_NUMBER: Final = r"(?:[0-9]{1,12}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})"
_PLAIN: Final = re.compile(_NUMBER, re.ASCII)
_WITH_UNITS: Final = re.compile(rf"(?:({_NUMBER})h)?(?:({_NUMBER})m)?(?:({_NUMBER})s)?(?:({_NUMBER})ms)?", re.ASCII)
_CLOCK: Final = re.compile(r"(?:([0-9]{1,6}):)?([0-9]{1,6}):([0-9]{1,2}(?:\.[0-9]{0,9})?)", re.ASCII)
_LEVEL: Final = re.compile(r"(-?[0-9]{1,3}(?:\.[0-9]{0,9})?)\s?(?:db|dbfs)?", re.ASCII | re.IGNORECASE)
_LOUDNESS: Final = re.compile(r"(-[0-9]{1,3}(?:\.[0-9]{0,3})?)\s*(?:lufs)?", re.ASCII | re.IGNORECASE)
_SIZE: Final = re.compile(rf"({_NUMBER})\s?(|k|m|g|t)(|i?b)", re.ASCII | re.IGNORECASE)
_SPEED: Final = re.compile(rf"({_NUMBER})[x\u00d7]?", re.IGNORECASE)
_TRACKS: Final = re.compile(r"[0-9]{1,2}(?:[+,][0-9]{1,2})*", re.ASCII)
_OFFSET: Final = r"(\+-?[0-9]{1,6}|-[0-9]{1,6})"
_REGION: Final = re.compile(rf"([0-9]{{1,6}})x([0-9]{{1,6}}){_OFFSET}{_OFFSET}", re.ASCII)
_AGO: Final = re.compile(r"([0-9]{1,6})(min|h|d|w)", re.ASCII)
_UNITS_AGO: Final = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DATES: Final = {"%Y-%m-%d %H:%M": timedelta(minutes=1), "%Y-%m-%d": timedelta(days=1)}
_GEOMETRY: Final = re.compile(r"([0-9]{1,6})x([0-9]{1,6})", re.ASCII)


def parse_time(text: str, *, zero_allowed: bool = False) -> float:
    """Return seconds from `90`, `90s`, `1m30s`, `1:30` or `1:02:03`; also `500ms` and decimals."""
    seconds = _seconds(text.strip())
    if seconds is None:
        raise UsageError(f"{text!r} is not a time", "write it like 90, 90s, 1m30s or 1:30")
    _refuse(text, time_problem(seconds, zero_allowed=zero_allowed))
    return seconds


def parse_span(text: str) -> tuple[float, float]:
    """Return where a stretch begins and ends, in seconds, from two times as `parse_time` reads them: `1:30-2:00`."""
    begin, dash, end = text.partition("-")
    if not dash or "-" in end or not (begin.strip() and end.strip()):
        raise UsageError(f"{text!r} is not from one time to another", "write it like 1:30-2:00 or 90s-95.5s")
    return parse_time(begin, zero_allowed=True), parse_time(end)


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


def parse_moment(text: str, now: datetime) -> tuple[datetime, datetime]:
    """Return where the time that `text` names starts and ends, in local time; `now` is aware of its zone.

    `today`, `yesterday` and `2026-11-01` are days, `2026-11-01 14:30` and `14:30` minutes, `30min`, `2h`, `7d` and `2w`
    the moment that long ago.
    """
    words, here = " ".join(text.replace("T", " ").lower().split()), now.replace(tzinfo=None)
    today = here.replace(hour=0, minute=0, second=0, microsecond=0)
    start, lasts = None, timedelta(days=1)
    # OSError: Windows knows no time before 1970; ValueError: the zone of year 1 is looked for in year 0.
    with suppress(OverflowError, ValueError, OSError):
        if ago := _AGO.fullmatch(words):
            start, lasts = here - timedelta(**{_UNITS_AGO[ago[2]]: int(ago[1])}), timedelta()
        elif words in ("today", "yesterday"):
            start = today - timedelta(days=words == "yesterday")
        for form, length in _DATES.items():
            with suppress(ValueError):
                start, lasts = datetime.strptime(words, form), length
        with suppress(ValueError):
            clock = datetime.strptime(words, "%H:%M")
            start, lasts = today.replace(hour=clock.hour, minute=clock.minute), timedelta(minutes=1)
        if start is not None:
            return start.astimezone(), (start + lasts).astimezone()
    raise UsageError(f"{text!r} is not a date", "write it like today, 7d, 2h, 2026-11-01 or 2026-11-01 14:30")


def parse_level(text: str) -> float:
    """Return dBFS from `-50dB`, `-50 dBFS` or `-50`."""
    match = _LEVEL.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a level", "write it like -50dB")
    return float(match[1])


def parse_loudness(text: str) -> float:
    """Return LUFS, between -70 and 0, from `-16LUFS`, `-16 LUFS` or `-16`."""
    match = _LOUDNESS.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a loudness", "write it like -16LUFS")
    lufs = float(match[1])
    _refuse(text, problem_of("loudness_lufs", lufs))
    return lufs


def parse_size(text: str) -> int:
    """Return bytes from `500KB`, `16MB`, `2GB` (thousands, as sharing limits count), `16MiB` (1024s) or `500`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3].lower() == "ib" and not match[2]):
        raise UsageError(f"{text!r} is not a size", "write it like 500KB, 16MB or 2GB")
    base = 1024 if match[3].lower() == "ib" else 1000
    size_bytes: int = math.floor(float(match[1]) * base ** " kmgt".index(match[2].lower() or " "))
    _refuse(text, None if size_bytes > 0 else ("is less than one byte", "give more than zero bytes"))
    return size_bytes


def parse_buffer_size(text: str) -> int:
    """Return the bytes of a replay buffer, as `parse_size` reads them."""
    size_bytes = parse_size(text)
    _refuse(text, problem_of("buffer_bytes", size_bytes))
    return size_bytes


def parse_region(text: str) -> Rectangle:
    """Return a rectangle from `WxH+X+Y`; X and Y may be negative: `640x480+-1280+0` or `640x480-1280+0`."""
    match = _REGION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a region", "write it like 1280x720+100+50")
    region = Rectangle(int(match[3].lstrip("+")), int(match[4].lstrip("+")), int(match[1]), int(match[2]))
    _refuse(text, problem_of("region", region))
    return region


def parse_geometry(text: str) -> tuple[int, int]:
    """Return width and height, both even, from `WxH`."""
    match = _GEOMETRY.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a picture size", "write it like 1280x720")
    size = int(match[1]), int(match[2])
    _refuse(text, problem_of("scale", size))
    return size


def parse_scale(text: str) -> tuple[tuple[int, int], bool]:
    """Return width and height from `WxH`, and whether `!` follows: exactly that size, whatever the picture's shape."""
    stripped = text.strip()
    return parse_geometry(stripped.removesuffix("!")), stripped.endswith("!")


def parse_replay(text: str) -> float:
    """Return the seconds of a replay buffer, as `parse_time` reads them."""
    seconds = parse_time(text)
    _refuse(text, problem_of("replay_s", seconds))
    return seconds


def parse_fps(text: str) -> float:
    """Return frames per second from a plain decimal number."""
    fps = float(text) if _PLAIN.fullmatch(text.strip()) else 0.0
    _refuse(text, problem_of("fps", fps))
    return fps


def parse_speed(text: str) -> float:
    """Return how many times faster to play than it was recorded, from `1.5`, `1.5x` or `2x`."""
    match = _SPEED.fullmatch(text.strip())
    speed = float(match[1]) if match else 0.0
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise UsageError(f"{text!r} is not a speed", f"give a number from {MIN_SPEED:g} to {MAX_SPEED:g}, like 1.5")
    return speed


def parse_command(text: str) -> list[str]:
    """Return the words of a command, quoted as in a shell, which takes no part; [] for an empty text."""
    # Few recordings need it.
    import shlex

    try:
        return shlex.split(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is not a command ({error})", "quote it as in a shell") from error


def takes_path(command: Sequence[str]) -> bool:
    """Whether a word of a command says where the path of a file goes."""
    return any(_PATH in word for word in command)


def with_path(command: Sequence[str], path: str) -> list[str]:
    """Return the command with the path of a file where it says that it goes."""
    return [word.replace(_PATH, path) for word in command]


def parse_tracks(text: str) -> str | tuple[tuple[int, ...], ...]:
    """Return the audio tracks, counted from 0, from `1`, `1,2` (one by one), `1+2` (mixed) or `none`.

    `mix` and `all` are returned as they are.
    """
    words = text.strip().lower()
    if words in ("mix", "all"):
        return words
    if words == "none":
        return ()
    if not _TRACKS.fullmatch(words):
        raise UsageError(f"{text!r} does not name audio tracks", "write it like 1, 1,2, 1+2, mix, all or none")
    tracks = tuple(tuple(int(number) - 1 for number in mixed.split("+")) for mixed in words.split(","))
    named = [number for mixed in tracks for number in mixed]
    if -1 in named or len(set(named)) < len(named):
        raise UsageError(f"{text!r} names a track 0, or one twice", "count from 1, and name each track once")
    return tracks


def parse_audio(values: Sequence[str]) -> tuple[AudioTrack, ...]:
    """Return the tracks from the values of all `--audio` options, one track each.

    `+` mixes sources in a track; `none`, given alone, means no sound.
    """
    return tracks_of(list(values))


def _refuse(text: str, problem: Problem | None) -> None:
    if problem is not None:
        raise UsageError(f"{text!r} {problem[0]}", problem[1])
