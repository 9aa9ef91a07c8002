"""What all sources of the sound server have in common: a connection, and streams that come and go."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from typing import Final

import numpy as np

from capture.errors import NotReadyError, SourceLostError
from capture.media import Samples
from capture.sources.pulse.loop import Loop
from capture.sources.pulse.streams import RecordStream
from capture.sources.pulse.timed_stream import ARRIVAL_GAP_S, TimestampedStream

__all__ = ["FRAGMENT_S", "RETRY_S", "PulseReader"]

#: How much sound the server sends at once, where nothing else is asked for. A server without hardware renders in pieces
#: of this length, so it is also the grain of the moment at which a program's sound is taken up.
FRAGMENT_S: Final = 0.025

#: A local server answers within milliseconds; one that starts up just now may take this long.
CONNECT_S: Final = 3.0

#: How long the first sound of a device is waited for before a recording may begin: several fragments.
FIRST_SOUND_S: Final = 0.2

#: When to try again what the server refused: it is rearranging its devices, and may not tell when it has.
RETRY_S: Final = 0.3

#: By how much the last fragment of a block may come late. Looked at a little too soon, it would be waited for.
WAVERING_S: Final = 0.003

_REMEDY: Final = "start PulseAudio or PipeWire, or use --audio none"


class PulseReader:
    """A connection to the sound server and the streams that a source listens to, by keys of the source's choice.

    The subclass decides which those are: in `_begin`, once connected, and in `_attend`, whenever something may have
    happened. Blocks are handed on when one has come together, of all lanes, the one that reaches furthest last.
    """

    def __init__(self, name: str, device: str, channels: int, fragment_s: float) -> None:
        self.name = name
        self.device = device
        self.channels = channels
        self._fragment_s = fragment_s
        self._woken = False
        self._rested = threading.Event()
        self._loop: Loop | None = None
        self._streams: dict[int, TimestampedStream] = {}
        self._queue: deque[Samples] = deque()
        #: When `_attend` has to look again although the server told nothing.
        self._look_at_s = math.inf
        # By when this thread meant to look at the streams again.
        self._due_s = -math.inf

    def open(self) -> None:
        """Connect. Raises `NotReadyError` where no server answers or the device refuses, and when it is woken."""
        loop = self._loop = Loop("capture")
        deadline_s = time.monotonic() + CONNECT_S
        while not loop.connected:
            if loop.failed or self._woken or time.monotonic() > deadline_s:
                raise NotReadyError(f"no sound server answers ({loop.error()})", _REMEDY)
            loop.serve(0.1)
        try:
            self._begin(loop, deadline_s)
        except TimeoutError as error:
            raise NotReadyError(str(error), _REMEDY) from error

    def begin(self, epoch_s: float) -> None:
        """Nothing to do: the timeline leaves out what was heard before."""

    def read(self, until_s: float) -> Samples | None:
        """The next 0.25 s, or what came of it until `until_s`; after `wake` also that nothing can come just now.

        Raises `SourceLostError` when the server goes, once all that came of it was read.
        """
        loop = self._loop
        if loop is None:
            raise ValueError("read before open")
        while not self._queue:
            now_s = time.monotonic()
            held_up = now_s > self._due_s + ARRIVAL_GAP_S
            for heard in self._streams.values():
                heard.take_in(now_s, held_up=held_up)
            if loop.failed:
                self._give_up(loop)
                break
            self._attend(loop, now_s)
            over = self._woken or now_s >= until_s
            if over or any(heard.complete for heard in self._streams.values()):
                self._hand_on()
            if over and not self._queue:
                return self._nothing()
            if not self._queue:
                look_at_s = min(until_s, self._look_at_s, *(heard.waits_until_s for heard in self._streams.values()))
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
        """Let a whole block come before its first fragment is looked at: each would wake this thread."""
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
        """Begin to listen. Raises `NotReadyError`."""
        raise NotImplementedError

    def _attend(self, loop: Loop, now_s: float) -> None:
        """Look after the streams: some may have failed, others may be called for."""
        raise NotImplementedError

    def _listen(self, key: int, device: str, *, only: int | None = None) -> None:
        """Begin to listen to the source `device`, or in it to the one stream `only`, in the lowest free lane."""
        if self._loop is None:
            raise ValueError("listening before the connection")
        taken = {heard.lane for heard in self._streams.values()}
        lane = next(lane for lane in range(len(taken) + 1) if lane not in taken)
        stream = RecordStream(self._loop, device, self.channels, self._fragment_s, only=only)
        heard = TimestampedStream(stream, self.channels, lane)
        if self._streams:
            # Said at once, so that the other lanes wait for what comes in this one.
            self._queue.append(heard.break_at(time.monotonic()))
        self._streams[key] = heard

    def _drop(self, key: int) -> None:
        """Listen to it no more; what came of it is handed on."""
        heard = self._streams.pop(key)
        heard.take_in(ends_at_s := time.monotonic())
        while (rest := heard.hand_on(now=True)) is not None:
            self._queue.append(rest)
            ends_at_s = rest.ends_at_s
        heard.close()
        self._queue.append(heard.break_at(ends_at_s))

    def _hand_on(self) -> None:
        found: list[Samples] = []
        for heard in self._streams.values():
            while (samples := heard.hand_on()) is not None:
                found.append(samples)
        self._queue.extend(sorted(found, key=lambda samples: samples.ends_at_s))

    def _nothing(self) -> Samples | None:
        """What there is to say when nothing came: where nothing can come, that up to now there was nothing."""
        woken, self._woken = self._woken, False
        self._due_s = now_s = time.monotonic()
        if not woken or any(heard.ready and not heard.suspended for heard in self._streams.values()):
            return None
        return Samples(np.zeros((0, self.channels), np.float32), now_s)

    def _give_up(self, loop: Loop) -> None:
        """The server is gone: hand on what came of it, and when all of it was, raise."""
        for key in tuple(self._streams):
            self._drop(key)
        if not self._queue:
            raise SourceLostError(f"{self.device} is gone ({loop.error()})")

    def _await_ready(self, loop: Loop, key: int, deadline_s: float) -> None:
        """Serve the loop until the stream runs. Raises `NotReadyError`."""
        heard = self._streams[key]
        while not heard.ready:
            if heard.failed or loop.failed or self._woken or time.monotonic() > deadline_s:
                raise self._refused(loop)
            loop.serve(0.1)

    def _await_sound(self, loop: Loop, key: int) -> None:
        """Serve the loop until the stream delivers, as it does at once unless the device stands still.

        A recording that began before would begin with silence.
        """
        heard, give_up_s = self._streams[key], time.monotonic() + FIRST_SOUND_S
        while not (heard.has_sound or heard.failed or heard.suspended or loop.failed or self._woken):
            left_s = give_up_s - time.monotonic()
            if left_s <= 0.0:
                break
            loop.serve(left_s)

    def _refused(self, loop: Loop) -> NotReadyError:
        return NotReadyError(f"{self.device} cannot be recorded ({loop.error()})", "see capture devices")
