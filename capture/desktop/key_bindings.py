"""Keys in the desktop's own settings that run `capture toggle` and so on, where a Wayland desktop gives no others.

GNOME's settings are changed through its program `gsettings`, whose answers have a time limit. The files of compositors
are the user's own writing: they are looked at, but never changed.
"""

from __future__ import annotations

import ast
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from capture.errors import NotReadyError
from capture.system.desktop_entry import APP_ID, entry_folder, entry_text, trouble_with_own_entry
from capture.system.private_files import make_folder, read_small, replace
from capture.triggers.bindings import as_readable
from capture.triggers.desktop_keys import Desktop, as_gtk, desktop_here, settings_file, settings_line

__all__ = ["COMMANDS", "GnomeKeys", "Line", "are_bound", "install_entry", "lines_for", "remove_entry"]

#: What each hotkey runs, by its name in the settings.
COMMANDS: Final[Mapping[str, str]] = {
    "record": "toggle",
    "pause": "pause --toggle",
    "discard": "discard",
    "clip": "clip",
    "mark": "mark",
}

#: How long gsettings may take; some hundredths of a second are normal.
_LIMIT_S: Final = 10.0

_SCHEMA: Final = "org.gnome.settings-daemon.plugins.media-keys"
_LIST: Final = "custom-keybindings"
_FOLDER: Final = "/org/gnome/settings-daemon/plugins/media-keys/custom-keybindings/"
_PREFIX: Final = f"{_FOLDER}capture-"

#: Runs capture in a line of a compositor's file.
_OWN_LINE: Final = re.compile(r"^(?!\s*(#|//|<!--)).*\b(capture|cli\.py)\b.*\btoggle\b", re.MULTILINE)


class Line(NamedTuple):
    """A line for a compositor's settings: the hotkey's name, and what to write."""

    name: str
    text: str


def install_entry(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """Write the entry by which the desktop knows this program, unless it has one; return its path, "" if it had one.

    Raises `NotReadyError`.
    """
    if not trouble_with_own_entry(environment):
        return ""
    path = _entry(environment)
    try:
        make_folder(path.parent)
        replace(path, entry_text(command))
    except OSError as error:
        raise NotReadyError(f"cannot write {path} ({error.strerror or error})", "check its permissions") from error
    return str(path)


def remove_entry(environment: Mapping[str, str]) -> bool:
    """Remove the entry of `install_entry`; return whether there was one. Raises `NotReadyError`."""
    path = _entry(environment)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise NotReadyError(f"cannot remove {path} ({error.strerror or error})", "check its permissions") from error
    return True


def _entry(environment: Mapping[str, str]) -> Path:
    return entry_folder(environment) / f"{APP_ID}.desktop"


def lines_for(keys: Mapping[str, str], command: Sequence[str], environment: Mapping[str, str]) -> list[Line]:
    """Return the lines for this desktop's file; none if it has no file. `keys` are bindings, by the hotkeys' names."""
    desktop = desktop_here(environment)
    made = (
        Line(name, settings_line(desktop, key, f"{shlex.join(command)} {COMMANDS[name]}")) for name, key in keys.items()
    )
    return [line for line in made if line.text]


def are_bound(environment: Mapping[str, str]) -> bool | None:
    """Whether the desktop's settings have a key that runs capture; None where that cannot be seen."""
    desktop = desktop_here(environment)
    if desktop is Desktop.GNOME:
        with suppress(NotReadyError):
            return bool(GnomeKeys(environment).bound())
        return None
    path = settings_file(desktop, environment)
    if path is None:
        return None
    with suppress(OSError):
        return _OWN_LINE.search(read_small(path).decode("utf-8", "replace")) is not None
    return False


class GnomeKeys:
    """The custom keys of GNOME's settings. Those of capture have paths of their own; others are never changed."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Raise `NotReadyError` where these settings do not exist."""
        self._environment = dict(environment)
        self._program = shutil.which("gsettings", path=environment.get("PATH"))
        if self._program is None:
            raise NotReadyError("the program gsettings is missing", "bind capture toggle to a key in GNOME's settings")
        self._paths()

    def bound(self) -> dict[str, str]:
        """Return the key of each hotkey of capture that GNOME has, as GNOME writes it."""
        return {
            path.removeprefix(_PREFIX).rstrip("/"): str(_value(self._gsettings("get", self._of(path), "binding")))
            for path in self._paths()
            if path.startswith(_PREFIX)
        }

    def install(self, keys: Mapping[str, str], command: Sequence[str]) -> None:
        """Let each of `keys`, bindings by the names of hotkeys, run capture; in place of those that did before.

        Raises `NotReadyError`; then nothing, or not everything, is bound.
        """
        others = [path for path in self._paths() if not path.startswith(_PREFIX)]
        taken = {_folded(str(_value(self._gsettings("get", self._of(path), "binding")))) for path in others}
        for key in keys.values():
            if not as_gtk(key):
                raise NotReadyError(f"GNOME has no name for the key {key}", "choose another key with capture config")
            if _folded(as_gtk(key)) in taken:
                raise NotReadyError(
                    f"another of GNOME's custom shortcuts has {as_readable(key)}",
                    "choose another key with capture config, or remove that one in GNOME's settings",
                )
        self.remove()
        made = []
        for name, key in keys.items():
            path = f"{_PREFIX}{name}/"
            for setting, text in (
                ("name", f"Capture: {COMMANDS[name]}"),
                ("command", f"{shlex.join(command)} {COMMANDS[name]}"),
                ("binding", as_gtk(key)),
            ):
                self._gsettings("set", self._of(path), setting, _as_variant(text))
            made.append(path)
        self._set_paths([*others, *made])

    def remove(self) -> bool:
        """Take the keys of capture away; return whether there were any. Raises `NotReadyError`."""
        paths = self._paths()
        ours = [path for path in paths if path.startswith(_PREFIX)]
        if ours:
            self._set_paths([path for path in paths if path not in ours])
        for path in ours:
            self._gsettings("reset-recursively", self._of(path))
        return bool(ours)

    def _paths(self) -> list[str]:
        found = _value(self._gsettings("get", _SCHEMA, _LIST))
        return [str(path) for path in found] if isinstance(found, list) else []

    def _set_paths(self, paths: Sequence[str]) -> None:
        self._gsettings("set", _SCHEMA, _LIST, f"[{', '.join(map(_as_variant, paths))}]" if paths else "@as []")

    def _of(self, path: str) -> str:
        return f"{_SCHEMA}.custom-keybinding:{path}"

    def _gsettings(self, *words: str) -> str:
        try:
            done = subprocess.run(
                [self._program or "gsettings", *words],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_LIMIT_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise _unreachable(str(error)) from error
        if done.returncode:
            raise _unreachable((done.stderr.strip().splitlines() or ["no reason given"])[0])
        return done.stdout


def _folded(key: str) -> str:
    """Return a key as GNOME writes it in the form in which two can be compared."""
    return key.lower().replace("<primary>", "<control>")


def _unreachable(reason: str) -> NotReadyError:
    return NotReadyError(
        f"GNOME's settings cannot be reached ({reason})", "bind capture toggle to a key in GNOME's settings"
    )


def _value(text: str) -> object:
    """Return a string or a list of strings that gsettings wrote (GVariant Text Format)."""
    try:
        return ast.literal_eval(text.strip().removeprefix("@as "))
    except (ValueError, SyntaxError):
        return ""


def _as_variant(text: str) -> str:
    """Return `text` as a string literal for gsettings (GVariant Text Format), which otherwise guesses its type."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
