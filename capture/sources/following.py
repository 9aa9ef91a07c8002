"""What is heard, on whatever output it is: sound of the default output, also when another one becomes that."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from capture.errors import NotReadyError
from capture.sources.libpulse import Loop, Output
from capture.sources.pulse_stream import FRAGMENT_S, RETRY_S, PulseReader

__all__ = ["FollowingSource"]

#: Between the end of one output and the choice of the next there is none for a moment; longer, and it is said.
NO_OUTPUT_S: Final = 0.5

_STREAM: Final = 0


class FollowingSource(PulseReader):
    """The monitor of the default output, by the very name the server gives it; never a microphone.

    While there is no output it delivers nothing, and waits. `tell` is given the moves, by the thread that reads.
    """

    def __init__(
        self,
        name: str,
        device: str,
        channels: int,
        fragment_s: float = FRAGMENT_S,
        tell: Callable[[str, str], None] = lambda kind, detail: None,
    ) -> None:
        super().__init__(name, device, channels, fragment_s)
        self._tell = tell
        # What is listened to, and what it is called where that is still to be told.
        self._monitor = ""
        self._moving_to: str | None = None
        self._without_since_s = math.inf
        self._said_without = False

    def _begin(self, loop: Loop, deadline_s: float) -> None:
        loop.watch(outputs=True)
        output = loop.default_output()
        if output is None or not output.monitor:
            raise NotReadyError("there is no output whose sound could be recorded", "see capture devices")
        self.device = output.description
        self._go_to(output)
        self._await_ready(loop, _STREAM, deadline_s)
        self._moving_to = None

    def _attend(self, loop: Loop, now_s: float) -> None:
        if loop.failed:
            raise self._gone(loop)
        heard = self._streams.get(_STREAM)
        if heard is not None and heard.failed:
            self._leave()
            self._look_at_s = now_s if heard.was_ready else now_s + RETRY_S
        elif heard is not None and self._moving_to is not None and heard.ready:
            self.device, self._moving_to = self._moving_to, None
            self._tell("device_changed", f"{self.name}: now {self.device}")
        if loop.take_changed() or now_s >= self._look_at_s:
            self._look(loop, now_s)

    def _look(self, loop: Loop, now_s: float) -> None:
        """Go where the default output is now."""
        self._look_at_s = math.inf
        try:
            output = loop.default_output()
        except TimeoutError:
            self._look_at_s = now_s + RETRY_S
            return
        if output is not None and output.monitor:
            self._without_since_s, self._said_without = math.inf, False
            if output.monitor != self._monitor:
                self._leave()
                self._go_to(output)
            return
        self._leave()
        self._without_since_s = min(self._without_since_s, now_s)
        if now_s < self._without_since_s + NO_OUTPUT_S:
            self._look_at_s = self._without_since_s + NO_OUTPUT_S
        elif not self._said_without:
            self._said_without = True
            self._tell("device_changed", f"{self.name}: no output is left; it is silent until there is one")

    def _go_to(self, output: Output) -> None:
        self._monitor, self._moving_to = output.monitor, output.description
        self._listen(_STREAM, output.monitor)

    def _leave(self) -> None:
        self._monitor = ""
        if _STREAM in self._streams:
            self._drop(_STREAM)
