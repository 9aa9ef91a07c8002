"""Where the settings file is, what was renamed in it, and a quick look at the hotkeys in it for the help."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from capture.errors import UsageError
from capture.system.private_files import read_small
from capture.system.user_folders import user_folder
from capture.triggers.bindings import HOTKEYS, as_readable

__all__ = ["RENAMED", "keys_at_a_glance", "settings_path"]

#: New names of renamed settings, by old name. A file that uses an old name still works.
RENAMED: Final[Mapping[str, str]] = {"hotkeys.toggle": "hotkeys.record", "after_save": "record.after_save"}


def settings_path() -> Path:
    """Return the path of the user's settings. The file need not exist."""
    if sys.platform == "linux" and os.environ.get("HOME"):
        # As platformdirs, which loads `random` and every compressor: 5 ms of each start.
        return user_folder(os.environ, "CONFIG") / "capture" / "settings.toml"
    import platformdirs

    return platformdirs.user_config_path("capture", appauthor=False) / "settings.toml"


def keys_at_a_glance() -> dict[str, str]:
    """Return the key of each hotkey for people to read, "" where it has none, by its name in the settings.

    Reads the file without the modules that check all settings, which take longer than a help text may. Where the file
    has a mistake, the key is the default; `store.load` reports the mistake.
    """
    # Imported here: to load the settings, a file has to exist.
    import tomllib

    try:
        # As `store` reads it: a pipe in its place must not hold up a help text.
        table = tomllib.loads(read_small(settings_path()).decode("utf-8-sig"))["hotkeys"]
    except (OSError, ValueError, KeyError, RuntimeError):
        # RuntimeError: nested too deeply, or a user without a home folder.
        table = {}
    table = table if isinstance(table, dict) else {}
    older = {new: old.rpartition(".")[2] for old, new in RENAMED.items()}
    return {
        hotkey.name: _readable(table.get(hotkey.name, table.get(older.get(f"hotkeys.{hotkey.name}"))), hotkey.key)
        for hotkey in HOTKEYS
    }


def _readable(key: Any, default: str) -> str:
    if key == "":
        return ""
    try:
        return as_readable(key if isinstance(key, str) else default)
    except UsageError:
        return as_readable(default)
