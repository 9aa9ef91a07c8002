"""Keys that the desktop itself holds: how each desktop writes them, and the line for its settings that runs a command.

Needs no keyboard and no display.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final
from xml.sax.saxutils import quoteattr

from capture.system.user_folders import user_folder
from capture.triggers.bindings import Combination, as_readable, parse
from capture.triggers.keysyms import binding_names

__all__ = ["Desktop", "as_gtk", "as_xdg", "desktop_here", "settings_file", "settings_line", "where_to_set"]


class Desktop(Enum):
    """The desktops of Wayland whose settings for keys are known."""

    GNOME = "GNOME"
    KDE = "KDE"
    SWAY = "sway"
    HYPRLAND = "Hyprland"
    LABWC = "labwc"
    OTHER = "this desktop"


#: What names a desktop where XDG_CURRENT_DESKTOP does not: compositors set these for their programs.
_SIGNS: Final = {
    "SWAYSOCK": Desktop.SWAY,
    "HYPRLAND_INSTANCE_SIGNATURE": Desktop.HYPRLAND,
    "LABWC_PID": Desktop.LABWC,
}

#: Names of keys in xkbcommon, by their names in a binding, where they are not the same with a capital letter.
_KEYSYM_NAMES: Final = {
    **{"space": "space", "enter": "Return", "esc": "Escape", "backspace": "BackSpace", "print_screen": "Print"},
    **{"page_up": "Page_Up", "page_down": "Page_Down"},
    **{"caps_lock": "Caps_Lock", "num_lock": "Num_Lock", "scroll_lock": "Scroll_Lock"},
    **{"media_play_pause": "XF86AudioPlay", "media_stop": "XF86AudioStop", "media_previous": "XF86AudioPrev"},
    **{"media_next": "XF86AudioNext", "media_volume_up": "XF86AudioRaiseVolume"},
    **{"media_volume_down": "XF86AudioLowerVolume", "media_volume_mute": "XF86AudioMute"},
    **{"!": "exclam", '"': "quotedbl", "#": "numbersign", "$": "dollar", "%": "percent", "&": "ampersand"},
    **{"'": "apostrophe", "(": "parenleft", ")": "parenright", "*": "asterisk", "+": "plus", ",": "comma"},
    **{"-": "minus", ".": "period", "/": "slash", ":": "colon", ";": "semicolon", "<": "less", "=": "equal"},
    **{">": "greater", "?": "question", "@": "at", "[": "bracketleft", "\\": "backslash", "]": "bracketright"},
    **{"^": "asciicircum", "_": "underscore", "`": "grave", "{": "braceleft", "|": "bar", "}": "braceright"},
    **{"~": "asciitilde"},
}

_ASCII_END: Final = 0x7F

#: The modifiers of a binding, as each syntax writes them.
_XDG: Final = {"ctrl": "CTRL", "alt": "ALT", "shift": "SHIFT", "cmd": "LOGO"}
_GTK: Final = {"ctrl": "<Control>", "alt": "<Alt>", "shift": "<Shift>", "cmd": "<Super>"}
_SWAY: Final = {"ctrl": "Ctrl", "alt": "Alt", "shift": "Shift", "cmd": "Mod4"}
_HYPRLAND: Final = {"ctrl": "CTRL", "alt": "ALT", "shift": "SHIFT", "cmd": "SUPER"}
_LABWC: Final = {"ctrl": "C-", "alt": "A-", "shift": "S-", "cmd": "W-"}

#: Where compositors without settings in windows read their lines.
_FILES: Final = {
    Desktop.SWAY: "sway/config",
    Desktop.HYPRLAND: "hypr/hyprland.conf",
    Desktop.LABWC: "labwc/rc.xml",
}


def desktop_here(environment: Mapping[str, str]) -> Desktop:
    """Return the desktop of a session."""
    names = environment.get("XDG_CURRENT_DESKTOP", "").lower()
    for desktop in Desktop:
        if desktop.value.lower() in names.split(":"):
            return desktop
    return next((desktop for sign, desktop in _SIGNS.items() if environment.get(sign)), Desktop.OTHER)


def as_xdg(key: str) -> str:
    """Return a key of a binding in the syntax of the XDG shortcuts specification: CTRL+ALT+r; "" if it has none."""
    combination = parse(key)
    name = _keysym_name(combination.key)
    return "+".join((*_modifiers(combination, _XDG), name)) if name else ""


def as_gtk(key: str) -> str:
    """Return a key of a binding as GNOME's settings write it: <Control><Alt>r; "" if it has none."""
    combination = parse(key)
    name = _keysym_name(combination.key)
    return "".join((*_modifiers(combination, _GTK), name)) if name else ""


def settings_line(desktop: Desktop, key: str, command: str) -> str:
    """Return the line for the desktop's settings by which `key`, a binding, runs `command`; "" if it has no file.

    Raises `UsageError` when the key does not exist.
    """
    combination = parse(key)
    name = _keysym_name(combination.key)
    if not name:
        return ""
    match desktop:
        case Desktop.SWAY:
            return f"bindsym {'+'.join((*_modifiers(combination, _SWAY), name))} exec {command}"
        case Desktop.HYPRLAND:
            return f"bind = {' '.join(_modifiers(combination, _HYPRLAND))}, {name}, exec, {command}"
        case Desktop.LABWC:
            keys = "".join((*_modifiers(combination, _LABWC), name))
            return f'<keybind key={quoteattr(keys)}><action name="Execute" command={quoteattr(command)}/></keybind>'
    return ""


def settings_file(desktop: Desktop, environment: Mapping[str, str]) -> Path | None:
    """Return the file that a `settings_line` belongs into; None if the desktop has none."""
    return user_folder(environment, "CONFIG") / _FILES[desktop] if desktop in _FILES else None


def where_to_set(key: str, environment: Mapping[str, str]) -> str:
    """Return in one line how a user lets `key`, a binding, run `capture toggle` on this desktop."""
    desktop = desktop_here(environment)
    line, path = settings_line(desktop, key, "capture toggle"), settings_file(desktop, environment)
    if line and path is not None:
        inside = ", inside <keyboard>" if desktop is Desktop.LABWC else ""
        return f"put {line} into {_shortened(path, environment.get('HOME', ''))}{inside}"
    if desktop is Desktop.GNOME:
        return "run capture config bind, which sets the keys in GNOME's settings"
    where = "System Settings > Keyboard > Shortcuts > Add New" if desktop is Desktop.KDE else "the desktop's settings"
    return f"bind {as_readable(key)} to capture toggle in {where}"


def _shortened(path: Path, home: str) -> str:
    return f"~/{path.relative_to(home)}" if home and path.is_relative_to(home) else str(path)


def _modifiers(combination: Combination, names: Mapping[str, str]) -> list[str]:
    return [name for modifier, name in names.items() if modifier in combination.modifiers]


def _keysym_name(key: str) -> str:
    """Return xkbcommon's name of a key of a binding; "" for a code that types nothing known."""
    if len(key) > 1 and key[0] == "<":
        names = binding_names(int(key[1:-1]))
        return _keysym_name(names[0]) if len(names) > 1 else ""
    if key in _KEYSYM_NAMES:
        return _KEYSYM_NAMES[key]
    if len(key) > 1:
        return key.capitalize()
    return key if ord(key) < _ASCII_END else f"U{ord(key):04X}"
