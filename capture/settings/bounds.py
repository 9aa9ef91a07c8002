"""The bounds of every value of the settings, and what is wrong with a value beyond them."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Final, TypeAlias

from capture.errors import UsageError
from capture.formats import QUALITIES
from capture.media import Rectangle
from capture.remote.runtime_folder import check_name as check_recorder_name
from capture.triggers.bindings import check_bindings

__all__ = [
    "BOUNDS",
    "FLAGS",
    "LOUDNESS_LUFS",
    "MAX_FPS",
    "MAX_PICTURE_SIDE",
    "MAX_TIME_S",
    "MIN_FPS",
    "MIN_PICTURE_SIDE",
    "Problem",
    "is_whole",
    "problem_of",
    "time_problem",
]

#: With a higher rate, a slot is shorter than the grab of a small screen.
MAX_FPS: Final = 240


MIN_FPS: Final = 0.1


#: A thousand hours. A longer time is a typing error.
MAX_TIME_S: Final = 3_600_000.0


#: A longer replay buffer is a typing error: what lasts a day is a recording.
MAX_REPLAY_S: Final = 86_400.0


#: A smaller replay buffer would not hold a second.
MIN_BUFFER_BYTES: Final = 1_000_000


#: The largest side that H.264 level 6.2 allows, and the smallest that every encoder accepts.
MAX_PICTURE_SIDE: Final = 16_384


MIN_PICTURE_SIDE: Final = 16


#: Loudness targets lie strictly between these. EBU R 128 gates at the lower one: quieter sound counts as silence.
LOUDNESS_LUFS: Final = (-70.0, 0.0)


#: The most letters of a title: what a list or a player shows in a line.
MAX_TITLE: Final = 200


#: The problem with a value, as the end of a sentence about it, and the remedy.
Problem: TypeAlias = tuple[str, str]


def _is_number(value: object) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def time_problem(seconds: Any, *, zero_allowed: bool = False) -> Problem | None:
    """Return what is wrong with a length of time in seconds; None if it is valid."""
    if not _is_number(seconds) or seconds < 0:
        return "is not a time", "give seconds"
    if seconds == 0 and not zero_allowed:
        return "is zero", "give more than zero seconds"
    return ("is longer than a thousand hours", "give a shorter time") if seconds > MAX_TIME_S else None


def _fps_problem(fps: Any) -> Problem | None:
    fine = _is_number(fps) and MIN_FPS <= fps <= MAX_FPS
    return None if fine else ("is not a valid frame rate", f"give a number from {MIN_FPS} to {MAX_FPS}")


def _scale_problem(scale: Any) -> Problem | None:
    if not isinstance(scale, Sequence) or isinstance(scale, str) or len(scale) != 2 or not all(map(is_whole, scale)):
        return "is not a picture size", "give width and height, like 1280x720"
    if any(not MIN_PICTURE_SIDE <= side <= MAX_PICTURE_SIDE or side % 2 for side in scale):
        return (
            "is not a size that can be encoded",
            f"use even numbers from {MIN_PICTURE_SIDE} to {MAX_PICTURE_SIDE}, like 1280x720",
        )
    return None


def _region_problem(region: Any) -> Problem | None:
    if not isinstance(region, Rectangle):
        return "is not a region", "give a Rectangle, or write it like 1280x720+100+50"
    sides = (region.left, region.top, region.width, region.height)
    if not all(map(is_whole, sides)) or region.width < 2 or region.height < 2:
        return "has no area to record", "make it at least 2x2"
    return None


def _threshold_problem(dbfs: Any) -> Problem | None:
    fine = _is_number(dbfs) and -90.0 <= dbfs < 0.0
    return None if fine else ("is not between -90dB and 0dB", "give one like -50dB")


def _loudness_problem(lufs: Any) -> Problem | None:
    low, high = LOUDNESS_LUFS
    fine = _is_number(lufs) and low < lufs < high
    return None if fine else ("is out of range", f"give a loudness between {low:g}LUFS and {high:g}, like -16LUFS")


def _buffer_problem(size: Any) -> Problem | None:
    fine = is_whole(size) and size >= MIN_BUFFER_BYTES
    return None if fine else ("is too small for a replay buffer", f"give {MIN_BUFFER_BYTES // 1_000_000}MB or more")


def _replay_problem(seconds: Any) -> Problem | None:
    if (problem := time_problem(seconds)) is not None or seconds <= MAX_REPLAY_S:
        return problem
    return "is too long for a replay buffer", f"give {MAX_REPLAY_S / 3600:.0f}h or less, or make a recording"


def _name_problem(text: Any) -> Problem | None:
    fine = isinstance(text, str) and text.strip() and text.isprintable()
    return None if fine else ("is not a name or title", "see capture devices")


def _title_problem(title: Any) -> Problem | None:
    fine = isinstance(title, str) and title.strip() and title.isprintable() and len(title) <= MAX_TITLE
    return None if fine else ("is not a title", f"give one line of at most {MAX_TITLE} letters")


def _quality_problem(quality: Any) -> Problem | None:
    return None if quality in QUALITIES else ("is unknown", f"use {', '.join(QUALITIES)}")


def _encoder_problem(encoder: Any) -> Problem | None:
    return None if isinstance(encoder, str) and encoder else ("is not the name of an encoder", "use auto")


def _hold_problem(key: Any) -> Problem | None:
    if not isinstance(key, str):
        return "is not a key", "give one like <f9>"
    return _as_problem(lambda: check_bindings({}, key))


def _recorder_problem(name: Any) -> Problem | None:
    if not isinstance(name, str):
        return "is not a name", "give letters and digits"
    return _as_problem(lambda: check_recorder_name(name))


def _folder_problem(folder: Any) -> Problem | None:
    return None if isinstance(folder, str | os.PathLike) else ("is not a folder", "give a path")


def _as_problem(check: Callable[[], None]) -> Problem | None:
    try:
        check()
    except UsageError as error:
        return f"cannot be used ({error.message})", error.remedy
    return None


BOUNDS: Final[Mapping[str, Callable[[Any], Problem | None]]] = {
    "region": _region_problem,
    "window": _name_problem,
    "screen": _name_problem,
    "scale": _scale_problem,
    "fps": _fps_problem,
    "quality": _quality_problem,
    "encoder": _encoder_problem,
    "duration_s": time_problem,
    "delay_s": lambda seconds: time_problem(seconds, zero_allowed=True),
    "stop_after_silence_s": time_problem,
    "sound_threshold_dbfs": _threshold_problem,
    "replay_s": _replay_problem,
    "buffer_bytes": _buffer_problem,
    "pre_roll_s": lambda seconds: time_problem(seconds, zero_allowed=True),
    "fallback_folder": _folder_problem,
    "hold": _hold_problem,
    "loudness_lufs": _loudness_problem,
    "title": _title_problem,
    "name": _recorder_problem,
}


_OPTIONAL: Final = frozenset(
    {
        *("region", "window", "screen", "scale", "duration_s", "stop_after_silence_s", "replay_s", "fallback_folder"),
        *("hold", "loudness_lufs", "title", "name"),
    }
)


FLAGS: Final = (
    *(
        "constant_fps",
        "cursor",
        "cursor_once_moved",
        "show_clicks",
        "show_keys",
        "pattern",
        "overwrite",
        "numbered",
        "wait_for_sound",
        "wait_for_window",
        "speech",
    ),
    *("dated", "repeat", "standby", "voice", "ledger", "stretch"),
)


def problem_of(field_name: str, value: object) -> Problem | None:
    """Return what is wrong with one value for this field of `RecordSettings`; None if it is valid.

    This does not compare it with other fields.
    """
    if field_name in FLAGS:
        return None if isinstance(value, bool) else ("is neither True nor False", "give True or False")
    if value is None and field_name in _OPTIONAL:
        return None
    return BOUNDS[field_name](value)
