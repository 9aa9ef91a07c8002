"""The user's settings: which there are, what was chosen in `settings.toml`, and changing that file.

Nothing in the file is passed over: a name that does not exist, or a value that cannot be meant, is a `UsageError`
that names the file, the setting and the remedy. Loads nothing of the desktop; used by one thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from capture.errors import UsageError
from capture.formats import ENCODERS, QUALITIES
from capture.parsing import parse_audio, parse_fps, parse_size, parse_time
from capture.triggers.bindings import HOTKEYS, check_bindings

__all__ = ["RENAMED", "SETTINGS", "Setting", "Value", "as_typed"]

#: What a setting can be; a tuple is a list in TOML and JSON.
Value: TypeAlias = str | bool | float | tuple[str, ...]

_VERBS: Final = ("standby", "replay")


class Setting(NamedTuple):
    """One setting. Its values are of the type of `default`; `check` raises `UsageError` for those that cannot be."""

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
            raise UsageError(f"{text!r} is not known", f"use {', '.join(names)}")

    return check


def _check_folder(text: str) -> None:
    if not text:
        return
    try:
        folder = Path(text).expanduser()
        taken = folder.exists() and not folder.is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"{text!r} cannot be a folder ({error})", "write it like ~/Videos") from error
    if not text.isprintable():
        raise UsageError(f"{text!r} holds characters that cannot be shown", "choose another folder")
    if not folder.is_absolute():
        raise UsageError(f"{text!r} is not a whole path", "write it from the root or from ~, like ~/Videos")
    if taken:
        raise UsageError(f"{text!r} is not a folder", "name a folder")


SETTINGS: Final[Mapping[str, Setting]] = {
    setting.name: setting
    for setting in (
        *(
            Setting(f"hotkeys.{hotkey.name}", hotkey.key, f"the key to {hotkey.about}", _check_key)
            for hotkey in HOTKEYS
        ),
        Setting("hotkeys.hold", "", "the key that records for as long as it is held", _check_key),
        Setting("autostart.verb", "standby", "what begins with the session: standby or replay", _one_of(*_VERBS)),
        Setting("folder.video", "", "where recordings with a picture go", _check_folder),
        Setting("folder.sound", "", "where recordings of sound alone go", _check_folder),
        Setting("replay.last", "60s", "how much the replay buffer keeps", parse_time),
        Setting("replay.buffer_size", "500MB", "how much memory the replay buffer may take", parse_size),
        Setting("record.audio", ("internal",), "the audio tracks; mixed into one where one fits", parse_audio),
        Setting("record.fps", 30, "frames per second at most", lambda fps: parse_fps(plain_number(fps))),
        Setting("record.quality", "medium", "low, medium or high", _one_of(*QUALITIES)),
        Setting(
            "record.encoder",
            "auto",
            "auto, or FFmpeg's name of one, for the formats it can make",
            _one_of("auto", *(name for names in ENCODERS.values() for name in names)),
        ),
        Setting("record.cursor", True, "draw the mouse cursor", lambda drawn: None),
        Setting("record.show_clicks", False, "draw a ring where the mouse is clicked", lambda drawn: None),
        Setting("record.show_keys", False, "show the keys that are pressed, in the picture", lambda drawn: None),
    )
}


# Changing them


#: Settings that had another name: a file may still have it, and it is taken for the new one.
RENAMED: Final[Mapping[str, str]] = {"hotkeys.toggle": "hotkeys.record"}


def setting_of(name: str) -> Setting:
    """The setting `name`, or the one that used to be called so. Raises `UsageError` for one that does not exist."""
    name = RENAMED.get(name, name)
    if name not in SETTINGS:
        raise UsageError(f"there is no setting {name!r}", _meant(name))
    return SETTINGS[name]


def _meant(name: str) -> str:
    # Only a mistake needs it.
    from difflib import get_close_matches

    close = get_close_matches(name, SETTINGS, n=1)
    return f"did you mean {close[0]}?" if close else "capture config lists those there are"


# Values


def as_typed(value: object, between: str = ", ") -> str:
    """A value in words that `capture config` takes, those of a list with something between."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list | tuple):
        return between.join(map(str, value))
    return str(value)


def plain_number(number: object) -> str:
    """A number as `parse_fps` takes it, never with an exponent."""
    return f"{number:.6f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)


# The file
