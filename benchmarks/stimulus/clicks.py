"""Plays clicks on PulseAudio's default output and logs when each is heard, by the server's own account.

Usage: python -m benchmarks.stimulus.clicks --log FILE   (prints `ready`, then runs until it is ended)

Each line is a moment on the monotonic clock, in seconds. For PipeWire, whose account is coarse, see `graph_clicks`.
"""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.stimulus.graph_clicks import CLICK_LEVEL, CLICK_SAMPLES, INTERVAL_S
from benchmarks.stimulus.player import LATENCY_S
from benchmarks.stimulus.pulse import PlaybackStream

#: The distance of the clicks, in samples of 48 kHz.
_PERIOD: Final = round(INTERVAL_S * 48_000)


def _render(first: int, count: int) -> npt.NDArray[np.float32]:
    places = np.arange(first, first + count) % _PERIOD
    tone = np.where(places == 0, 1.0, np.sin(2 * np.pi * 1000 * places / 48_000))
    return (CLICK_LEVEL * tone * (places < CLICK_SAMPLES)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with parser.parse_args().log.open("w") as log, PlaybackStream(_render, LATENCY_S) as stream:
        stream.pump_until_steady()
        print("ready", flush=True)
        number = stream.written // _PERIOD + 1
        while True:
            at_s = stream.heard_at_s(number * _PERIOD)
            stream.pump_until(at_s + 0.05)
            log.write(f"{stream.heard_at_s(number * _PERIOD):.6f}\n")
            log.flush()
            number = max(number + 1, stream.index_heard_at(time.monotonic()) // _PERIOD + 1)


if __name__ == "__main__":
    main()
