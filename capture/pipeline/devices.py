"""The sources of a session: chosen, opened side by side, and kept open from take to take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from capture.clock import Clock
from capture.event_kinds import EventKind
from capture.media import Samples
from capture.pipeline.device_thread import DeviceThread
from capture.pipeline.sound_grabber import SoundGrabber
from capture.settings import RecordSettings
from capture.sources.chooser import Sources
from capture.sources.protocols import FrameSource, SampleSource

__all__ = ["DeviceSet", "SoundInput"]

#: A device that takes longer to close is left alone; its thread ends with the process.
DEVICE_END_S: Final = 3.0

#: How long samples from before a take are kept, when the take may turn out to have begun already: as long as it takes
#: to be sure of a sound, and the moment before it. When one take follows the other, the next may begin while the last
#: one is being finished.
KEPT_S: Final = 1.5
KEPT_MEANWHILE_S: Final = 10.0


class SoundInput(NamedTuple):
    """A source of sound, its thread, and the grabber that reads it on that thread."""

    source: SampleSource
    device: DeviceThread
    grabber: SoundGrabber


class DeviceSet:
    """`choose`, `open` and `begin` in this order, then `close`; each may take as long as a device does.

    `report` takes the kind and the detail of what happens to a source. `end` is called with the reason when a source
    has come to its end and the recording ends with it. `listener` makes a callable that gets every block of one source
    of sound; None when sound neither begins nor ends a take.
    """

    def __init__(
        self,
        settings: RecordSettings,
        clock: Clock,
        sources: Sources,
        *,
        report: Callable[[EventKind, str], None],
        on_failure: Callable[[str, BaseException], None],
        end: Callable[[str], None] = lambda reason: None,
        listener: Callable[[], Callable[[Samples], None]] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._chooser = sources
        self._report = report
        self._on_failure = on_failure
        self._end = end
        self._listener = listener
        self._sources: list[list[SampleSource]] = []
        self._devices: list[DeviceThread] = []
        self._begun = False
        self._closed = False
        # `close` may come while another thread is in `open`.
        self._changing = threading.Lock()
        #: The source of frames and its thread; None when no picture is recorded.
        self.frames: FrameSource | None = None
        self.screen: DeviceThread | None = None
        #: The inputs of each audio track.
        self.sounds: list[list[SoundInput]] = []
        #: How the picture's size differs from what was asked for; "" when it does not.
        self.size_note = ""

    def choose(self) -> None:
        """Find the sources. Raises `UsageError` for one that does not exist, `NotReadyError` when none can be had."""
        self.frames, self.size_note = self._chooser.choose_frames(self._settings, self._clock, self._report, self._end)
        self._sources = self._chooser.choose_samples(self._settings, self._clock, self._report)

    def open(self) -> None:
        """Open every device at once, or none after `close`; raises the first failure."""
        with self._changing:
            if self._closed:
                return
            if self.frames is not None:
                self.screen = DeviceThread("screen", self.frames, self._on_failure, idle=self.frames.idle)
                self._devices.append(self.screen)
            self.sounds = [[self._input(source) for source in track] for track in self._sources]
            self._devices += [sound.device for track in self.sounds for sound in track]
            for device in self._devices:
                device.open()
        for device in self._devices:
            device.await_opened()

    def _input(self, source: SampleSource) -> SoundInput:
        device = DeviceThread(f"sound {source.name}", source, self._on_failure)
        keep_s = (KEPT_MEANWHILE_S if self._settings.repeat else KEPT_S) if self._settings.waits else 0.0
        watch = self._listener() if self._listener is not None else lambda samples: None
        return SoundInput(source, device, SoundGrabber(source, self._clock, keep_s=keep_s, watch=watch))

    def begin(self, epoch_s: float) -> None:
        """Start reading sound; a synthetic source starts its content at `epoch_s`. Does nothing the second time."""
        if not self._begun:
            self._begun = True
            for track in self.sounds:
                for sound in track:
                    sound.device.begin(epoch_s, sound.grabber)

    def close(self) -> None:
        """Close every source, also one that another thread is opening; may be called twice."""
        with self._changing:
            self._closed = True
        for track in self.sounds:
            for sound in track:
                sound.grabber.close()
        for device in self._devices:
            device.close()
        for device in self._devices:
            device.join(DEVICE_END_S)
