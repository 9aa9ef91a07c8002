"""Reads the user's settings file `settings.toml`, and changes one setting in it.

Nothing in the file is ignored: an unknown name or an invalid value is a `UsageError` that names the file, the setting
and the remedy. One thread uses it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Final

from capture.config.schema import LISTED, SETTINGS, Setting, Value, setting_of
from capture.config.settings_file import RENAMED, settings_path
from capture.config.toml_edit import as_toml, with_value, without
from capture.errors import OutputError, UsageError
from capture.events import Command
from capture.formats import container_of
from capture.output.naming import recordings_folder
from capture.parsing import parse_size, parse_time
from capture.system.private_files import make_folder, only_changer, read_small, replace
from capture.triggers.bindings import HOTKEYS, check_bindings

__all__ = ["Config", "change", "hotkeys", "load", "unset"]

_BOOLEANS: Final = {"on": True, "yes": True, "true": True, "off": False, "no": False, "false": False}
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,6})?", re.ASCII)
_HEADER: Final = "# The settings of capture. `capture config` lists them all and what they mean.\n"
_KEYS: Final = tuple(name for name in SETTINGS if name.startswith("hotkeys."))


@dataclass(frozen=True, slots=True)
class Config:
    """The settings in force. `config[name]` is the user's value or the default; `chosen` has the user's values only."""

    path: Path
    chosen: Mapping[str, Value]
    #: The old names that the file uses.
    old_names: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for the user, one line each: the new name of each setting that the file has under an old one."""
        return tuple(
            f"{self.path}: the setting {name} is now called {RENAMED[name]}; please rename it"
            for name in self.old_names
        )

    def __getitem__(self, name: str) -> Value:
        return self.chosen.get(name, SETTINGS[name].default)

    @property
    def hold(self) -> str | None:
        """The key that records while it is held; None when there is none."""
        return self._text("hotkeys.hold") or None

    @property
    def notifies(self) -> bool:
        """Whether desktop notifications are shown."""
        return bool(self["record.notify"])

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
        """Return the folder of recordings with this extension. It need not exist.

        Raises `UsageError` for an unknown extension.
        """
        container = container_of(Path(f"recording.{extension.removeprefix('.')}"))
        folder = self._text("folder.video" if container.holds_video else "folder.sound")
        return Path(folder).expanduser() if folder else recordings_folder(extension)

    def in_force(self, name: str) -> str | bool | float | list[str]:
        """Return the value of a setting as in JSON; for a folder that was not chosen, the default path.

        Raises `UsageError` for an unknown setting.
        """
        if name in ("folder.video", "folder.sound"):
            return str(self.folder_for("mp4" if name == "folder.video" else "ogg"))
        value = self.chosen.get(name, setting_of(name).default)
        return list(value) if isinstance(value, tuple) else value

    def as_json(self, names: Sequence[str] = tuple(SETTINGS)) -> dict[str, Any]:
        return {"path": str(self.path), "settings": {name: self.in_force(name) for name in names}}

    def _text(self, name: str) -> str:
        return str(self[name])


def load(path: Path | None = None) -> Config:
    """Return the settings in the file `path` (default: the user's); without such a file, the defaults.

    Raises `UsageError` for a file that cannot be read or parsed, or that uses one key twice.
    """
    path = settings_path() if path is None else path
    chosen, mistakes, old_names = _interpret(_parse(path, _read(path)))
    for name, mistake in mistakes.items():
        which = f"{name}: " if name in SETTINGS else ""
        remedy = "remove it from the file" if mistake.remedy == LISTED else mistake.remedy
        raise UsageError(f"{path}: {which}{mistake.message}", remedy) from mistake
    config = Config(path, chosen, old_names)
    for one, other in _clashes(config):
        raise UsageError(f"{path}: {_same(config, one, other)}", "give each its own key")
    return config


def hotkeys(config: Config) -> Mapping[str, Command]:
    """Return the command of each key, as `Hotkeys` takes them. Raises `UsageError` for an invalid key."""
    bindings = {str(key): hotkey.command for hotkey in HOTKEYS if (key := config[f"hotkeys.{hotkey.name}"])}
    check_bindings(bindings, config.hold)
    return bindings


def change(name: str, words: Sequence[str], path: Path | None = None) -> Config:
    """Set `name` to the value that `words` say, in the file `path` (default: the user's); return the new settings.

    Raises `UsageError` for an invalid value or a broken file, and changes nothing then; `OutputError` when the file
    cannot be written. Other mistakes in the file stay and do no harm here, so that they can be fixed one by one.
    """
    setting = setting_of(name)
    try:
        value = _from_words(setting, words)
    except UsageError as error:
        raise UsageError(f"{name}: {error.message}", error.remedy) from error
    path = settings_path() if path is None else path

    def edit(text: str) -> str:
        # The new name replaces the old one.
        kept = _without(text, _old_keys(path, text, setting.name)) or _HEADER
        return with_value(kept, tuple(setting.name.split(".")), value)

    return _replace(path, setting.name, edit)


def unset(name: str, path: Path | None = None) -> Config:
    """Remove the setting `name` from the file, so that its default is in force; return the new settings.

    An unknown setting can be removed too. Raises as `change` does.
    """
    path = settings_path() if path is None else path
    wanted = RENAMED.get(name, name)

    def found_in(text: str) -> list[tuple[str, ...]]:
        present = {_name(keys): keys for keys, _ in _entries(_parse(path, text))}
        return [keys for each, keys in present.items() if RENAMED.get(each, each) == wanted]

    text = _read(path)
    if found_in(text):
        return _replace(path, wanted, lambda text: _without(text, found_in(text)))
    setting_of(name)
    return Config(path, _interpret(_parse(path, text))[0])


def _old_keys(path: Path, text: str, name: str) -> list[tuple[str, ...]]:
    """Return the keys in the file that are old names of the setting `name`."""
    return [keys for keys, _ in _entries(_parse(path, text)) if RENAMED.get(_name(keys)) == name]


def _without(text: str, entries: Sequence[tuple[str, ...]]) -> str:
    for keys in entries:
        text = without(text, keys)
    return text


def _replace(path: Path, name: str, edit: Callable[[str], str]) -> Config:
    """Write what `edit` makes of the text in the file; only its user can read it. Raises as `change` does."""
    # What it refuses is refused before anything is touched.
    _edited(path, name, edit)
    # Write to the target of a link, as into a repository of dotfiles, and keep the link.
    target = Path(os.path.realpath(path))
    try:
        make_folder(target.parent)
        # Of two processes, the second one changes what the first one has written.
        with only_changer(target.parent):
            text, config = _edited(path, name, edit)
            replace(target, text.encode())
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(f"{path} cannot be written ({reason})", "check the permissions of its folder") from error
    return config


def _edited(path: Path, name: str, edit: Callable[[str], str]) -> tuple[str, Config]:
    """Return what `edit` makes of the text in the file, and its settings. Raises `UsageError`."""
    text = _read(path)
    _parse(path, text)
    try:
        text = edit(text)
    except ValueError as error:
        raise UsageError(
            f"{path}: {name} is written in a form that capture cannot change ({error})", "edit the file by hand"
        ) from error
    config = Config(path, _interpret(_parse(path, text))[0])
    for one, other in _clashes(config):
        if name in (one, other):
            raise UsageError(_same(config, one, other, would_be=True), "give each its own key")
    return text, config


def _from_words(setting: Setting, words: Sequence[str]) -> Value:
    """Return the value that the user typed. Raises `UsageError`."""
    if not words or (len(words) > 1 and not isinstance(setting.default, tuple)):
        raise UsageError(f"{len(words)} values were given", "give one, in quotation marks if it has spaces")
    word = words[0]
    value: Value
    if isinstance(setting.default, bool):
        if word.lower() not in _BOOLEANS:
            raise UsageError(f"{word!r} is neither on nor off", "use on or off")
        value = _BOOLEANS[word.lower()]
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
        raise UsageError(f"{word!r} is not UTF-8", "choose another value") from error
    setting.check(value)
    return value


def _from_toml(setting: Setting, found: object) -> Value:
    """Return the value in the file, as the setting's type. Raises `UsageError`."""
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
        raise UsageError("the value has the wrong type", f"write it like {setting.name} = {as_toml(setting.default)}")
    setting.check(value)
    return value


def _clashes(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the settings that use the same key, in pairs."""
    keys = [(name, str(config[name])) for name in _KEYS if config[name]]
    for (one, key), (other, other_key) in combinations(keys, 2):
        try:
            check_bindings({key: Command.START}, other_key)
        except UsageError:
            yield one, other


def _same(config: Config, one: str, other: str, *, would_be: bool = False) -> str:
    return f"{one} and {other} {'would be' if would_be else 'are'} the same key, {str(config[other])!r}"


def _read(path: Path) -> str:
    """Return the text of the file; "" when there is none."""
    try:
        # Editors on Windows may start a file with a byte order mark.
        return read_small(path).decode("utf-8-sig")
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text", "save it as UTF-8, or remove it") from error
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"{path} cannot be read ({reason})", "check its type and permissions, or remove it") from error


def _parse(path: Path, text: str) -> dict[str, Any]:
    if not text:
        return {}
    # Imported here: most users have no file.
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # `tomllib` raises plain ValueError too, for numbers with thousands of digits.
        raise UsageError(f"{path} is not valid TOML ({error})", "correct it, or remove it") from error


def _entries(content: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the path and the value of each key in a file; an unknown table is one entry."""
    groups = {name.partition(".")[0] for name in SETTINGS}
    for key, value in content.items():
        if key in groups and isinstance(value, dict):
            yield from (((key, inner), found) for inner, found in value.items())
        else:
            yield (key,), value


def _name(path: tuple[str, ...]) -> str:
    """Return the name of a key as users write it: `a.b`. A part that contains a dot is quoted."""
    return ".".join(as_toml(part) if "." in part else part for part in path)


def _interpret(content: Mapping[str, Any]) -> tuple[dict[str, Value], dict[str, UsageError], tuple[str, ...]]:
    """Return the settings in a file, the mistakes in it by name, and the old names that it uses."""
    chosen: dict[str, Value] = {}
    mistakes: dict[str, UsageError] = {}
    old_names: list[str] = []
    for path, found in _entries(content):
        name = _name(path)
        try:
            value = _from_toml(setting_of(name), found)
        except UsageError as mistake:
            mistakes[name] = mistake
            continue
        if name in RENAMED:
            old_names.append(name)
            chosen.setdefault(RENAMED[name], value)
        else:
            chosen[name] = value
    return chosen, mistakes, tuple(old_names)
