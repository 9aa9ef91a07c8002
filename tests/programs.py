"""A PATH with chosen programs only."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

__all__ = ["path_without_pulseaudio"]

#: What a desk takes without PulseAudio's daemon, and what the tests use.
_PROGRAMS: Final = (
    *("Xvfb", "pipewire", "wireplumber", "pipewire-pulse"),
    *("pactl", "paplay", "sh", "sleep"),
)


def path_without_pulseaudio(folder: Path) -> str:
    """Fill an empty folder and return it as a PATH on which a desk finds PipeWire as its only sound server."""
    for program in _PROGRAMS:
        (folder / program).symlink_to(shutil.which(program) or program)
    return str(folder)
