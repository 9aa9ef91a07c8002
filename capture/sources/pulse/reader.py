"""The base of all sources on the sound server: a connection, and streams that come and go."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

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

#: How long to wait for the second connection. The server has answered the first one, which is enough to record.
BELL_S: Final = 0.5

#: How long to wait for a device's first sound before a recording may begin: several fragments.
FIRST_SOUND_S: Final = 0.2

#: When to retry what the server refused: it is rearranging its devices, and may not report when it is done.
RETRY_S: Final = 0.3

#: How late the last fragment of a block may be. Looking a little too early would mean waiting a second time.
WAVERING_S: Final = 0.003

#: How long a device that is left goes on being recorded until the next one delivers, which takes some hundredths of a
#: second. What it delivers is handed on no later, and has to come before silence takes its place.
SUCCESSION_S: Final = 0.3

#: What the streams of this program are called in messages.
_OWN_STREAM: Final = "capture's own stream"

_REMEDY: Final = "start PulseAudio or PipeWire, or use --audio none"


class _Leaving(NamedTuple):
    """A stream that is recorded until the one that succeeds it delivers, or until `ends_at_s`."""

    heard: TimestampedStream
    ends_at_s: float


class PulseReader:
    """A connection to the sound server and the streams that a source records, by keys of the source's choice.

    The subclass chooses the streams: in `_begin`, once connected, and in `_attend`, whenever something may have
    happened. Once a block is complete, all lanes hand on theirs, the one that reaches furthest last. `report` gets the
    events, on the thread that opens and reads.

    There is a second connection, on which the server reports changes only. On the first, each fragment of sound would
    end the rest until a block is complete. A server that takes no more clients refuses the second one; changes are then
    noticed with the next block.
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
        self._loop: Loop | None = None
        self._bell: Loop | None = None
        self._streams: dict[int, TimestampedStream] = {}
        self._leaving: dict[int, _Leaving] = {}
        self._queue: deque[Samples] = deque()
        #: When `_attend` has to look again even if the server reports nothing.
        self._look_at_s = math.inf
        # When this thread meant to look at the streams again.
        self._due_s = -math.inf

    def open(self) -> None:
        """Connect. Raises `NotReadyError` if no server answers, the device refuses, or `wake` is called meanwhile."""
        deadline_s = time.monotonic() + CONNECT_S
        loop = self._loop = Loop("capture")
        self._await_connection(loop, deadline_s)
        if not loop.connected:
            raise NotReadyError(loop.absence(), _REMEDY)
        bell = self._bell = Loop("capture")
        self._await_connection(bell, min(deadline_s, time.monotonic() + BELL_S))
        try:
            self._begin(loop, deadline_s)
        except TimeoutError as error:
            raise NotReadyError(str(error), _REMEDY) from error

    @property
    def _loops(self) -> list[Loop]:
        """Both connections, as far as there are any."""
        return [loop for loop in (self._loop, self._bell) if loop is not None]

    @property
    def _all_heard(self) -> list[TimestampedStream]:
        """What is recorded, and what is recorded until its successor delivers."""
        return [*self._streams.values(), *(leaving.heard for leaving in self._leaving.values())]

    def _await_connection(self, loop: Loop, deadline_s: float) -> None:
        """Serve the loop until it is connected, or that has failed, or `wake` was called."""
        while not (loop.connected or loop.failed or self._woken or time.monotonic() > deadline_s):
            loop.serve(0.1)

    def settle(self) -> bool:
        """Serve the loop until a stream delivers, which it does at once unless it is paused or its device suspended.

        A recording that began earlier would begin with silence. The server keeps what comes from then on.
        """
        loop, give_up_s = self._loop, time.monotonic() + FIRST_SOUND_S
        if loop is None:
            raise ValueError("settle before open")
        while (left_s := give_up_s - time.monotonic()) > 0.0 and not (loop.failed or self._woken):
            coming = [heard for heard in self._streams.values() if not (heard.failed or heard.suspended)]
            if not coming or any(heard.has_sound for heard in coming):
                break
            loop.serve(left_s)
        return True

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
            for heard in self._all_heard:
                heard.take_in(now_s, held_up=held_up)
            for key in tuple(self._leaving):
                self._succeed(key, now_s)
            if loop.failed:
                self._give_up(loop)
                break
            self._attend(loop, now_s)
            if now_s >= self._volume.due_s:
                self._volume.settle()
            over = self._woken or now_s >= until_s
            if over or any(heard.complete for heard in self._streams.values()):
                self._hand_on()
            if over:
                # What follows is cut where this ends.
                for leaving in self._leaving.values():
                    self._queue.extend(leaving.heard.rest())
            if over and not self._queue:
                return self._nothing()
            if not self._queue:
                waits_s = (heard.waits_until_s for heard in self._streams.values())
                asks_s = (heard.ask_at_s for heard in self._streams.values())
                ends_s = (leaving.ends_at_s for leaving in self._leaving.values())
                look_at_s = min(until_s, self._look_at_s, self._volume.due_s, *waits_s, *asks_s, *ends_s)
                self._due_s = max(now_s, look_at_s)
                self._rest(look_at_s)
                loop.serve(look_at_s - time.monotonic())
        self._due_s = time.monotonic()
        return self._queue.popleft()

    def wake(self) -> None:
        self._woken = True
        for loop in self._loops:
            loop.wake()

    def _rest(self, until_s: float) -> None:
        """Sleep until a whole block has arrived, or the server reports a change.

        Otherwise each fragment of the block would wake this thread.
        """
        if self._bell is None:
            return
        complete_in_s = min((heard.complete_in_s for heard in self._streams.values()), default=0.0)
        rest_s = min(complete_in_s + WAVERING_S, until_s - time.monotonic())
        if complete_in_s > self._fragment_s and not self._leaving:
            self._bell.serve(rest_s)
        elif not self._streams:
            # Without a stream there is no rest, maybe for hours, and the server would keep all reports.
            self._bell.serve(0.0)

    def close(self) -> None:
        for heard in self._all_heard:
            heard.close()
        for loop in self._loops:
            loop.close()

    def _begin(self, loop: Loop, deadline_s: float) -> None:
        """Open the first streams. Raises `NotReadyError`."""
        raise NotImplementedError

    def _attend(self, loop: Loop, now_s: float) -> None:
        """Look after the streams: some may have failed, others may be needed."""
        raise NotImplementedError

    def _watch(self, *, outputs: bool = False, inputs: bool = False, streams: bool = False) -> None:
        """Make `_take_changed` report changes, as `Loop.watch` does."""
        for loop in self._loops:
            loop.watch(outputs=outputs, inputs=inputs, streams=streams)

    def _take_changed(self) -> bool:
        """Whether anything watched may have changed since the last call; always True at first."""
        # Each has its own account of the changes, and both are taken.
        changes = [loop.take_changed() for loop in self._loops]
        return any(changes)

    def _listen(self, key: int, device: str | None, positions: tuple[int, ...], *, only: int | None = None) -> None:
        """Record the source `device`, or only the stream `only` in it, in the lowest free lane.

        `positions` are those of the device's channels. `device` None is what the default output plays, on PipeWire.
        A stream that is recorded under this key goes on until the new one delivers, in the same lane.

        Raises `TimeoutError`.
        """
        if self._loop is None:
            raise ValueError("listening before the connection")
        before = self._streams.get(key)
        taken = {heard.lane for heard in self._streams.values()}
        lane = before.lane if before is not None else next(n for n in range(len(taken) + 1) if n not in taken)
        has_cycles = self._loop.is_pipewire
        channel_map = stereo_map(positions) if self.channels == 2 else None
        stream = RecordStream(self._loop, device, self.channels, self._fragment_s, only=only, channel_map=channel_map)
        heard = TimestampedStream(stream, self.channels, lane, has_cycles=has_cycles)
        if before is not None:
            self._leave_behind(key, before)
        elif self._streams:
            # Announce the lane at once, so that the others wait for its sound.
            self._queue.append(heard.break_at(time.monotonic()))
        self._streams[key] = heard

    def _leave_behind(self, key: int, before: TimestampedStream) -> None:
        if key in self._leaving:
            # It has not delivered yet, and is left already.
            before.close()
        else:
            self._leaving[key] = _Leaving(before, time.monotonic() + SUCCESSION_S)

    def _succeed(self, key: int, now_s: float) -> None:
        """Close the stream that is left, if its successor delivers or takes too long, and hand on what came before."""
        (before, ends_at_s), after = self._leaving[key], self._streams.get(key)
        begins_at_s = after.begins_at_s if after is not None else None
        if begins_at_s is None and now_s < ends_at_s and not before.failed and after is not None and not after.failed:
            return
        del self._leaving[key]
        self._end(before, math.inf if begins_at_s is None else begins_at_s)

    def _drop(self, key: int) -> None:
        """Close a stream, and hand on what it delivered."""
        heard = self._streams.pop(key)
        if key in self._leaving:
            self._succeed(key, math.inf)
        heard.take_in(time.monotonic())
        self._end(heard)

    def _end(self, heard: TimestampedStream, until_s: float = math.inf) -> None:
        """Close a stream, and hand on what it delivered from before `until_s`."""
        ends_at_s = time.monotonic()
        for rest in heard.rest(until_s):
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
        import numpy as np

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

    def _refused(self, loop: Loop) -> NotReadyError:
        return NotReadyError(f"{self.device} cannot be recorded ({loop.error()})", "see capture devices")
