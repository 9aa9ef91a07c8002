"""Defines the user's settings: their names, defaults, help texts and bounds.

Needs no display and no sound server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from capture.config.settings_file import RENAMED
from capture.errors import UsageError
from capture.formats import ENCODERS, QUALITIES
from capture.parsing import parse_audio, parse_buffer_size, parse_command, parse_fps, parse_replay
from capture.triggers.bindings import HOTKEYS, check_bindings

__all__ = ["LISTED", "SETTINGS", "Setting", "Value", "as_typed"]

#: The value of a setting; a tuple is a list in TOML and JSON.
Value: TypeAlias = str | bool | float | tuple[str, ...]

_VERBS: Final = ("standby", "replay")


class Setting(NamedTuple):
    """One setting. Its values have the type of `default`; `check` raises `UsageError` for an invalid one.

    `about` is its help text, short enough for a terminal of 80 columns.
    """

    name: str
    default: Value
    about: str
    check: Callable[[Any], object]


def _check_key(text: str) -> None:
    if text:
        check_bindings({}, text)


def _one_of(*names: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if text not in names:
            raise UsageError(f"{text!r} is unknown", f"use {', '.join(names)}")

    return check


def _check_folder(text: str) -> None:
    if not text:
        return
    try:
        folder = Path(text).expanduser()
        taken = folder.exists() and not folder.is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"{text!r} is not a valid folder ({error})", "write it like ~/Videos") from error
    if not text.isprintable():
        raise UsageError(f"{text!r} contains unprintable characters", "choose another folder")
    if not folder.is_absolute():
        raise UsageError(f"{text!r} is not an absolute path", "start it with / or ~, like ~/Videos")
    if taken:
        raise UsageError(f"{text!r} is not a folder", "name a folder")


def _check_file(text: str) -> None:
    if not text:
        return
    try:
        is_absolute = Path(text).expanduser().is_absolute()
    except RuntimeError as error:
        raise UsageError(f"{text!r} is not a valid path ({error})", "write it like ~/models/ggml-base.bin") from error
    if not (text.isprintable() and is_absolute):
        raise UsageError(f"{text!r} is not an absolute path", "start it with / or ~, like ~/models/ggml-base.bin")


def _check_language(text: str) -> None:
    if not (text.isascii() and text.isalpha() and text.islower()):
        raise UsageError(f"{text!r} is not a language", "write auto, or a code like en or de")


def _check_remote(text: str) -> None:
    # Beginning with a minus, it would be an option of rclone.
    is_place = text.startswith("/") or (":" in text and text.lstrip()[:1] != "-")
    if text and not (is_place and text.isprintable()):
        raise UsageError(
            f"{text!r} is not a place for backups", "write it like drive:Captures, or as a folder like /mnt/backup"
        )


SETTINGS: Final[Mapping[str, Setting]] = {
    setting.name: setting
    for setting in (
        *(Setting(f"hotkeys.{hotkey.name}", hotkey.key, hotkey.about, _check_key) for hotkey in HOTKEYS),
        Setting("hotkeys.hold", "", "record while the key is held", _check_key),
        Setting("autostart.verb", "standby", "standby or replay, for autostart", _one_of(*_VERBS)),
        Setting("folder.video", "", "folder for video", _check_folder),
        Setting("folder.sound", "", "folder for sound alone", _check_folder),
        Setting("replay.last", "60s", "length of the replay buffer", parse_replay),
        Setting("replay.buffer_size", "500MB", "memory limit of the replay buffer", parse_buffer_size),
        Setting("record.audio", ("internal",), "audio tracks", parse_audio),
        Setting("record.fps", 30, "maximum frame rate", lambda fps: parse_fps(plain_number(fps))),
        Setting("record.quality", "medium", "low, medium or high", _one_of(*QUALITIES)),
        Setting(
            "record.encoder",
            "auto",
            "auto, or FFmpeg's encoder name",
            _one_of("auto", *(name for names in ENCODERS.values() for name in names)),
        ),
        Setting("record.cursor", True, "draw the mouse cursor", lambda drawn: None),
        Setting("record.show_clicks", False, "draw a ring at each mouse click", lambda drawn: None),
        Setting("record.show_keys", False, "show pressed keys in the picture", lambda drawn: None),
        Setting("record.notify", True, "a desktop notification for what was saved", lambda shown: None),
        Setting("record.after_save", "", "command to run after each save", parse_command),
        Setting("speech.model", "", "model file for transcribe", _check_file),
        Setting("speech.language", "auto", "auto, or a code like en or de", _check_language),
        Setting("backup.remote", "", "rclone's name of the place for copies", _check_remote),
    )
}


#: The remedy for a name like no setting's. One in the file itself keeps `capture config` from listing them.
LISTED: Final = "capture config lists them all"


def setting_of(name: str) -> Setting:
    """Return the setting with this name or old name. Raises `UsageError` when there is none."""
    name = RENAMED.get(name, name)
    if name not in SETTINGS:
        raise UsageError(f"there is no setting {name!r}", _suggestion(name))
    return SETTINGS[name]


def _suggestion(name: str) -> str:
    # Imported here because only a mistake needs it.
    from difflib import get_close_matches

    close = get_close_matches(name, SETTINGS, n=1)
    return f"did you mean {close[0]}?" if close else LISTED


# Values


def as_typed(value: object, between: str = ", ") -> str:
    """Format a value as `capture config` accepts it, with `between` between the items of a list."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return between.join(map(str, value))
    return str(value)


def plain_number(number: object) -> str:
    """Format a number as `parse_fps` accepts it: without an exponent."""
    return f"{number:.6f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)
