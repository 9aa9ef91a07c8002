"""Starts the virtual desk on which recorders are measured."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from capture.virtual.desk import VirtualDesk

__all__ = ["HEIGHT", "WIDTH", "Desk", "fresh_desk"]

#: The size of its screen.
WIDTH, HEIGHT = 1920, 1080


@dataclass(frozen=True, slots=True)
class Desk:
    """The environment in which a recorder and a stimulus run, and the name of the default sink."""

    environment: dict[str, str]
    sink: str


@contextmanager
def fresh_desk(plain_sink: bool = False, *, on_wayland: bool = False) -> Iterator[Desk]:
    """Start a virtual desk with an unused sink.

    With `plain_sink`, that is PulseAudio's own null sink, which renders nothing during its first two seconds. The
    screen is Xvfb's or, `on_wayland`, that of sway, where X11 programs draw through Xwayland.
    """
    with VirtualDesk(WIDTH, HEIGHT, window_manager=False, kind="wayland" if on_wayland else "x11") as virtual:
        environment = virtual.environment_of(os.environ)
        sink = virtual.sink
        if plain_sink:
            sink = "plain"
            for command in (["load-module", "module-null-sink", f"sink_name={sink}"], ["set-default-sink", sink]):
                subprocess.run(["pactl", *command], env=environment, check=True, stdout=subprocess.DEVNULL)
        yield Desk(environment, sink)
