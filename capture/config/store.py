"""The user's settings file: reading it, and changing one setting."""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from capture.config.schema import RENAMED, SETTINGS, Setting, Value, setting_of
from capture.config.toml_edit import as_toml, with_value, without
from capture.errors import OutputError, UsageError
from capture.events import Command
from capture.formats import container_of
from capture.output.durable import publish
from capture.output.naming import recordings_folder
from capture.parsing import parse_size, parse_time
from capture.triggers.bindings import HOTKEYS, check_bindings

__all__ = ["Config", "change", "hotkeys", "load", "settings_path", "unset"]

_TRUTHS: Final = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,6})?", re.ASCII)
_PRIVATE_FOLDER: Final = 0o700
_HEADER: Final = "# The settings of capture. `capture config` tells which there are and what they mean.\n"
_KEYS: Final = tuple(name for name in SETTINGS if name.startswith("hotkeys."))


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force. `config[name]` is the value chosen or else the default; `chosen` is the user's alone."""

    path: Path
    chosen: Mapping[str, Value]
    #: The settings that the file has under a name they no longer have.
    old_names: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What to say of the file, a line each: the new name of each setting under an old one."""
        return tuple(
            f"{self.path}: the setting {name} is called {RENAMED[name]} now; please rename it"
            for name in self.old_names
        )

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
        value = self.chosen.get(name, setting_of(name).default)
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
    chosen, mistakes, old_names = _understood(_parsed(path, _read(path)))
    for name, mistake in mistakes.items():
        which = f"{name}: " if name in SETTINGS else ""
        raise UsageError(f"{path}: {which}{mistake.message}", mistake.remedy) from mistake
    config = Config(path, chosen, old_names)
    for one, other in _clashes(config):
        raise UsageError(f"{path}: {_same(config, one, other)}", "give each a key of its own")
    return config


def hotkeys(config: Config) -> Mapping[str, Command]:
    """The commands of the keys, as `Hotkeys` takes them. Raises `UsageError` for keys that cannot be."""
    bindings = {str(key): hotkey.command for hotkey in HOTKEYS if (key := config[f"hotkeys.{hotkey.name}"])}
    check_bindings(bindings, config.hold)
    return bindings


def change(name: str, words: Sequence[str], path: Path | None = None) -> Config:
    """Choose what `words` say for the setting `name`, in the file `path` or else the user's; the settings after that.

    Raises `UsageError`, and has changed nothing, where that cannot be meant or the file is broken; `OutputError` where
    it cannot be written. What else is wrong in the file stays, and hinders nothing: it may be mended one by one.
    """
    setting = setting_of(name)
    try:
        value = _of_words(setting, words)
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", error.remedy) from error
    path = settings_path() if path is None else path
    text = _read(path)
    _parsed(path, text)

    def edit() -> str:
        # One under its old name gives way to the new one.
        return with_value(
            _without(text, _old_keys(path, text, setting.name)) or _HEADER, tuple(setting.name.split(".")), value
        )

    return _replace(path, setting.name, edit)


def unset(name: str, path: Path | None = None) -> Config:
    """Take the setting `name` out of the file, so that its default is in force; also one that does not exist.

    Raises as `change` does.
    """
    path = settings_path() if path is None else path
    text = _read(path)
    there = {_name(keys): keys for keys, _ in _entries(_parsed(path, text))}
    wanted = RENAMED.get(name, name)
    found = [keys for each, keys in there.items() if RENAMED.get(each, each) == wanted]
    if found:
        return _replace(path, wanted, lambda: _without(text, found))
    setting_of(name)
    return Config(path, _understood(_parsed(path, text))[0])


def _old_keys(path: Path, text: str, name: str) -> list[tuple[str, ...]]:
    """The keys in the file that are the setting `name` under an old name."""
    return [keys for keys, _ in _entries(_parsed(path, text)) if RENAMED.get(_name(keys)) == name]


def _without(text: str, entries: Sequence[tuple[str, ...]]) -> str:
    for keys in entries:
        text = without(text, keys)
    return text


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


def _understood(content: Mapping[str, Any]) -> tuple[dict[str, Value], dict[str, UsageError], tuple[str, ...]]:
    """The settings of a file, what is wrong with the others, by name, and which are under an old name."""
    chosen: dict[str, Value] = {}
    mistakes: dict[str, UsageError] = {}
    old_names: list[str] = []
    for path, found in _entries(content):
        name = _name(path)
        try:
            value = _of_toml(setting_of(name), found)
        except UsageError as mistake:
            mistakes[name] = mistake
            continue
        if name in RENAMED:
            old_names.append(name)
            chosen.setdefault(RENAMED[name], value)
        else:
            chosen[name] = value
    return chosen, mistakes, tuple(old_names)


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
            publish(Path(made), target)
        except BaseException:
            with suppress(OSError):
                Path(made).unlink()
            raise
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path} cannot be written ({reason})", "see to the rights of its folder") from error
