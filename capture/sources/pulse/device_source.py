"""Records a device of PulseAudio or PipeWire: what an output plays, or what a microphone hears, and never another."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from capture.errors import NotReadyError
from capture.events import EventKind
from capture.sources.pulse.loop import Loop
from capture.sources.pulse.reader import FRAGMENT_S, RETRY_S, PulseReader
from capture.sources.pulse.timed_stream import TimestampedStream

__all__ = ["PulseSource"]

#: Between the end of one default device and the choice of the next there is none for a moment. Longer gaps are
#: reported.
NO_DEFAULT_S: Final = 0.5

_STREAM: Final = 0

#: The kinds of device behind `internal` and `mic`.
_KINDS: Final = {"internal": "output", "mic": "microphone"}


class PulseSource(PulseReader):
    """Records the device that `name` selects: `internal` is what the default output plays, `mic` is the default
    microphone, any other name is the source with exactly that id.

    `internal` and `mic` follow the default when it changes; `internal` is never a microphone, and `mic` never what an
    output plays. While there is no such device, or it is suspended, nothing is delivered, and the source waits for it.
    `report` gets what happens to the device, on the thread that reads.
    """

    def __init__(
        self,
        name: str,
        device: str,
        channels: int,
        fragment_s: float = FRAGMENT_S,
        report: Callable[[EventKind, str], None] = lambda kind, detail: None,
    ) -> None:
        super().__init__(name, device, channels, fragment_s)
        self._report = report
        # The id of the source that is recorded; and the name of its device while it is not reported yet.
        self._heard = ""
        self._moving_to: str | None = None
        self._without_since_s = math.inf
        self._is_lost = False

    def _begin(self, loop: Loop, deadline_s: float) -> None:
        loop.watch(outputs=self.name == "internal", inputs=self.name != "internal")
        found = self._find(loop)
        if found is None:
            raise self._missing(loop)
        self._go_to(*found)
        self._await_ready(loop, _STREAM, deadline_s)
        self._await_sound(loop, _STREAM)
        self.device, self._moving_to = found[1], None

    def _attend(self, loop: Loop, now_s: float) -> None:
        heard = self._streams.get(_STREAM)
        if heard is not None and heard.failed:
            self._leave()
            self._look_at_s = now_s if heard.was_ready else now_s + RETRY_S
        elif heard is not None and heard.ready:
            self._report_state(heard)
        if loop.take_changed() or now_s >= self._look_at_s:
            self._look(loop, now_s)

    def _look(self, loop: Loop, now_s: float) -> None:
        """Switch to the device that `name` selects now."""
        self._look_at_s = math.inf
        try:
            found = self._find(loop)
        except TimeoutError:
            self._look_at_s = now_s + RETRY_S
            return
        if found is not None:
            self._without_since_s = math.inf
            if found[0] != self._heard:
                self._leave()
                self._go_to(*found)
            return
        self._leave()
        self._without_since_s = min(self._without_since_s, now_s)
        tell_at_s = self._without_since_s + (NO_DEFAULT_S if self.name in _KINDS else 0.0)
        if now_s < tell_at_s:
            self._look_at_s = tell_at_s
        else:
            self._lose(
                f"there is no {_KINDS[self.name]}; recording silence until there is one"
                if self.name in _KINDS
                else f"{self.device} is gone; recording silence until it is back"
            )

    def _find(self, loop: Loop) -> tuple[str, str] | None:
        """Return the id of the source that `name` selects now and its device's description; None if there is none."""
        if self.name == "internal":
            output = loop.default_output()
            return (output.monitor, output.description) if output is not None and output.monitor else None
        if self.name == "mic":
            microphone = loop.default_microphone()
            return (microphone.name, microphone.description) if microphone is not None else None
        found = loop.input(self.name)
        return (found.name, self.device) if found is not None else None

    def _missing(self, loop: Loop) -> NotReadyError:
        if loop.failed or self.name not in _KINDS:
            return self._refused(loop)
        what = "output to record" if self.name == "internal" else "microphone"
        return NotReadyError(f"there is no {what}", "see capture devices")

    def _go_to(self, source_id: str, device: str) -> None:
        self._heard, self._moving_to = source_id, device
        self._listen(_STREAM, source_id)

    def _leave(self) -> None:
        self._heard = ""
        if _STREAM in self._streams:
            self._drop(_STREAM)

    def _report_state(self, heard: TimestampedStream) -> None:
        """Report what has changed since the last report: another device, suspended, or back."""
        if heard.suspended:
            self._lose(f"{self._moving_to or self.device} is suspended; recording silence until that ends")
            return
        moved_to, self._moving_to = self._moving_to, None
        was_lost, self._is_lost = self._is_lost, False
        self.device = moved_to or self.device
        if was_lost or moved_to is not None:
            self._report(
                EventKind.DEVICE_BACK if was_lost else EventKind.DEVICE_CHANGED, f"{self.name}: now {self.device}"
            )

    def _lose(self, detail: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._report(EventKind.DEVICE_LOST, f"{self.name}: {detail}")
