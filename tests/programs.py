"""Programs around a recorder: those on a PATH, those with priority, and a desk that finds a chosen sound server."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

from capture.virtual.desk import VirtualDesk

__all__ = ["desk_with", "favoured", "path_without_pulseaudio"]

#: What a desk takes without PulseAudio's daemon, and what the tests use.
_PROGRAMS: Final = (
    *("Xvfb", "pipewire", "wireplumber", "pipewire-pulse"),
    *("pactl", "paplay", "sh", "sleep"),
)

#: Less than any other process has.
_FAVOURED: Final = -15


def path_without_pulseaudio(folder: Path) -> str:
    """Fill an empty folder and return it as a PATH on which a desk finds PipeWire as its only sound server."""
    for program in _PROGRAMS:
        (folder / program).symlink_to(shutil.which(program) or program)
    return str(folder)


@contextmanager
def favoured() -> Iterator[None]:
    """Start programs that run before all others, if the user may have that, as sound servers do on a desktop.

    A recorder is judged by what they play. On a machine that is too busy for them, that is not what they say.
    """
    if sys.platform == "win32":
        raise OSError("Windows knows other priorities")
    before = os.getpriority(os.PRIO_PROCESS, 0)
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, _FAVOURED)
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)


@contextmanager
def desk_with(server: str, folder: Path) -> Iterator[VirtualDesk]:
    """Open a small desk whose sound server is `pulseaudio` or `pipewire`; `folder` is an empty one."""
    desk = VirtualDesk(320, 240, window_manager=False)
    with pytest.MonkeyPatch.context() as choosing:
        if server == "pipewire":
            choosing.setenv("PATH", path_without_pulseaudio(folder))
        with favoured():
            desk.open()
    try:
        yield desk
    finally:
        desk.close()
