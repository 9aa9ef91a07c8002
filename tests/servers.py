"""The servers of a desk as a test has them die and come back, and a stimulus whose moments are known."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from conftest import PROJECT
from running import LIMIT_S, eventually
from stage import module, pactl

from capture.desktop.sockets import listens
from capture.desktop.virtual import VirtualDesk

#: What the microphone of `sound_server` hears.
MICROPHONE_HZ: Final = 1700

MICROPHONE: Final = "microphone"


@contextmanager
def sound_server(desk: VirtualDesk, *outputs: str) -> Iterator[float]:
    """A sound server in the place of the desk's, which is dead, with these outputs and a microphone that always hears a
    tone and is the default input; the moment when it served. The first output is the default.
    """
    folder = Path(desk.environment["XDG_RUNTIME_DIR"])
    script = folder / "again.pa"
    sink = "load-module module-null-sink norewinds=1 rate=48000"
    lines = [f"{sink} sink_name={name} sink_properties=device.description={name}" for name in outputs]
    lines += [f"load-module module-sine-source source_name={MICROPHONE} rate=48000 frequency={MICROPHONE_HZ}"]
    lines += [f"set-default-sink {outputs[0]}", f"set-default-source {MICROPHONE}"] if outputs else []
    socket = desk.environment["PULSE_SERVER"].removeprefix("unix:")
    cookie = desk.environment["PULSE_COOKIE"]
    lines += [f'load-module module-native-protocol-unix socket="{socket}" auth-cookie="{cookie}"']
    script.write_text("\n".join([*lines, ""]), "utf-8")
    state = str(folder / "pulse")
    own = {"HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "PULSE_CONFIG": str(folder / "pulse.conf")}
    own |= {"PULSE_RUNTIME_PATH": state, "PULSE_STATE_PATH": state}
    server = subprocess.Popen(
        ["pulseaudio", "-n", "-F", str(script)],
        env={**desk.environment_of(os.environ), **own},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        eventually(partial(listens, socket), "the sound server to serve")
        yield time.monotonic()
    finally:
        server.kill()
        server.wait()


@contextmanager
def microphone(environment: Mapping[str, str]) -> Iterator[int]:
    """The same microphone on a server that runs; its number."""
    arguments = ("module-sine-source", f"source_name={MICROPHONE}", "rate=48000", f"frequency={MICROPHONE_HZ}")
    with module(environment, *arguments) as number:
        pactl(environment, "set-default-source", MICROPHONE)
        yield number


@dataclass(frozen=True)
class Beacon:
    """Flashes the screen and beeps, at moments that it writes down."""

    log: Path

    def pairs(self) -> npt.NDArray[np.float64]:
        """When each flash was shown and each beep was heard, on the monotonic clock: (n, 2)."""
        lines = self.log.read_text("utf-8").splitlines(keepends=True) if self.log.exists() else []
        whole = [json.loads(line) for line in lines if line.endswith("\n")]
        return np.array([(pair["flash_s"], pair["beep_s"]) for pair in whole], float).reshape(-1, 2)

    def until(self, count: int, after_s: float = 0.0) -> None:
        """Wait until so many pairs from after a moment are over."""
        eventually(lambda: np.count_nonzero(self.pairs() > after_s) >= 2 * count, f"{count} flashes and beeps")


@contextmanager
def beacon(environment: Mapping[str, str], log: Path) -> Iterator[Beacon]:
    """A beacon on the desk of `environment`, to the default output; it ends with the sound server, or the context."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.stimulus.flash_beep", "--log", str(log)],
        env=dict(environment),
        cwd=PROJECT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Beacon(log)
    finally:
        process.kill()
        process.wait(LIMIT_S)
