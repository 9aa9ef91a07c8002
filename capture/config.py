"""The user's settings: which there are, what was chosen in `settings.toml`, and changing that file.

Nothing in the file is passed over: a name that does not exist, or a value that cannot be meant, is a `UsageError`
that names the file, the setting and the remedy. Loads nothing of the desktop; used by one thread.
"""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from capture.errors import OutputError, UsageError
from capture.events import Command
from capture.recordings.folder import recordings_folder
from capture.settings import (
    ENCODERS,
    QUALITIES,
    Container,
    container_of,
    parse_audio,
    parse_fps,
    parse_size,
    parse_time,
)
from capture.toml_lines import as_toml, with_value, without
from capture.triggers.bindings import HOTKEYS, check_bindings

__all__ = [
    "SETTINGS",
    "Config",
    "Setting",
    "Value",
    "as_typed",
    "change",
    "fill",
    "hotkeys",
    "load",
    "settings_path",
    "unset",
]

#: What a setting can be; a tuple is a list in TOML and JSON.
Value: TypeAlias = str | bool | float | tuple[str, ...]

_VERBS: Final = ("standby", "replay")
_TRUTHS: Final = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,6})?", re.ASCII)

#: A private desktop has no microphone, and a voice note is what the computer plays.
_OF_THEIR_OWN_SOUND: Final = ("headless", "note")

_PRIVATE_FOLDER: Final = 0o700

_HEADER: Final = "# The settings of capture. `capture config` tells which there are and what they mean.\n"


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
        Setting("record.fps", 30, "frames per second at most", lambda fps: parse_fps(_plain(fps))),
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

_KEYS: Final = tuple(name for name in SETTINGS if name.startswith("hotkeys."))


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force. `config[name]` is the value chosen or else the default; `chosen` is the user's alone."""

    path: Path
    chosen: Mapping[str, Value]

    def __getitem__(self, name: str) -> Value:
        return self.chosen.get(name, SETTINGS[name].default)

    @property
    def hold(self) -> str | None:
        """The key that records for as long as it is held."""
        return self._text("hotkeys.hold") or None

    @property
    def autostart_verb(self) -> str:
        return self._text("autostart.verb")

    @property
    def replay_last_s(self) -> float:
        return parse_time(self._text("replay.last"))

    @property
    def replay_buffer_bytes(self) -> int:
        return parse_size(self._text("replay.buffer_size"))

    def folder_for(self, extension: str) -> Path:
        """Where recordings that end in `extension` go; it need not exist. Raises `UsageError` for an unknown one."""
        container = container_of(Path(f"recording.{extension.removeprefix('.')}"))
        folder = self._text("folder.video" if container.holds_video else "folder.sound")
        return Path(folder).expanduser() if folder else recordings_folder(extension)

    def in_force(self, name: str) -> str | bool | float | list[str]:
        """The value of a setting as JSON has it, of a folder where that is. Raises `UsageError` for an unknown one."""
        if name in ("folder.video", "folder.sound"):
            return str(self.folder_for("mp4" if name == "folder.video" else "ogg"))
        value = self.chosen.get(name, _setting(name).default)
        return list(value) if isinstance(value, tuple) else value

    def as_json(self, names: Sequence[str] = tuple(SETTINGS)) -> dict[str, Any]:
        return {"path": str(self.path), "settings": {name: self.in_force(name) for name in names}}

    def _text(self, name: str) -> str:
        return str(self[name])


def settings_path() -> Path:
    """Where the settings are; the file need not exist."""
    import platformdirs

    return platformdirs.user_config_path("capture", appauthor=False) / "settings.toml"


def load(path: Path | None = None) -> Config:
    """The settings of `path`, or else of the user; the defaults where there is no such file.

    Raises `UsageError` for a file that cannot be read or understood, or in which one key means two things.
    """
    path = settings_path() if path is None else path
    chosen, mistakes = _understood(_parsed(path, _read(path)))
    for name, mistake in mistakes.items():
        which = f"{name}: " if name in SETTINGS else ""
        raise UsageError(f"{path}: {which}{mistake.message}", mistake.remedy) from mistake
    config = Config(path, chosen)
    for one, other in _clashes(config):
        raise UsageError(f"{path}: {_same(config, one, other)}", "give each a key of its own")
    return config


def hotkeys(config: Config) -> Mapping[str, Command]:
    """The commands of the keys, as `Hotkeys` takes them. Raises `UsageError` for keys that cannot be."""
    bindings = {str(key): hotkey.command for hotkey in HOTKEYS if (key := config[f"hotkeys.{hotkey.name}"])}
    check_bindings(bindings, config.hold)
    return bindings


def fill(config: Config, options: MutableMapping[str, Any]) -> None:
    """Give the `options` of a recording that are None, which nobody gave, the values of the settings.

    `options` are those of the command line, as `vars(arguments)`; what is not among them is not added. Where a file
    holds fewer tracks than the settings name, they are mixed; an encoder that cannot make the file is not asked to.
    Raises `UsageError` for an output whose extension is not known.
    """
    container = _container(options)
    # Where there is no screen, nobody asked for these.
    pictured = container.holds_video and options.get("screen") != "none" and options.get("source") != "pattern"
    given = {
        "audio": _audio(config, options, container),
        "fps": _plain(config["record.fps"]),
        "quality": config["record.quality"],
        "encoder": config["record.encoder"],
        "cursor": config["record.cursor"],
        **{name: pictured and config[f"record.{name}"] for name in ("show_clicks", "show_keys")},
    }
    if given["encoder"] not in ENCODERS.get(container.video_codec or "", ()):
        given["encoder"] = "auto"
    for name, value in given.items():
        if name in options and options[name] is None:
            options[name] = value


def _container(options: Mapping[str, Any]) -> Container:
    output = options.get("output")
    return container_of(Path(output or ("out.ogg" if options.get("screen") == "none" else "out.mp4")))


def _audio(config: Config, options: Mapping[str, Any], container: Container) -> list[str]:
    chosen = config["record.audio"]
    tracks = list(chosen) if isinstance(chosen, tuple) else []
    pictured = container.holds_video and options.get("screen") != "none"
    if options.get("source") == "pattern" or options.get("verb") in _OF_THEIR_OWN_SOUND:
        return ["internal"]
    if tracks == ["none"]:
        # Without a picture there would be nothing left.
        return tracks if pictured else ["internal"]
    if len(tracks) > container.max_audio_tracks:
        return ["+".join(dict.fromkeys("+".join(tracks).split("+")))]
    return tracks


# Changing them


def change(name: str, words: Sequence[str], path: Path | None = None) -> Config:
    """Choose what `words` say for the setting `name`, in the file `path` or else the user's; the settings after that.

    Raises `UsageError`, and has changed nothing, where that cannot be meant or the file is broken; `OutputError` where
    it cannot be written. What else is wrong in the file stays, and hinders nothing: it may be mended one by one.
    """
    setting = _setting(name)
    try:
        value = _of_words(setting, words)
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", error.remedy) from error
    path = settings_path() if path is None else path
    text = _read(path)
    _parsed(path, text)
    return _replace(path, name, lambda: with_value(text or _HEADER, tuple(name.split(".")), value))


def unset(name: str, path: Path | None = None) -> Config:
    """Take the setting `name` out of the file, so that its default is in force; also one that does not exist.

    Raises as `change` does.
    """
    path = settings_path() if path is None else path
    text = _read(path)
    there = {_name(keys): keys for keys, _ in _entries(_parsed(path, text))}
    if name in there:
        return _replace(path, name, lambda: without(text, there[name]))
    _setting(name)
    return Config(path, _understood(_parsed(path, text))[0])


def _replace(path: Path, name: str, edit: Callable[[], str]) -> Config:
    try:
        text = edit()
    except ValueError as error:
        raise UsageError(
            f"{path}: {name} is written there in a way that this cannot change ({error})", "change it in the file"
        ) from error
    config = Config(path, _understood(_parsed(path, text))[0])
    for one, other in _clashes(config):
        if name in (one, other):
            raise UsageError(_same(config, one, other, would_be=True), "give each a key of its own")
    _write(path, text)
    return config


def _setting(name: str) -> Setting:
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


def _of_words(setting: Setting, words: Sequence[str]) -> Value:
    """The value that was typed. Raises `UsageError`."""
    if not words or (len(words) > 1 and not isinstance(setting.default, tuple)):
        raise UsageError(f"{len(words)} values were given", "give one; one with spaces goes in quotation marks")
    word = words[0]
    value: Value
    if isinstance(setting.default, bool):
        if word.lower() not in _TRUTHS:
            raise UsageError(f"{word!r} is neither on nor off", "use on or off")
        value = _TRUTHS[word.lower()]
    elif isinstance(setting.default, tuple):
        value = tuple(words)
    elif isinstance(setting.default, str):
        value = word
    else:
        if not _NUMBER.fullmatch(word):
            raise UsageError(f"{word!r} is not a number", f"write it like {setting.default:g}")
        value = float(word) if "." in word else int(word)
    try:
        " ".join(words).encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{word!r} is not UTF-8", "choose another name") from error
    setting.check(value)
    return value


def _of_toml(setting: Setting, found: object) -> Value:
    """The value in the file, if it is of the right type. Raises `UsageError`."""
    value: Value | None = None
    match setting.default, found:
        case bool(), bool():
            value = found
        case tuple(), str():
            value = (found,)
        case tuple(), list() if all(isinstance(item, str) for item in found):
            value = tuple(found)
        case str(), str():
            value = found
        case bool() | str() | tuple(), _:
            pass
        case _, int() | float() if not isinstance(found, bool):
            value = found
    if value is None or value == ():
        raise UsageError(
            "the value is not of the right kind", f"write it like {setting.name} = {as_toml(setting.default)}"
        )
    setting.check(value)
    return value


def _plain(number: object) -> str:
    """A number as `parse_fps` takes it, never with an exponent."""
    return f"{number:.6f}".rstrip("0").rstrip(".") if isinstance(number, float) else str(number)


def _clashes(config: Config) -> Iterator[tuple[str, str]]:
    """The settings that are one and the same key, two at a time."""
    keys = [(name, str(config[name])) for name in _KEYS if config[name]]
    for (one, key), (other, other_key) in combinations(keys, 2):
        try:
            check_bindings({key: Command.START}, other_key)
        except UsageError:
            yield one, other


def _same(config: Config, one: str, other: str, *, would_be: bool = False) -> str:
    return f"{one} and {other} {'would be' if would_be else 'are'} the same key, {str(config[other])!r}"


# The file


def _read(path: Path) -> str:
    """What the file holds; nothing where there is none."""
    try:
        # Editors of Windows begin a file with a mark of its encoding.
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text", "save it as that, or remove it") from error
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{path} cannot be read ({reason})", "see what it is and whose, or remove it") from error


def _parsed(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Beside its own errors the reader lets through those of numbers with thousands of digits.
        raise UsageError(f"{path} cannot be understood ({error})", "mend it there, or remove it") from error


def _entries(content: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], object]]:
    """The keys and values of a file, each by its path; a table that is none of ours stands for itself."""
    groups = {name.partition(".")[0] for name in SETTINGS}
    for key, value in content.items():
        if key in groups and isinstance(value, dict):
            yield from (((key, inner), found) for inner, found in value.items())
        else:
            yield (key,), value


def _name(path: tuple[str, ...]) -> str:
    """What people call the key: `a.b`; one in which a point stands cannot be confused with that."""
    return ".".join(as_toml(part) if "." in part else part for part in path)


def _understood(content: Mapping[str, Any]) -> tuple[dict[str, Value], dict[str, UsageError]]:
    """The settings of a file, and what is wrong with the others, by name."""
    chosen: dict[str, Value] = {}
    mistakes: dict[str, UsageError] = {}
    for path, found in _entries(content):
        name = _name(path)
        try:
            chosen[name] = _of_toml(_setting(name), found)
        except UsageError as mistake:
            mistakes[name] = mistake
    return chosen, mistakes


def _write(path: Path, text: str) -> None:
    """Replace the file as a whole; only its user can read it. Raises `OutputError`."""
    # Where it is a link, to a collection of such files for one, the link stays.
    target = Path(os.path.realpath(path))
    try:
        target.parent.parent.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        descriptor, made = tempfile.mkstemp(prefix=".settings-", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode())
                file.flush()
                os.fsync(file.fileno())
            Path(made).replace(target)
        except BaseException:
            with suppress(OSError):
                Path(made).unlink()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path} cannot be written ({reason})", "see to the rights of its folder") from error
