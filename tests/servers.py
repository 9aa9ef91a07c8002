"""The servers of a desk as a test has them die and come back, and a stimulus whose moments are known."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from conftest import PROJECT
from running import LIMIT_S, eventually
from stage import module, pactl

from benchmarks.trials.seen import pairs
from benchmarks.trials.servers import MICROPHONE, MICROPHONE_HZ, sound_server

__all__ = ["MICROPHONE", "MICROPHONE_HZ", "Beacon", "beacon", "microphone", "sound_server"]


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
        return pairs(self.log)

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
