"""Plays to the default output of PulseAudio or PipeWire."""

from __future__ import annotations

import time
from typing import Final

from capture.errors import NotReadyError, SourceLostError
from capture.media import SampleArray
from capture.recordings.sound_file import CHANNELS
from capture.sources.pulse.loop import Loop
from capture.sources.pulse.streams import PlaybackStream

__all__ = ["PulsePlayer"]

#: How long to wait for the server. A local one answers within milliseconds; one that is just starting may take longer.
CONNECT_S: Final = 3.0

#: The longest wait for one answer of the server; the answer or `wake` ends it sooner.
WAIT_S: Final = 0.1

#: How often `drain` asks whether everything was heard.
DRAIN_INTERVAL_S: Final = 0.01

#: How long the last of what was written may take to be heard: some tenths of a second, over radio as well. An output
#: that is suspended would keep it for ever.
DRAIN_LIMIT_S: Final = 5.0

#: An output that stops takes back what it rendered ahead, but its monitor has already handed out up to a fragment of
#: 25 ms of that, so a recorder hears it this much longer (up to 24 ms were measured with PulseAudio's null sink).
MONITOR_S: Final = 0.03


class PulsePlayer:
    """Plays to the output that is the default when it is opened, as a stream called `name` in the desktop's mixer."""

    def __init__(self, name: str = "capture preview") -> None:
        self._name = name
        self._loop: Loop | None = None
        self._stream: PlaybackStream | None = None
        self._played = False
        self._woken = False

    def open(self) -> None:
        loop = self._loop = Loop("capture")
        deadline_s = time.monotonic() + CONNECT_S
        while not loop.connected and not self._woken:
            if loop.failed or time.monotonic() > deadline_s:
                raise NotReadyError(loop.absence(), "start PulseAudio or PipeWire")
            loop.serve(WAIT_S)
        if self._woken:
            return
        stream = self._stream = PlaybackStream(loop, self._name, CHANNELS)
        while not stream.ready and not self._woken:
            if stream.failed or loop.failed or time.monotonic() > deadline_s:
                raise NotReadyError(f"cannot play to the default output ({loop.error()})", "see capture doctor")
            loop.serve(WAIT_S)

    def play(self, samples: SampleArray) -> None:
        loop, stream = self._opened()
        while len(samples) and not self._woken:
            taken = stream.write(samples)
            samples = samples[taken:]
            self._played = self._played or taken > 0
            if stream.failed or loop.failed:
                raise SourceLostError(f"the output is gone ({loop.error()})")
            if len(samples):
                loop.serve(WAIT_S)

    def drain(self) -> None:
        loop, stream = self._opened()
        deadline_s = time.monotonic() + DRAIN_LIMIT_S
        while not self._woken and not stream.drained() and time.monotonic() < deadline_s:
            loop.serve(DRAIN_INTERVAL_S)

    def wake(self) -> None:
        self._woken = True
        if self._loop is not None:
            self._loop.wake()

    def stop(self) -> float:
        left_s = self._stream.stop() if self._stream is not None else 0.0
        return left_s + MONITOR_S if self._played else 0.0

    def heard_s(self) -> float:
        return self._stream.heard_s() if self._stream is not None else 0.0

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._loop is not None:
            self._loop.close()

    def _opened(self) -> tuple[Loop, PlaybackStream]:
        if self._loop is None or self._stream is None:
            raise ValueError("play before open")
        return self._loop, self._stream
