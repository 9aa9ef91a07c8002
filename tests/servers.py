"""Sound servers that tests kill and restart, a microphone, and a beacon that flashes and beeps at known moments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pytest
from conftest import PROJECT
from programs import favoured
from running import LIMIT_S, eventually
from stage import module, pactl

from benchmarks.trials.seen import pairs
from benchmarks.trials.servers import MICROPHONE, MICROPHONE_HZ, sound_server

__all__ = [
    "MICROPHONE",
    "MICROPHONE_HZ",
    "ON_BOTH_SERVERS",
    "Beacon",
    "beacon",
    "is_pipewire",
    "microphone",
    "sound_server",
]

#: For tests that use `sound_desk`: once on PulseAudio, once on PipeWire.
ON_BOTH_SERVERS: Final = pytest.mark.parametrize("sound_desk", ["pulseaudio", "pipewire"], indirect=True)


def is_pipewire(environment: Mapping[str, str]) -> bool:
    """Whether the sound server is PipeWire's, not PulseAudio's daemon."""
    return "(on PipeWire" in pactl(environment, "info")


@contextmanager
def microphone(environment: Mapping[str, str]) -> Iterator[int]:
    """Add the microphone to a running sound server and make it the default source; yield its module index."""
    arguments = ("module-sine-source", f"source_name={MICROPHONE}", "rate=48000", f"frequency={MICROPHONE_HZ}")
    with module(environment, *arguments) as number:
        pactl(environment, "set-default-source", MICROPHONE)
        yield number


@dataclass(frozen=True)
class Beacon:
    """Flashes the screen and beeps, and logs the moments."""

    log: Path

    def pairs(self) -> npt.NDArray[np.float64]:
        """Return when each flash was shown and each beep was heard, on the monotonic clock: (n, 2) float64."""
        return pairs(self.log)

    def until(self, count: int, after_s: float = 0.0) -> None:
        """Wait until `count` pairs later than `after_s` are over."""
        eventually(lambda: np.count_nonzero(self.pairs() > after_s) >= 2 * count, f"{count} flashes and beeps")


@contextmanager
def beacon(environment: Mapping[str, str], log: Path) -> Iterator[Beacon]:
    """Run a beacon on the desk of `environment`, on the default output, until the context or the sound server ends."""
    with favoured():
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
