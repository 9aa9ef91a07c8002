"""Chooses a session's sources, opens them in parallel, and keeps them open from take to take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from capture.clock import Clock
from capture.events import EventKind
from capture.media import Samples
from capture.pipeline.device_thread import DeviceThread
from capture.pipeline.sound_grabber import SoundGrabber
from capture.settings.record_settings import RecordSettings
from capture.sources.chooser import Sources
from capture.sources.protocols import FrameSource, SampleSource
from capture.threads.mailbox import Closed

__all__ = ["DeviceSet", "SoundInput"]

#: How long to wait for a device to close. After that its thread is left alone and ends with the process.
DEVICE_END_S: Final = 3.0

#: How long samples from before a take are kept if the take may turn out to have started already: the time that it takes
#: to be sure of a sound, and the moment before it. With repeated takes it is longer, because the next take may start
#: while the last one is being finished.
KEPT_S: Final = 1.5
KEPT_MEANWHILE_S: Final = 10.0


class SoundInput(NamedTuple):
    """A source of sound, its thread, and the grabber that reads it on that thread."""

    source: SampleSource
    device: DeviceThread
    grabber: SoundGrabber


class DeviceSet:
    """A session's sources and their threads.

    Call `choose`, `open`, `settle` and `begin` in this order, then `close`; each blocks for as long as a device takes.
    `report` is called with the kind and the detail of an event about a source, `end` with the reason when a source ends
    and the recording with it. `listener` makes a callable that gets every block of one audio source; None when sound
    neither starts nor stops a take.
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
        # `close` may come while another thread is in `choose` or `open`.
        self._changing = threading.Lock()
        #: The frame source and its thread; None when no picture is recorded.
        self.frames: FrameSource | None = None
        self.screen: DeviceThread | None = None
        #: The inputs of each audio track.
        self.sounds: list[list[SoundInput]] = []
        #: Since when everything is kept for a recording that begins at once; None where a source keeps nothing.
        self.kept_since_s: float | None = None
        #: How the picture's size differs from the requested one; "" when it does not.
        self.size_note = ""
        #: What the user has to do for `choose` to go on, as in a dialog of the desktop; "" if nothing.
        self.waits_for = ""

    def choose(self) -> None:
        """Find the sources. Raises `UsageError` for one that does not exist, `NotReadyError` without a server.

        Raises `Closed` after `close`.
        """
        frames, self.size_note = self._chooser.choose_frames(
            self._settings, self._clock, self._hear_of_frames, self._end
        )
        with self._changing:
            is_closed = self._closed
            if not is_closed:
                self.frames = frames
        if is_closed:
            if frames is not None:
                frames.close()
            raise Closed
        self.waits_for = ""
        self._sources = self._chooser.choose_samples(self._settings, self._clock, self._report)

    def open(self) -> None:
        """Open all devices in parallel, or none after `close`. Raises the first failure."""
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

    def settle(self, *, for_picture: bool) -> None:
        """Wait until there is sound to record, and with `for_picture` get hold of the picture at that moment.

        A recording can begin at `kept_since_s` from now on. Raises the first failure.
        """
        sounds = [sound.device for track in self.sounds for sound in track]
        for device in sounds:
            device.settle()
        keeping = [device.await_settled() for device in sounds]
        now_s = self._clock.now_s()
        if self.screen is not None:
            if for_picture:
                self.screen.settle()
            keeping.append(for_picture and self.screen.await_settled())
        self.kept_since_s = now_s if all(keeping) else None

    def _hear_of_frames(self, kind: EventKind, detail: str) -> None:
        if kind is not EventKind.WAITING:
            self._report(kind, detail)
            return
        if self._closed:
            raise Closed
        self.waits_for = detail

    def _input(self, source: SampleSource) -> SoundInput:
        device = DeviceThread(f"sound {source.name}", source, self._on_failure)
        keep_s = (KEPT_MEANWHILE_S if self._settings.repeat else KEPT_S) if self._settings.waits else 0.0
        watch = self._listener() if self._listener is not None else lambda samples: None
        return SoundInput(source, device, SoundGrabber(source, self._clock, keep_s=keep_s, watch=watch))

    def begin(self, epoch_s: float) -> None:
        """Start reading sound; a synthetic source starts its content at `epoch_s`. Does nothing the second time."""
        self.kept_since_s = None
        if not self._begun:
            self._begun = True
            for track in self.sounds:
                for sound in track:
                    sound.device.begin(epoch_s, sound.grabber)

    def close(self) -> None:
        """Close every source, also one that another thread is choosing or opening; may be called twice."""
        with self._changing:
            self._closed = True
        for track in self.sounds:
            for sound in track:
                sound.grabber.close()
        if self.frames is not None and self.screen is None:
            # It may hold the permission of the desktop.
            self.frames.close()
        for device in self._devices:
            device.close()
        for device in self._devices:
            device.join(DEVICE_END_S)
