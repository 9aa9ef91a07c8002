"""capture config bind: lets keys of a Wayland desktop run capture, or says what to write into its settings."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from capture.cli.parser import Arguments
from capture.cli.text import complain, printable, say, write, write_json
from capture.errors import NotReadyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from capture.events import Command

__all__ = ["bind", "check_autostart"]


def bind(arguments: Arguments) -> int:
    """Run `config bind`, or undo it with `--remove`, and return the exit code."""
    from capture.config.store import hotkeys, load

    if arguments.values:
        raise UsageError(f"{arguments.values[0]!r} follows bind", "use capture config bind, or add --remove")
    config = load()
    bindings = hotkeys(config)
    if arguments.remove:
        found = _remove(arguments)
    elif _is_wayland():
        from capture.desktop.key_bindings import COMMANDS

        keys = {name: str(key) for name in COMMANDS if (key := config[f"hotkeys.{name}"])}
        found = _bind(arguments, keys, bindings, config.hold)
    else:
        say(arguments, "nothing to do: outside Wayland capture has its hotkeys by itself")
        found = _as_json()
    if arguments.json:
        write_json({"bind": found})
    return 0


def _as_json(by: str | None = None, file: str | None = None, lines: Sequence[str] = ()) -> dict[str, Any]:
    """Return what scripts rely on: by what keys are bound, if they are, or the lines for a file of the user's."""
    return {"bound": by is not None, "by": by, "file": file, "lines": list(lines)}


def _is_wayland() -> bool:
    from capture.system.desktop_kind import has_wayland_desktop

    return has_wayland_desktop(os.environ)


def _bind(
    arguments: Arguments, keys: Mapping[str, str], bindings: Mapping[str, Command], hold: str | None
) -> dict[str, Any]:
    from capture.desktop.autostart import own_command
    from capture.desktop.key_bindings import COMMANDS, GnomeKeys, install_entry, lines_for
    from capture.triggers.bindings import as_readable
    from capture.triggers.desktop_keys import Desktop, desktop_here, settings_file

    command = own_command()
    if _by_portal():
        entry = install_entry(command, os.environ)
        if entry:
            say(arguments, f"wrote {entry}, by which the desktop knows capture")
        if _asked(arguments, bindings, hold):
            if desktop_here(os.environ) is Desktop.GNOME:
                # Where both have the keys, each press would count twice.
                with suppress(NotReadyError):
                    if GnomeKeys(os.environ).remove():
                        say(arguments, "removed the keys of capture from GNOME's custom shortcuts")
            return _as_json("portal")
    if not keys:
        raise UsageError("no hotkey is set", "set one, like capture config hotkeys.record '<ctrl>+<alt>+r'")
    if desktop_here(os.environ) is Desktop.GNOME:
        GnomeKeys(os.environ).install(keys, command)
        for name, key in keys.items():
            say(arguments, f"{as_readable(key)} runs capture {COMMANDS[name]}")
        return _as_json("gsettings")
    lines, path = lines_for(keys, command, os.environ), settings_file(desktop_here(os.environ), os.environ)
    if not lines or path is None:
        raise NotReadyError(
            f"the settings of {desktop_here(os.environ).value} cannot be changed from here",
            f"bind {as_readable(next(iter(keys.values())))} to capture toggle in them",
        )
    inside = ", inside <keyboard>" if path.suffix == ".xml" else ""
    complain(f"put these lines into {path}{inside}, and reload it:")
    if not arguments.json:
        for line in lines:
            write(printable(line.text))
    return _as_json(file=str(path), lines=[line.text for line in lines])


def _asked(arguments: Arguments, bindings: Mapping[str, Command], hold: str | None) -> bool:
    """Let the desktop ask about the keys now: with the first recording, its dialog would be in the picture.

    Return whether it gave any. Raises `NotReadyError` if the user does not want that.
    """
    from capture.events import Command
    from capture.triggers.global_shortcuts import CancelledError
    from capture.triggers.portal_hotkeys import PortalHotkeys

    hotkeys = PortalHotkeys(bindings, hold, lambda command, given_by, **more: None, lambda kind, text: complain(text))
    try:
        hotkeys.ask_once()
    except CancelledError as error:
        raise NotReadyError(error.message, "capture config bind asks again") from error
    except NotReadyError as error:
        complain(f"the desktop gives no keys ({error.message})")
    key = hotkeys.keys.get(Command.TOGGLE)
    if key is not None:
        say(arguments, f"{key} starts and stops a recording")
    return bool(hotkeys.keys)


def _remove(arguments: Arguments) -> dict[str, Any]:
    from capture.desktop.key_bindings import GnomeKeys, are_bound, remove_entry
    from capture.triggers.desktop_keys import Desktop, desktop_here, settings_file

    removed = remove_entry(os.environ)
    if sys.platform == "linux" and desktop_here(os.environ) is Desktop.GNOME:
        keys: GnomeKeys | None = None
        # Where these settings do not exist, nothing of ours is in them: newer GNOMEs give the keys by their portal.
        with suppress(NotReadyError):
            keys = GnomeKeys(os.environ)
        removed |= keys is not None and keys.remove()
    path = settings_file(desktop_here(os.environ), os.environ)
    if path and are_bound(os.environ):
        complain(f"the lines with capture in {path} are yours to remove")
    say(arguments, "removed what config bind had set" if removed else "nothing was bound")
    return {**_as_json(), "removed": removed}


def _by_portal() -> bool:
    from capture.triggers.portal_hotkeys import describe

    try:
        describe(os.environ)
    except NotReadyError:
        return False
    return True


def check_autostart(verb: str) -> None:
    """Raise `NotReadyError` where a recorder that starts with this session could hear no key; nothing is touched."""
    from capture.desktop.autostart import own_command
    from capture.desktop.key_bindings import are_bound, install_entry
    from capture.triggers.bindings import HOTKEYS
    from capture.triggers.desktop_keys import where_to_set

    if not _is_wayland():
        return
    if _by_portal():
        install_entry(own_command(), os.environ)
        return
    how = where_to_set(HOTKEYS[0].key, os.environ)
    match are_bound(os.environ):
        case False:
            raise NotReadyError(f"{verb} would hear no key in this Wayland session", f"first {how}")
        case None:
            complain(f"{verb} hears no key in this Wayland session by itself: {how}")
