"""Flashes the whole screen and beeps at the same moment, at irregular intervals.

Usage: python -m benchmarks.stimulus.flash_beep [--silent-start S] [--clock] [--log FILE] [--seconds S]

The beep goes into a stream that never pauses, at the sample that will be heard at the planned moment; the flash is
painted at that moment. Both moments are then measured and logged, one JSON object per line: `flash_s`, when the X
server had painted the flash or the Wayland desktop showed it, and `beep_s`, when the first sample of the beep was
heard, both on the monotonic clock.
The intervals are irregular, so that no flash is mistaken for its neighbour and the flashes hit the recorder's frame
slots in every phase. A hum under the beeps shows where the sound of a recording begins.
"""

from __future__ import annotations

import json
import math
import os
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
from benchmarks.stimulus.clock_strip import ClockStrip, WaylandClockStrip
from benchmarks.stimulus.player import player
from benchmarks.stimulus.screen import FullScreen
from benchmarks.stimulus.wayland_screen import WaylandScreen

__all__ = ["Beeper", "intervals_s"]

BEEP_LEVEL: Final = 0.5
FLASH_S: Final = 0.1
SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S = 0.7, 1.3

_BLACK, _WHITE = 0x000000, 0xFFFFFF
#: How long after a beep its moment is computed: by then, all readings that count were taken after the beep began.
_LOG_AFTER_S: Final = 0.5
#: Shorter than a frame, so that the clock in a frame is at most a few milliseconds older than the frame.
_TICK_S: Final = 0.008


class Beeper:
    """Renders a hum, and a beep that starts with the sample heard at the planned moment."""

    def __init__(self) -> None:
        self.stream = player(self._render)
        self._planned_s: float | None = None
        self._first_sample: int | None = None

    def plan(self, moment_s: float) -> None:
        """Beep at `moment_s`, which must be later than the part of the stream already written."""
        self._planned_s, self._first_sample = moment_s, None

    @property
    def has_rendered(self) -> bool:
        """Whether the planned moment has been rendered, as it is in time unless the machine is too busy."""
        return self._first_sample is not None

    @property
    def heard_at_s(self) -> float:
        """When the beep was really heard. Raises `RuntimeError` when it has not been rendered yet."""
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
    """Yield the times from one flash to the next; the same seed gives the same times."""
    chance = random.Random(seed)
    while True:
        yield chance.uniform(SHORTEST_INTERVAL_S, LONGEST_INTERVAL_S)


def flash_and_beep(
    screen: FullScreen | WaylandScreen,
    beeper: Beeper,
    wait_until: Callable[[float], None],
    seed: int,
    end_s: float,
    log: TextIO | None,
) -> None:
    """Flash and beep until `end_s`, and log each pair after it is over."""
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
        # Leave out pairs whose moments are uncertain; judges only look for logged pairs.
        if log is not None and beeper.stream.is_steady and beeper.has_rendered:
            pair = {"flash_s": flash_s, "beep_s": beeper.heard_at_s}
            if not any(map(math.isnan, pair.values())):
                print(json.dumps(pair), file=log, flush=True)


def ticking(tick: Callable[[], None], pump_until: Callable[[float], None]) -> Callable[[float], None]:
    """Return a `pump_until` that works in steps and ticks the clock in between."""

    def wait_until(moment_s: float) -> None:
        while (left_s := moment_s - time.monotonic()) > _TICK_S:
            tick()
            pump_until(moment_s - left_s + _TICK_S)
        pump_until(moment_s)

    return wait_until


def main() -> None:
    parser = argument_parser(__doc__)
    parser.add_argument("--silent-start", type=float, default=0.0, metavar="S", help="no sound stream for S seconds")
    parser.add_argument("--clock", action="store_true", help="also show a running clock")
    parser.add_argument("--seed", type=int, default=1, help="seed for the intervals")
    parser.add_argument("--log", type=Path, help="file for the true moments")
    options = parser.parse_args()
    end_s = time.monotonic() + options.seconds
    with ExitStack() as closing:
        log = closing.enter_context(options.log.open("w")) if options.log else None
        screen: FullScreen | WaylandScreen = WaylandScreen() if os.environ.get("WAYLAND_DISPLAY") else FullScreen()
        closing.enter_context(screen)
        if options.silent_start > 0:
            announce_ready()
            time.sleep(options.silent_start)
        beeper = Beeper()
        closing.enter_context(beeper.stream)
        beeper.stream.pump_until_steady()
        wait_until: Callable[[float], None] = beeper.stream.pump_until
        if options.clock:
            clock = WaylandClockStrip(screen) if isinstance(screen, WaylandScreen) else ClockStrip(screen)
            wait_until = ticking(clock.tick, wait_until)
        if options.silent_start <= 0:
            wait_until(time.monotonic() + 2 * _TICK_S)
            announce_ready()
        flash_and_beep(screen, beeper, wait_until, options.seed, end_s, log)


if __name__ == "__main__":
    main()
