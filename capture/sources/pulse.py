"""Sound from PulseAudio or PipeWire: what one output plays (its monitor), or what a microphone hears."""

from __future__ import annotations

from capture.sources.libpulse import Loop
from capture.sources.pulse_stream import FRAGMENT_S, PulseReader

__all__ = ["PulseSource"]


class PulseSource(PulseReader):
    """One source of the sound server, by its exact id; never any other. `fragment_s` is sent at once."""

    def __init__(self, name: str, device_id: str, device: str, channels: int, fragment_s: float = FRAGMENT_S) -> None:
        super().__init__(name, device, channels, fragment_s)
        self._device_id = device_id

    def _begin(self, loop: Loop, deadline_s: float) -> None:
        self._listen(0, self._device_id)
        self._await_ready(loop, 0, deadline_s)

    def _attend(self, loop: Loop, now_s: float) -> None:
        if not self._streams:
            raise self._gone(loop)
        if self._streams[0].failed:
            # What came of it is read first.
            self._drop(0)
