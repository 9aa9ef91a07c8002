"""The base of all sources on the sound server: a connection, and streams that come and go."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from capture.errors import NotReadyError, SourceLostError
from capture.events import EventKind
from capture.media import Attenuation, Samples
from capture.sources.pulse.loop import Loop
from capture.sources.pulse.server_objects import Input, VolumeControl, attenuation_of, stereo_map
from capture.sources.pulse.streams import RecordStream
from capture.sources.pulse.timed_stream import ARRIVAL_GAP_S, TimestampedStream
from capture.sources.pulse.volume_report import VolumeReport

__all__ = ["FRAGMENT_S", "RETRY_S", "PulseReader"]

#: How much sound the server sends at once by default. A server without hardware renders in pieces of this length, so it
#: also limits how precisely the start of a program's sound is caught.
FRAGMENT_S: Final = 0.025

#: How long to wait for the server: it answers within milliseconds, but one that is starting may take this long.
CONNECT_S: Final = 3.0

#: How long to wait for a device's first sound before a recording may begin: several fragments.
FIRST_SOUND_S: Final = 0.2

#: When to retry what the server refused: it is rearranging its devices, and may not report when it is done.
RETRY_S: Final = 0.3

#: How late the last fragment of a block may be. Looking a little too early would mean waiting a second time.
WAVERING_S: Final = 0.003

#: What the streams of this program are called in messages.
_OWN_STREAM: Final = "capture's own stream"

_REMEDY: Final = "start PulseAudio or PipeWire, or use --audio none"


class PulseReader:
    """A connection to the sound server and the streams that a source records, by keys of the source's choice.

    The subclass chooses the streams: in `_begin`, once connected, and in `_attend`, whenever something may have
    happened. Once a block is complete, all lanes hand on theirs, the one that reaches furthest last. `report` gets the
    events, on the thread that opens and reads.
    """

    def __init__(
        self,
        name: str,
        device: str,
        channels: int,
        fragment_s: float,
        report: Callable[[EventKind, str], None],
    ) -> None:
        self.name = name
        self.device = device
        self.channels = channels
        self._fragment_s = fragment_s
        self._report = report
        self._volume = VolumeReport(name, report)
        self._woken = False
        self._rested = threading.Event()
        self._loop: Loop | None = None
        self._streams: dict[int, TimestampedStream] = {}
        self._queue: deque[Samples] = deque()
        #: When `_attend` has to look again even if the server reports nothing.
        self._look_at_s = math.inf
        # When this thread meant to look at the streams again.
        self._due_s = -math.inf

    def open(self) -> None:
        """Connect. Raises `NotReadyError` if no server answers, the device refuses, or `wake` is called meanwhile."""
        loop = self._loop = Loop("capture")
        deadline_s = time.monotonic() + CONNECT_S
        while not loop.connected:
            if loop.failed or self._woken or time.monotonic() > deadline_s:
                raise NotReadyError(loop.absence(), _REMEDY)
            loop.serve(0.1)
        try:
            self._begin(loop, deadline_s)
        except TimeoutError as error:
            raise NotReadyError(str(error), _REMEDY) from error

    def begin(self, epoch_s: float) -> None:
        """Do nothing: the timeline drops what was heard before."""

    def read(self, until_s: float) -> Samples | None:
        """Return the next 0.25 s, or as much as came until `until_s`; after `wake` maybe an empty block.

        Raises `SourceLostError` once the server is gone and everything it delivered was read.
        """
        loop = self._loop
        if loop is None:
            raise ValueError("read before open")
        # However late it is, what has come until now is read.
        loop.serve(0.0)
        while not self._queue:
            now_s = time.monotonic()
            held_up = now_s > self._due_s + ARRIVAL_GAP_S
            for heard in self._streams.values():
                heard.take_in(now_s, held_up=held_up)
            if loop.failed:
                self._give_up(loop)
                break
            self._attend(loop, now_s)
            if now_s >= self._volume.due_s:
                self._volume.settle()
            over = self._woken or now_s >= until_s
            if over or any(heard.complete for heard in self._streams.values()):
                self._hand_on()
            if over and not self._queue:
                return self._nothing()
            if not self._queue:
                waits_s = (heard.waits_until_s for heard in self._streams.values())
                asks_s = (heard.ask_at_s for heard in self._streams.values())
                look_at_s = min(until_s, self._look_at_s, self._volume.due_s, *waits_s, *asks_s)
                self._due_s = max(now_s, look_at_s)
                self._rest(look_at_s)
                loop.serve(look_at_s - time.monotonic())
        self._due_s = time.monotonic()
        return self._queue.popleft()

    def wake(self) -> None:
        self._woken = True
        self._rested.set()
        if self._loop is not None:
            self._loop.wake()

    def _rest(self, until_s: float) -> None:
        """Sleep until a whole block has arrived: otherwise each of its fragments would wake this thread."""
        complete_in_s = min((heard.complete_in_s for heard in self._streams.values()), default=0.0)
        rest_s = min(complete_in_s + WAVERING_S, until_s - time.monotonic())
        if complete_in_s > self._fragment_s and rest_s > 0.0:
            self._rested.wait(rest_s)
            self._rested.clear()

    def close(self) -> None:
        for heard in self._streams.values():
            heard.close()
        if self._loop is not None:
            self._loop.close()

    def _begin(self, loop: Loop, deadline_s: float) -> None:
        """Open the first streams. Raises `NotReadyError`."""
        raise NotImplementedError

    def _attend(self, loop: Loop, now_s: float) -> None:
        """Look after the streams: some may have failed, others may be needed."""
        raise NotImplementedError

    def _listen(self, key: int, device: str | None, positions: tuple[int, ...], *, only: int | None = None) -> None:
        """Record the source `device`, or only the stream `only` in it, in the lowest free lane.

        `positions` are those of the device's channels. `device` None is what the default output plays, on PipeWire.
        Raises `TimeoutError`.
        """
        if self._loop is None:
            raise ValueError("listening before the connection")
        taken = {heard.lane for heard in self._streams.values()}
        lane = next(lane for lane in range(len(taken) + 1) if lane not in taken)
        has_cycles = self._loop.is_pipewire
        channel_map = stereo_map(positions) if self.channels == 2 else None
        stream = RecordStream(self._loop, device, self.channels, self._fragment_s, only=only, channel_map=channel_map)
        heard = TimestampedStream(stream, self.channels, lane, has_cycles=has_cycles)
        if self._streams:
            # Announce the lane at once, so that the others wait for its sound.
            self._queue.append(heard.break_at(time.monotonic()))
        self._streams[key] = heard

    def _drop(self, key: int) -> None:
        """Close a stream, and hand on what it delivered."""
        heard = self._streams.pop(key)
        heard.take_in(ends_at_s := time.monotonic())
        while (rest := heard.hand_on(now=True)) is not None:
            self._queue.append(rest)
            ends_at_s = rest.ends_at_s
        heard.close()
        self._queue.append(heard.break_at(ends_at_s))

    def _abandon(self, key: int) -> None:
        """Close a stream, and forget what was not handed on."""
        heard = self._streams.pop(key)
        heard.close()
        self._queue.append(heard.break_at(time.monotonic()))

    def _measure(
        self, heard: TimestampedStream, source: Input, controls: Iterable[tuple[str, VolumeControl]]
    ) -> Attenuation:
        """Stamp the stream's next blocks with what `controls` and its own volume do to them; return that.

        Raises `TimeoutError`.
        """
        own = heard.control(source)
        heard.attenuation = attenuation_of([*controls, *([(_OWN_STREAM, own)] if own is not None else [])])
        return heard.attenuation

    def _hand_on(self) -> None:
        found: list[Samples] = []
        for heard in self._streams.values():
            while (samples := heard.hand_on()) is not None:
                found.append(samples)
        self._queue.extend(sorted(found, key=lambda samples: samples.ends_at_s))

    def _nothing(self) -> Samples | None:
        """Return an empty block for now if nothing can arrive and `wake` asked; otherwise None."""
        woken, self._woken = self._woken, False
        self._due_s = now_s = time.monotonic()
        if not woken or any(heard.ready and not heard.suspended for heard in self._streams.values()):
            return None
        return Samples(np.zeros((0, self.channels), np.float32), now_s)

    def _give_up(self, loop: Loop) -> None:
        """Hand on what the dead server delivered. Raises `SourceLostError` once all of it was read."""
        for key in tuple(self._streams):
            self._drop(key)
        if not self._queue:
            raise SourceLostError(f"{self.device} is gone ({loop.error()})")

    def _await_ready(self, loop: Loop, key: int, deadline_s: float) -> None:
        """Serve the loop until the stream is ready. Raises `NotReadyError`."""
        heard = self._streams[key]
        while not heard.ready:
            if heard.failed or loop.failed or self._woken or time.monotonic() > deadline_s:
                raise self._refused(loop)
            loop.serve(0.1)

    def _await_sound(self, loop: Loop, key: int) -> None:
        """Serve the loop until the stream delivers, which it does at once unless the device is suspended.

        A recording that began earlier would begin with silence.
        """
        heard, give_up_s = self._streams[key], time.monotonic() + FIRST_SOUND_S
        while not (heard.has_sound or heard.failed or heard.suspended or loop.failed or self._woken):
            left_s = give_up_s - time.monotonic()
            if left_s <= 0.0:
                break
            loop.serve(left_s)

    def _refused(self, loop: Loop) -> NotReadyError:
        return NotReadyError(f"{self.device} cannot be recorded ({loop.error()})", "see capture devices")
