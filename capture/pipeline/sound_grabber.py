"""Reads a sound source and passes its blocks to the current take.

Each source has one `SoundGrabber`, which runs in the thread of the source from its opening to its end.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from capture.clock import Clock
from capture.media import Samples
from capture.pipeline.device_thread import wake
from capture.sources.protocols import SampleSource
from capture.threads.mailbox import Closed
from capture.timing.timeline import Timeline

__all__ = ["SoundGrabber"]

#: How long to wait after the stop for sound from before it. A device that delivers nothing delays the end by this much.
STRAGGLERS_S: Final = 0.15


class SoundGrabber:
    """Reads one source for all takes, one after another. `run` is the work of a thread.

    During a take, every block is passed on. The last `keep_s` seconds are kept in memory, so that a take can begin with
    sound from before it was requested; with 0, no sound outside a take is kept. `run` also calls `watch` with every
    block.
    """

    def __init__(
        self,
        source: SampleSource,
        clock: Clock,
        *,
        keep_s: float = 0.0,
        watch: Callable[[Samples], None] = lambda samples: None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._keep_s = keep_s
        self._watch = watch
        self._kept: deque[Samples] = deque()
        self._take: _SoundTake | None = None
        self._next_take: _SoundTake | None = None
        self._closed = False

    def begin_take(self, timeline: Timeline, deliver: Callable[[Samples], None]) -> threading.Event:
        """Pass on the blocks from the epoch of `timeline` to its stop. Any thread may call this.

        The returned event is set when no more blocks of the take will come.
        """
        take = self._next_take = _SoundTake(timeline, deliver)
        wake(self._source)
        if self._closed:
            take.ended.set()
        return take.ended

    def wake(self) -> None:
        """Make the thread check the timeline again, which was stopped. Any thread may call this."""
        wake(self._source)

    def close(self) -> None:
        """End `run`. Any thread may call this."""
        self._closed = True
        wake(self._source)

    def run(self) -> None:
        try:
            while not self._closed:
                self._adopt_take()
                samples = self._source.read(self._give_up_s())
                if samples is not None:
                    self._take_in(samples)
                if self._take is not None and self._take.is_over(self._clock.now_s()):
                    self._take.ended.set()
                    self._take = None
        finally:
            self._closed = True
            for take in (self._take, self._next_take):
                if take is not None:
                    take.ended.set()

    def _adopt_take(self) -> None:
        take = self._next_take
        if take is not None:
            # Clear it only if there is one: a take that arrives between the check and the clearing would be lost.
            self._take, self._next_take = take, None
            for samples in self._kept:
                take.take_in(samples)

    def _give_up_s(self) -> float:
        soon_s = self._clock.now_s() + 1.0
        return soon_s if self._take is None else min(soon_s, self._take.timeline.stop_s + STRAGGLERS_S)

    def _take_in(self, samples: Samples) -> None:
        self._watch(samples)
        if self._take is not None:
            self._take.take_in(samples)
        if self._keep_s:
            self._kept.append(samples)
            while self._kept[0].ends_at_s < samples.ends_at_s - self._keep_s:
                self._kept.popleft()


class _SoundTake:
    """One take in progress, as seen by the reading thread."""

    def __init__(self, timeline: Timeline, deliver: Callable[[Samples], None]) -> None:
        self.timeline = timeline
        self._deliver = deliver
        self.ended = threading.Event()
        self._heard_until_s = timeline.epoch_s

    def take_in(self, samples: Samples) -> None:
        try:
            self._deliver(samples)
            self._heard_until_s = samples.ends_at_s
        except Closed:
            # The track has ended; the device goes on for the next take.
            self._heard_until_s = math.inf

    def is_over(self, now_s: float) -> bool:
        """Whether all sound from before the stop has arrived, or the wait for it is over."""
        stop_s = self.timeline.stop_s
        return self._heard_until_s >= stop_s or now_s >= stop_s + STRAGGLERS_S
