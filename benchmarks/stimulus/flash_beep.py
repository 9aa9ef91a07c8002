"""Flashes the whole screen and beeps at the same moment, at irregular intervals.

Usage: python -m benchmarks.stimulus.flash_beep [--silent-start S] [--clock] [--log FILE] [--seconds S]

The beep is placed into a stream that never pauses, at the sample that will be heard at the planned moment; the flash is
painted at that moment. Both moments are then measured and logged, one JSON object a line: `flash_s`, when the X server
had painted it, and `beep_s`, when its first sample was heard, both on the monotonic clock. The intervals are irregular
so that flashes cannot be taken for their neighbours, and meet the recorder's frame slots in every phase. A hum lies
under the beeps, so that a recording shows where its sound begins.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TextIO

import numpy as np
import numpy.typing as npt

from benchmarks.onsets import BEEP_HZ, BEEP_S, HUM_HZ, HUM_LEVEL
from benchmarks.stimulus import announce_ready, argument_parser
from benchmarks.stimulus.clock_strip import ClockStrip
from benchmarks.stimulus.pulse import PlaybackStream
from benchmarks.stimulus.screen import FullScreen

__all__ = ["Beeper", "intervals_s"]

BEEP_LEVEL: Final = 0.5
FLASH_S: Final = 0.1
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.7, 1.3

_BLACK, _WHITE = 0x000000, 0xFFFFFF
#: How long after a beep its moment is asked for: by then every reading that counts was taken while it was under way.
_LOG_AFTER_S: Final = 0.5
#: Finer than a frame, so that what the clock shows is older than the frame's own moment by a few milliseconds at most.
_TICK_S: Final = 0.008


class Beeper:
    """Renders a hum, and a beep beginning with the sample that is heard at the planned moment."""

    def __init__(self) -> None:
        self.stream = PlaybackStream(self._render)
        self._planned_s: float | None = None
        self._first_sample: int | None = None

    def plan(self, moment_s: float) -> None:
        """Beep at `moment_s`, which must lie further ahead than the stream has been written."""
        self._planned_s, self._first_sample = moment_s, None

    @property
    def heard_at_s(self) -> float:
        """When the beep was really heard."""
        if self._first_sample is None:
            raise RuntimeError("the planned moment has not been rendered yet")
        return self.stream.heard_at_s(self._first_sample)

    def _render(self, first: int, count: int) -> npt.NDArray[np.float32]:
        indices = np.arange(first, first + count)
        samples = HUM_LEVEL * np.sin(2 * np.pi * HUM_HZ / self.stream.rate * indices)
        if self._planned_s is not None and self._first_sample is None:
            due = max(first, self.stream.index_heard_at(self._planned_s))
            if due < first + count:
                self._first_sample = due
        if self._first_sample is not None:
            into_beep_s = (indices - self._first_sample) / self.stream.rate
            sounding = (into_beep_s >= 0) & (into_beep_s < BEEP_S)
            samples[sounding] += BEEP_LEVEL * np.sin(2 * np.pi * BEEP_HZ * into_beep_s[sounding])
        return np.asarray(samples, np.float32)


def intervals_s(seed: int) -> Iterator[float]:
    """The times from one flash to the next, the same for the same seed."""
    chance = random.Random(seed)
    while True:
        yield chance.uniform(SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S)


def flash_and_beep(
    screen: FullScreen, beeper: Beeper, wait_until: Callable[[float], None], seed: int, end_s: float, log: TextIO | None
) -> None:
    """Go on until `end_s`, logging each pair once it is over."""
    moment_s = time.monotonic()
    for interval_s in intervals_s(seed):
        moment_s += interval_s
        if moment_s > end_s:
            return
        beeper.plan(moment_s)
        wait_until(moment_s)
        flash_s = screen.fill(_WHITE)
        wait_until(moment_s + FLASH_S)
        screen.fill(_BLACK)
        wait_until(moment_s + _LOG_AFTER_S)
        # What cannot be told for certain is left out, and nobody asks for it.
        if log is not None and beeper.stream.is_steady:
            print(json.dumps({"flash_s": flash_s, "beep_s": beeper.heard_at_s}), file=log, flush=True)


def ticking(clock: ClockStrip, pump_until: Callable[[float], None]) -> Callable[[float], None]:
    """`pump_until` in steps between which the clock goes on."""

    def wait_until(moment_s: float) -> None:
        while (left_s := moment_s - time.monotonic()) > _TICK_S:
            clock.tick()
            pump_until(moment_s - left_s + _TICK_S)
        pump_until(moment_s)

    return wait_until


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--silent-start", type=float, default=0.0, metavar="S", help="no sound stream for S seconds")
    parser.add_argument("--clock", action="store_true", help="show a running clock as well")
    parser.add_argument("--seed", type=int, default=1, help="decides the intervals")
    parser.add_argument("--log", type=Path, help="where the true moments are written")
    options = parser.parse_args()
    end_s = time.monotonic() + options.seconds
    with ExitStack() as closing:
        log = closing.enter_context(options.log.open("w")) if options.log else None
        screen = closing.enter_context(FullScreen())
        if options.silent_start > 0:
            announce_ready()
            time.sleep(options.silent_start)
        beeper = Beeper()
        closing.enter_context(beeper.stream)
        beeper.stream.pump_until_steady()
        wait_until: Callable[[float], None] = beeper.stream.pump_until
        if options.clock:
            wait_until = ticking(ClockStrip(screen), wait_until)
        if options.silent_start <= 0:
            wait_until(time.monotonic() + 2 * _TICK_S)
            announce_ready()
        flash_and_beep(screen, beeper, wait_until, options.seed, end_s, log)


if __name__ == "__main__":
    main()
