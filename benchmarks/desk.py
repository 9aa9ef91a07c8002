"""Starts the virtual desk on which recorders are measured, or takes the desktop of this session."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args
from unittest.mock import patch

from capture.virtual.desk import VirtualDesk

__all__ = ["DESKS", "HEIGHT", "WIDTH", "Desk", "DeskKind", "fresh_desk", "without_pulseaudio"]

#: A virtual desk of X11 or of sway, or the session in which the benchmark runs.
DeskKind: TypeAlias = Literal["x11", "sway", "here"]
DESKS: Final = get_args(DeskKind)

#: The size of its screen.
WIDTH, HEIGHT = 1920, 1080


@dataclass(frozen=True, slots=True)
class Desk:
    """The environment in which a recorder and a stimulus run, the name of the default sink, and the screen's size."""

    environment: dict[str, str]
    sink: str
    size: tuple[int, int] = (WIDTH, HEIGHT)


@contextmanager
def fresh_desk(
    plain_sink: bool = False,
    *,
    kind: DeskKind = "x11",
    on_pipewire: bool = False,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    monitors: int = 1,
) -> Iterator[Desk]:
    """Start a virtual desk with an unused sink, or yield the desktop of this session for the kind `here`.

    With `plain_sink`, that is PulseAudio's own null sink, which renders nothing during its first two seconds. The
    screen is Xvfb's or that of sway, where X11 programs draw through Xwayland; Xvfb's can be divided into equal
    `monitors`, side by side. The sound server is PulseAudio, where it is installed, or PipeWire.
    """
    if kind == "here":
        yield Desk(dict(os.environ), _default_sink())
        return
    with tempfile.TemporaryDirectory() as folder:
        path = without_pulseaudio(Path(folder, "bin")) if on_pipewire else os.environ["PATH"]
        virtual = VirtualDesk(*size, window_manager=False, kind="wayland" if kind == "sway" else "x11")
        with patch.dict(os.environ, {"PATH": path}):
            virtual.open()
        try:
            environment = virtual.environment_of(os.environ)
            sink = virtual.sink
            if plain_sink:
                sink = "plain"
                for command in (["load-module", "module-null-sink", f"sink_name={sink}"], ["set-default-sink", sink]):
                    subprocess.run(["pactl", *command], env=environment, check=True, stdout=subprocess.DEVNULL)
            if monitors > 1:
                _divide(environment, size, monitors)
            yield Desk(environment, sink, size)
        finally:
            virtual.close()


def without_pulseaudio(folder: Path) -> str:
    """Return a PATH on which PulseAudio's daemon is not found, made of links in the new `folder`."""
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(place).glob("*"):
            link = folder / program.name
            link.unlink(missing_ok=True)
            if program.name != "pulseaudio":
                link.symlink_to(program)
    return str(folder)


def _divide(environment: dict[str, str], size: tuple[int, int], monitors: int) -> None:
    width, height = size[0] // monitors, size[1]
    for number in range(monitors):
        # In pixels and in millimetres. The first one has Xvfb's only output.
        area = f"{width}/{width // 4}x{height}/{height // 4}+{number * width}+0"
        argv = ["xrandr", "--setmonitor", f"monitor-{number}", area, "none" if number else "screen"]
        subprocess.run(argv, env=environment, check=True, stdout=subprocess.DEVNULL)


def _default_sink() -> str:
    found = subprocess.run(["pactl", "get-default-sink"], capture_output=True, text=True, check=True)
    return found.stdout.strip()
