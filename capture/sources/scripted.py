"""Devices that follow a script: known pictures at known times, sound with known delays, and loss on demand.

They fit the protocols of real devices and run on any `Clock`. On a `SteppedClock` a recording of them is the same every
time. All times in a script are seconds since the recording began; before `begin` they count from construction::

    clock = SteppedClock()
    screen = ScriptedFrames(clock, [(0.0, blue), (1.5, green)], lost_at_s=10.0)
    sound = ScriptedSamples("internal", clock, [ScriptedBlock(beep, heard_at_s=1.5, late_s=0.2)])
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from capture.clock import Clock
from capture.errors import SourceLostError
from capture.media import SAMPLE_RATE, Frame, Pixels, SampleArray, Samples

__all__ = ["ScriptedBlock", "ScriptedFrames", "ScriptedSamples"]


class ScriptedFrames:
    """Delivers a picture that changes at given times; the source is lost from `lost_at_s` on.

    `changes` holds (seconds, pixels) in order, all pictures of one size. The first picture is there from the start. A
    grab takes `grab_s` and shows the picture as it was when the grab began. With `late_s`, a picture comes that much
    after it was shown, and its frame has the moment at which it was.
    """

    def __init__(
        self,
        clock: Clock,
        changes: Sequence[tuple[float, Pixels]],
        *,
        grab_s: float = 0.0,
        late_s: float = 0.0,
        lost_at_s: float = math.inf,
    ) -> None:
        self._clock = clock
        # When each picture comes.
        self._moments_s = [at_s + late_s for at_s, _ in changes]
        self._pictures = [pixels for _, pixels in changes]
        self._grab_s = grab_s
        self._late_s = late_s
        self._lost_at_s = lost_at_s
        self._epoch_s = clock.now_s()
        self._grabbed: int | None = None
        self._woken = threading.Event()
        self.height, self.width = self._pictures[0].shape[:2]
        #: How many frames were grabbed.
        self.grabs = 0

    def open(self) -> None: ...

    def begin(self, epoch_s: float) -> None:
        self._epoch_s = epoch_s

    def wait_for_change(self, until_s: float) -> bool:
        while not self._differs():
            if self._clock.now_s() >= until_s:
                return False
            woken = self._clock.wait_until(min(until_s, self._differs_from_s()), self._woken)
            self._woken.clear()
            if woken:
                return self._differs()
        return True

    def grab(self) -> Frame:
        now_s = self._clock.now_s()
        self.idle()
        self._grabbed = self._shown()
        self.grabs += 1
        came_s = self._on_clock_s(self._moments_s[self._grabbed])
        frame = Frame(self._pictures[self._grabbed].copy(), came_s - self._late_s if self._late_s else now_s)
        self._clock.wait_until(now_s + self._grab_s, threading.Event())
        return frame

    def idle(self) -> None:
        if self._is_lost():
            raise SourceLostError("the scripted screen is gone")

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None: ...

    def _shown(self) -> int:
        """Return the index of the current picture."""
        return max(0, bisect_right(self._moments_s, self._clock.now_s(), key=self._on_clock_s) - 1)

    def _is_lost(self) -> bool:
        return self._clock.now_s() >= self._on_clock_s(self._lost_at_s)

    def _differs(self) -> bool:
        return self._is_lost() or self._shown() != self._grabbed

    def _differs_from_s(self) -> float:
        """Return when the current picture ends, as a time on the clock."""
        later_s = self._moments_s[self._shown() + 1 :]
        return self._on_clock_s(min([self._lost_at_s, *later_s]))

    def _on_clock_s(self, moment_s: float) -> float:
        return self._epoch_s + moment_s


@dataclass(frozen=True, slots=True)
class ScriptedBlock:
    """Sound heard at a known time: float32 (n, channels). It is delivered `late_s` after its last sample."""

    data: SampleArray
    heard_at_s: float
    late_s: float = 0.0

    @property
    def delivered_at_s(self) -> float:
        return self.heard_at_s + len(self.data) / SAMPLE_RATE + self.late_s


class ScriptedSamples:
    """Delivers sound block by block, in the order given; the device is lost from `lost_at_s` on."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        blocks: Iterable[ScriptedBlock],
        *,
        channels: int = 2,
        lost_at_s: float = math.inf,
    ) -> None:
        self.name = name
        self.device = f"scripted {name}"
        self.channels = channels
        self._clock = clock
        self._blocks = iter(blocks)
        self._next = next(self._blocks, None)
        self._lost_at_s = lost_at_s
        self._epoch_s = clock.now_s()
        self._woken = threading.Event()

    def open(self) -> None: ...

    def begin(self, epoch_s: float) -> None:
        self._epoch_s = epoch_s

    def read(self, until_s: float) -> Samples | None:
        block = self._next
        delivered_s = self._epoch_s + (math.inf if block is None else block.delivered_at_s)
        lost_s = self._epoch_s + self._lost_at_s
        if self._clock.now_s() < min(delivered_s, lost_s):
            self._clock.wait_until(min(until_s, delivered_s, lost_s), self._woken)
            self._woken.clear()
        now_s = self._clock.now_s()
        if block is not None and delivered_s <= min(now_s, lost_s):
            self._next = next(self._blocks, None)
            return Samples(block.data, self._epoch_s + block.heard_at_s)
        if now_s >= lost_s:
            raise SourceLostError(f"the device {self.device} is gone")
        return None

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None: ...
