"""A PATH with chosen programs only, and a desk that finds a chosen sound server on it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from capture.virtual.desk import VirtualDesk

__all__ = ["desk_with", "path_without_pulseaudio"]

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


@contextmanager
def desk_with(server: str, folder: Path) -> Iterator[VirtualDesk]:
    """Open a small desk whose sound server is `pulseaudio` or `pipewire`; `folder` is an empty one."""
    desk = VirtualDesk(320, 240, window_manager=False)
    with pytest.MonkeyPatch.context() as choosing:
        if server == "pipewire":
            choosing.setenv("PATH", path_without_pulseaudio(folder))
        desk.open()
    try:
        yield desk
    finally:
        desk.close()
