"""Names the packages that contain what capture needs, as the distribution at hand calls them.

Messages that say what to install get the words from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["how_to_install"]

#: How a user installs packages, by package manager.
_COMMANDS: Final = {
    "apt": "apt-get install",
    "dnf": "dnf install",
    "pacman": "pacman -S",
    "zypper": "zypper install",
}

#: The package manager of a distribution, by its ID in os-release, or by one that it says it is like.
_MANAGERS: Final = {
    **dict.fromkeys(("debian", "ubuntu"), "apt"),
    **dict.fromkeys(("fedora", "rhel", "centos"), "dnf"),
    "arch": "pacman",
    **dict.fromkeys(("suse", "opensuse", "sles"), "zypper"),
}

#: The packages that contain a program, a library or a font, by package manager in the order of `_COMMANDS`.
_PACKAGES: Final = {
    "DejaVu": ("fonts-dejavu-core", "dejavu-sans-fonts", "ttf-dejavu", "dejavu-fonts"),
    "Xvfb": ("xvfb", "xorg-x11-server-Xvfb", "xorg-server-xvfb", "xorg-x11-server-Xvfb"),
    "ffmpeg": ("ffmpeg", "ffmpeg-free", "ffmpeg", "ffmpeg"),
    "fontconfig": ("fontconfig", "fontconfig", "fontconfig", "fontconfig"),
    "libfreetype": ("libfreetype6", "freetype", "freetype2", "libfreetype6"),
    "libpipewire": ("libpipewire-0.3-0", "pipewire-libs", "libpipewire", "libpipewire-0_3-0"),
    "libpulse": ("libpulse0", "pulseaudio-libs", "libpulse", "libpulse0"),
    "libxcb": ("libxcb1", "libxcb", "libxcb", "libxcb1"),
    "paplay": ("pulseaudio-utils", "pulseaudio-utils", "libpulse", "pulseaudio-utils"),
    "pipewire": ("pipewire", "pipewire", "pipewire", "pipewire"),
    "pipewire-pulse": ("pipewire-pulse", "pipewire-pulseaudio", "pipewire-pulse", "pipewire-pulseaudio"),
    "pulseaudio": ("pulseaudio", "pulseaudio", "pulseaudio", "pulseaudio"),
    "wl-copy": ("wl-clipboard", "wl-clipboard", "wl-clipboard", "wl-clipboard"),
    "wireplumber": ("wireplumber", "wireplumber", "wireplumber", "wireplumber"),
    "xdg-open": ("xdg-utils", "xdg-utils", "xdg-utils", "xdg-utils"),
    **{
        name: (name,) * 4
        for name in (
            "rclone",
            "slurp",
            "sway",
            "xdg-desktop-portal",
            "xdg-desktop-portal-gnome",
            "xdg-desktop-portal-hyprland",
            "xdg-desktop-portal-kde",
            "xdg-desktop-portal-wlr",
        )
    },
}


def how_to_install(*needed: str) -> str:
    """Return the command that installs what is `needed`, keys of the table above; any thread.

    On a system whose packages are not known, the words say what to install instead.
    """
    manager = _package_manager()
    if manager is None:
        return f"install {' and '.join(needed)}"
    place = tuple(_COMMANDS).index(manager)
    return " ".join((_COMMANDS[manager], *dict.fromkeys(_PACKAGES[name][place] for name in needed)))


def _package_manager() -> str | None:
    # Only needed for an error, and takes a while to load.
    import platform

    try:
        release: Mapping[str, str] = platform.freedesktop_os_release()
    except OSError:
        return None
    names = (release.get("ID", ""), *release.get("ID_LIKE", "").split())
    # The IDs of openSUSE are opensuse-leap, opensuse-tumbleweed and so on.
    return next(
        (_MANAGERS[name] for full in names for name in (full, full.partition("-")[0]) if name in _MANAGERS), None
    )
