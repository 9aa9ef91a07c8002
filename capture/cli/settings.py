"""The verb config: shows and changes the user's settings and autostart."""

from __future__ import annotations

from typing import Final

from capture.cli.parser import Arguments, Verb
from capture.cli.text import complain, printable, say, write, write_json
from capture.errors import UsageError

__all__ = ["VERBS"]


def _config(arguments: Arguments) -> int:
    from capture.config.schema import SETTINGS, as_typed
    from capture.config.settings_file import RENAMED
    from capture.config.store import change, load, unset

    name, values = arguments.setting, arguments.values
    if arguments.remove and name != "bind":
        raise UsageError("--remove goes with bind", "use capture config bind --remove")
    if arguments.unset and (name in (None, "autostart", "bind") or values):
        raise UsageError("--unset takes the name of one setting and no value", "see capture config --help")
    if name == "autostart":
        return _autostart(arguments)
    if name == "bind":
        from capture.cli.key_binding import bind

        return bind(arguments)
    name = RENAMED.get(name, name)
    names = list(SETTINGS) if name is None else [name]
    if values:
        config = change(name, values)
    elif arguments.unset:
        config = unset(name)
        # An unknown setting can be removed from the file too.
        names = [name] if name in SETTINGS else []
    else:
        config = load()
    for note in config.notes:
        complain(note)
    found = config.as_json(names)
    if arguments.json:
        write_json(found)
    elif name is None:
        write(printable(f"{config.path}{'' if config.path.exists() else ' (no such file: all settings are defaults)'}"))
        for each, value in found["settings"].items():
            origin = "chosen " if each in config.chosen else "default"
            write(printable(f"  {each:19} {origin} {as_typed(value) or 'none':16} {SETTINGS[each].about}"))
    elif not names:
        say(arguments, f"removed {name} from the file")
    elif values or arguments.unset:
        say(arguments, f"{name} is {as_typed(found['settings'][name]) or 'none'}")
    else:
        # For scripts: one value a line, and an empty line for an empty value.
        write(as_typed(found["settings"][name], between="\n"))
    return 0


def _autostart(arguments: Arguments) -> int:
    from capture.cli.key_binding import check_autostart
    from capture.config.store import load
    from capture.desktop.autostart import autostart_of_this_system, own_command

    order = " ".join(arguments.values) or "status"
    if order not in ("on", "off", "status"):
        raise UsageError(f"{order!r} is unknown to autostart", "use on, off or status")
    autostart = autostart_of_this_system()
    if order == "on":
        verb = load().autostart_verb
        check_autostart(verb)
        autostart.install([*own_command(), verb])
    elif order == "off":
        autostart.remove()
    entry = autostart.installed()
    if arguments.json:
        write_json({"autostart": {"installed": False} if entry is None else entry.as_json()})
    elif entry is None:
        say(arguments, "off: capture does not start with your session")
    else:
        trouble = f", but {entry.trouble}" if entry.trouble else ""
        say(arguments, f"on: {' '.join(entry.command)} starts with your session ({entry.place}){trouble}")
    return 1 if entry is not None and entry.trouble else 0


VERBS: Final[dict[str, Verb]] = {
    "config": _config,
}
