"""Reads a sound source and passes its blocks to the current take.

Each source has one `SoundGrabber`, which runs in the thread of the source from its opening to its end.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from capture.clock import Clock
from capture.media import Samples, bounded
from capture.pipeline.device_thread import wake
from capture.sources.protocols import SampleSource
from capture.threads.mailbox import Closed
from capture.timing.timeline import Timeline

__all__ = ["Heard", "Quiet", "SoundGrabber"]

#: How long to wait after the stop for sound from before it. A device that delivers nothing delays the end by this much.
STRAGGLERS_S: Final = 0.15

#: How often a take learns that its device delivers nothing, and how often a device is looked at between takes.
QUIET_S: Final = 0.3
_IDLE_S: Final = 1.0


class Quiet(NamedTuple):
    """The device has delivered nothing, except for the blocks passed on before, until this time on the clock.

    Only the thread that reads the device can know: on a busy machine it may not have run for a while.
    """

    until_s: float


#: What a take gets from a source.
Heard: TypeAlias = Samples | Quiet


class SoundGrabber:
    """Reads one source for all takes, one after another. `run` is the work of a thread.

    Every block of every source passes through here, so no later stage sees a sample that is not finite or beyond
    `LOUDEST`: one would end an encoder, or the process.

    During a take, every block is passed on, and a `Quiet` whenever nothing came for `QUIET_S`. The last `keep_s`
    seconds are kept in memory, so that a take can begin with sound from before it was requested; with 0, no sound
    outside a take is kept. `run` also calls `watch` with every block.
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
        #: How often the source was read; the number stays while the device hangs.
        self.reads = 0

    def begin_take(self, timeline: Timeline, deliver: Callable[[Heard], None]) -> threading.Event:
        """Pass on what is heard from the epoch of `timeline` to its stop. Any thread may call this.

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
                until_s = self._give_up_s()
                samples = self._source.read(until_s)
                if samples is not None:
                    self._take_in(samples)
                elif self._take is not None and self._clock.now_s() >= until_s:
                    self._take.pass_on(Quiet(until_s))
                self.reads += 1
                if self._take is not None and self._take.is_over:
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
            take.read_from_s = self._clock.now_s()
            for samples in self._kept:
                take.pass_on(samples)

    def _give_up_s(self) -> float:
        now_s = self._clock.now_s()
        if self._take is None:
            return now_s + _IDLE_S
        # A short take may end before its sound, which the source has kept, is read for the first time.
        last_s = max(self._take.timeline.stop_s + STRAGGLERS_S, self._take.read_from_s + QUIET_S)
        return min(now_s + QUIET_S, last_s)

    def _take_in(self, samples: Samples) -> None:
        data, replaced = bounded(samples.data)
        if replaced:
            samples = replace(samples, data=data, replaced=replaced)
        self._watch(samples)
        if self._take is not None:
            self._take.pass_on(samples)
        if self._keep_s:
            self._kept.append(samples)
            while self._kept[0].ends_at_s < samples.ends_at_s - self._keep_s:
                self._kept.popleft()


class _SoundTake:
    """One take in progress, as seen by the reading thread."""

    def __init__(self, timeline: Timeline, deliver: Callable[[Heard], None]) -> None:
        self.timeline = timeline
        self._deliver = deliver
        self.ended = threading.Event()
        #: When the source was first read for it.
        self.read_from_s = timeline.epoch_s
        # Up to when sound was heard, and up to when nothing more came.
        self._heard_until_s = self._quiet_until_s = timeline.epoch_s

    def pass_on(self, heard: Heard) -> None:
        if isinstance(heard, Quiet):
            self._quiet_until_s = heard.until_s
        else:
            self._heard_until_s = heard.ends_at_s
        try:
            self._deliver(heard)
        except Closed:
            # The track has ended; the device goes on for the next take.
            self._heard_until_s = math.inf

    @property
    def is_over(self) -> bool:
        """Whether all sound from before the stop has arrived, or the wait for it is over.

        The time alone is not enough: while this thread did not run, the sound waited for it.
        """
        stop_s = self.timeline.stop_s
        return self._heard_until_s >= stop_s or self._quiet_until_s >= stop_s + STRAGGLERS_S
