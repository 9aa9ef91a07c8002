"""Records the sound of one application and no other, while the user keeps hearing it."""

from __future__ import annotations

import math
from collections.abc import Callable

from capture.events import EventKind
from capture.media import Attenuation
from capture.sources.pulse.loop import Loop
from capture.sources.pulse.reader import FRAGMENT_S, RETRY_S, PulseReader
from capture.sources.pulse.server_objects import Output, PlayingStream
from capture.sources.sound_devices import is_program, playing_applications

__all__ = ["ApplicationSource"]


class ApplicationSource(PulseReader):
    """Records all streams of the application `application`, on any output, each in its own lane.

    The server copies exactly these streams; nothing is moved or loaded for it. Streams come and go while it reads, and
    one that moves to another output is followed. While none plays, nothing is delivered. `report` learns whether the
    application plays, and whether it is muted or turned down, on the thread that opens and reads.
    """

    def __init__(
        self,
        name: str,
        application: str,
        fragment_s: float = FRAGMENT_S,
        report: Callable[[EventKind, str], None] = lambda kind, detail: None,
    ) -> None:
        super().__init__(name, application, 2, fragment_s, report)
        self._application = application
        self._waits = False

    def _begin(self, loop: Loop, deadline_s: float) -> None:
        self._watch(streams=True)
        self._take_changed()
        playing = loop.playing()
        self._listen_to(loop, playing, 0.0)
        if not self._plays(playing):
            self._waits = True
            others = ", ".join(player.name for player in playing_applications(playing))
            self._report(
                EventKind.WAITING,
                f"{self._application} is not playing yet; waiting for it{f' (playing: {others})' if others else ''}",
            )

    def _attend(self, loop: Loop, now_s: float) -> None:
        for index, heard in tuple(self._streams.items()):
            if heard.failed:
                # The stream ended or moved: before moving a stream the server ends whatever records it.
                self._drop(index)
                self._look_at_s = min(self._look_at_s, now_s if heard.was_ready else now_s + RETRY_S)
        is_new = any(heard.ready and not heard.is_measured for heard in self._streams.values())
        if self._take_changed() or now_s >= self._look_at_s or is_new:
            self._look_at_s = math.inf
            try:
                playing = loop.playing()
                self._listen_to(loop, playing, now_s)
            except TimeoutError:
                self._look_at_s = now_s + RETRY_S
                return
            if self._waits and self._plays(playing):
                self._waits = False
                self._report(EventKind.APPLICATION, f"{self._application} is playing")

    def _plays(self, playing: list[PlayingStream]) -> bool:
        return any(self._is_wanted(stream) and not stream.corked for stream in playing)

    def _is_wanted(self, stream: PlayingStream) -> bool:
        return is_program(stream.properties, self._application)

    def _listen_to(self, loop: Loop, playing: list[PlayingStream], now_s: float) -> None:
        """Open the application's new streams and drop those that ended.

        Paused streams are opened too: once they resume it is too late to catch their beginning.
        """
        wanted = {stream.index: stream for stream in playing if self._is_wanted(stream)}
        for index in self._streams.keys() - wanted.keys():
            self._drop(index)
        outputs = loop.outputs() if wanted else {}
        for index in sorted(wanted.keys() - self._streams.keys()):
            output = outputs.get(wanted[index].output)
            if output is not None and output.monitor:
                self._listen(index, output.monitor, output.positions, only=index)
            else:
                # The stream is just moving between outputs.
                self._look_at_s = now_s + RETRY_S
        self._look_at_volumes(loop, wanted, outputs, now_s)

    def _look_at_volumes(
        self, loop: Loop, wanted: dict[int, PlayingStream], outputs: dict[int, Output], now_s: float
    ) -> None:
        """Find out what mutes or attenuates each stream. The volume of its output does not: it comes after that."""
        ready = {index: heard for index, heard in self._streams.items() if heard.ready}
        monitors = {source.name: source for source in loop.inputs()} if ready else {}
        found: list[Attenuation] = []
        for index, heard in ready.items():
            stream, output = wanted[index], outputs.get(wanted[index].output)
            source = monitors.get(output.monitor) if output is not None else None
            if output is None or source is None:
                continue
            own = stream.control.relative_to(output.control) if output.is_flat else stream.control
            monitor = f"the monitor of {output.description}"
            attenuation = self._measure(heard, source, [(self._application, own), (monitor, source.control)])
            if not stream.corked:
                found.append(attenuation)
        if found:
            # A program that is heard by any of its streams is heard.
            self._volume.note(max(found, key=lambda attenuation: attenuation.gain), now_s)
