"""Plays clicks on PipeWire and logs when the graph had each of them, by its own clock.

Usage: python -m benchmarks.stimulus.graph_clicks --log FILE   (prints `ready`, then runs until it is ended)

It plays to the default output and hears what that plays. Each line is a moment on the monotonic clock, in seconds.
"""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path
from typing import IO, Final

import numpy as np
import numpy.typing as npt

from benchmarks.stimulus.graph import RATE, Graph

__all__ = ["CLICK_LEVEL", "CLICK_SAMPLES", "INTERVAL_S"]

INTERVAL_S: Final = 0.31
CLICK_LEVEL: Final = 0.8
CLICK_SAMPLES: Final = 240


class _Clicks:
    """Two streams of one connection."""

    def __init__(self, log: IO[str]) -> None:
        self._log = log
        tone = np.sin(2 * np.pi * 1000 * np.arange(CLICK_SAMPLES) / RATE)
        self._click = (CLICK_LEVEL * np.where(np.arange(CLICK_SAMPLES) == 0, 1.0, tone)).astype(np.float32)
        self._next_s = time.monotonic() + INTERVAL_S
        self._quiet_at_s = 0.0
        graph = self._graph = Graph()
        graph.play(self._play)
        graph.hear(self._note)

    def run(self) -> None:
        self._graph.run()

    def _play(self, count: int, _heard_at_s: float) -> npt.NDArray[np.float32]:
        samples = np.zeros(count, np.float32)
        if time.monotonic() >= self._next_s and count >= CLICK_SAMPLES:
            # Anywhere in the cycle, so that no reader profits from where its blocks begin.
            at = int(np.random.default_rng().integers(0, count - CLICK_SAMPLES + 1))
            samples[at : at + CLICK_SAMPLES] = self._click
            self._next_s = time.monotonic() + INTERVAL_S
        return samples

    def _note(self, samples: npt.NDArray[np.float32], began_at_s: float) -> None:
        for place in np.flatnonzero(np.abs(samples) > CLICK_LEVEL / 2):
            at_s = began_at_s + int(place) / RATE
            if at_s > self._quiet_at_s:
                self._log.write(f"{at_s:.6f}\n")
                self._log.flush()
            self._quiet_at_s = at_s + INTERVAL_S / 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True)
    # The loop is in C, where Python handles no signal.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    with parser.parse_args().log.open("w") as log:
        clicks = _Clicks(log)
        print("ready", flush=True)
        clicks.run()


if __name__ == "__main__":
    main()
