"""Records a device of PulseAudio or PipeWire: what an output plays, or what a microphone hears, and never another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from capture.errors import NotReadyError
from capture.events import EventKind
from capture.sources.pulse.loop import Loop
from capture.sources.pulse.reader import FRAGMENT_S, RETRY_S, PulseReader
from capture.sources.pulse.server_objects import Input, Output, device_controls, stereo_map
from capture.sources.pulse.timed_stream import TimestampedStream

__all__ = ["PulseSource"]

#: Between the end of one default device and the choice of the next there is none for a moment. Longer gaps are
#: reported.
NO_DEFAULT_S: Final = 0.5

_STREAM: Final = 0

#: The kinds of device behind `internal` and `mic`.
_KINDS: Final = {"internal": "output", "mic": "microphone"}


class _Found(NamedTuple):
    """A device: the exact id of its source, its name for people, and the positions of its channels.

    `output` and `source` are the parts of it that are known already.
    """

    source_id: str
    device: str
    positions: tuple[int, ...]
    output: Output | None = None
    source: Input | None = None


class PulseSource(PulseReader):
    """Records the device that `name` selects: `internal` is what the default output plays, `mic` is the default
    microphone, any other name is the source with exactly that id.

    `internal` and `mic` follow the default when it changes; `internal` is never a microphone, and `mic` never what an
    output plays. While there is no such device, or it is suspended, nothing is delivered, and the source waits for it.
    `report` gets what happens to the device, on the thread that opens and reads. A device that is muted or turned down
    is reported, and named in the `attenuation` of the samples.
    """

    def __init__(
        self,
        name: str,
        device: str,
        channels: int,
        fragment_s: float = FRAGMENT_S,
        report: Callable[[EventKind, str], None] = lambda kind, detail: None,
    ) -> None:
        super().__init__(name, device, channels, fragment_s, report)
        # The id of the source that is recorded; and the name of its device while it is not reported yet.
        self._heard = ""
        self._moving_to: str | None = None
        self._without_since_s = math.inf
        self._is_lost = False
        # Whether the server may move the stream; and whether it never may again.
        self._is_movable = False
        self._is_pinned = False
        # The index of the source that a movable stream recorded last.
        self._recorded: int | None = None

    def _begin(self, loop: Loop, deadline_s: float) -> None:
        # Any other name may be that of a monitor.
        self._watch(outputs=self.name != "mic", inputs=self.name != "internal")
        found = self._find(loop)
        if found is None:
            raise self._missing(loop)
        self._go_to(found)
        self._await_ready(loop, _STREAM, deadline_s)
        # The first samples are still on their way.
        self._look_at_volumes(loop, found, time.monotonic())
        self.device, self._moving_to = found.device, None

    def _attend(self, loop: Loop, now_s: float) -> None:
        heard = self._streams.get(_STREAM)
        if heard is not None and heard.failed:
            self._leave()
            self._look_at_s = now_s if heard.was_ready else now_s + RETRY_S
        elif heard is not None and heard.ready:
            self._report_state(heard)
        is_new = heard is not None and heard.ready and not heard.is_measured
        if self._take_changed() or now_s >= self._look_at_s or is_new:
            self._look(loop, now_s)

    def _look(self, loop: Loop, now_s: float) -> None:
        """Switch to the device that `name` selects now."""
        self._look_at_s = math.inf
        try:
            found = self._find(loop)
            self._note_recorded(loop, now_s)
        except TimeoutError:
            self._look_at_s = now_s + RETRY_S
            return
        if found is not None:
            self._without_since_s = math.inf
            heard = self._streams.get(_STREAM)
            if found.source_id == self._heard:
                self._look_at_volumes(loop, found, now_s)
            elif heard is not None and self._is_movable and self._follows(loop, found):
                self._heard, self._moving_to = found.source_id, found.device
                heard.begin_anew(now_s)
                self._look_at_volumes(loop, found, now_s)
            else:
                self._go_to(found)
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

    def _find(self, loop: Loop) -> _Found | None:
        """Return the device that `name` selects now; None if there is none."""
        if self.name == "internal":
            output = loop.default_output()
            if output is None or not output.monitor:
                return None
            return _Found(output.monitor, output.description, output.positions, output=output)
        source = loop.default_microphone() if self.name == "mic" else loop.input(self.name)
        if source is None:
            return None
        device = source.description if self.name == "mic" else self.device
        return _Found(source.name, device, source.positions, source=source)

    def _look_at_volumes(self, loop: Loop, found: _Found, now_s: float) -> None:
        """Find out what mutes or attenuates the device. Without an answer, what was known stays."""
        heard = self._streams.get(_STREAM)
        if heard is None or not heard.ready:
            return
        try:
            source = found.source or loop.input(found.source_id)
            if source is None:
                return
            output = found.output
            if output is None and source.monitor_of is not None:
                output = loop.outputs().get(source.monitor_of)
            self._volume.note(self._measure(heard, source, device_controls(source, output)), now_s)
        except TimeoutError:
            self._look_at_s = now_s + RETRY_S

    def _missing(self, loop: Loop) -> NotReadyError:
        if loop.failed or self.name not in _KINDS:
            return self._refused(loop)
        what = "output to record" if self.name == "internal" else "microphone"
        return NotReadyError(f"there is no {what}", "see capture devices")

    def _go_to(self, found: _Found) -> None:
        self._heard, self._moving_to = found.source_id, found.device
        self._recorded = None
        self._is_movable = self._loop is not None and self._follows(self._loop, found)
        self._listen(_STREAM, None if self._is_movable else found.source_id, found.positions)

    def _follows(self, loop: Loop, found: _Found) -> bool:
        """Whether the server may move the stream to this default output by itself, together with what plays."""
        is_usual = stereo_map(found.positions) is None
        return self.name == "internal" and is_usual and not self._is_pinned and loop.is_pipewire

    def _note_recorded(self, loop: Loop, now_s: float) -> None:
        """Find out whether the server has moved the stream. Raises `TimeoutError`.

        If somebody has moved it to a microphone, forget what it delivered, and let no other be moved.
        """
        heard = self._streams.get(_STREAM)
        if heard is None or not heard.ready or not self._is_movable:
            return
        before, self._recorded = self._recorded, heard.recorded
        if self._recorded == before or before is None:
            return
        heard.begin_anew(now_s)
        if any(found.index == self._recorded and not found.is_monitor for found in loop.inputs()):
            self._is_pinned, self._heard = True, ""
            self._abandon(_STREAM)

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
