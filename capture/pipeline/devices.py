"""The devices of a session: chosen, opened side by side, and kept open from take to take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from capture.clock import Clock
from capture.event_kinds import EventKind
from capture.media import Samples
from capture.pipeline.device_thread import DeviceThread
from capture.pipeline.sound_grabber import SoundGrabber
from capture.settings import RecordSettings
from capture.sources.chooser import choose_frames, choose_sounds
from capture.sources.protocols import FrameSource, SampleSource

__all__ = ["DeviceSet", "SoundInput"]

#: A device that does not let go by then is left to itself; its thread ends with the process.
DEVICE_END_S: Final = 3.0

#: What was heard before a take begins is kept for this long, where the take may turn out to have begun already: as long
#: as it takes to be sure of a sound, and the moment before it. Where one take follows the other, the next may begin
#: while the last one is being finished.
KEPT_S: Final = 1.5
KEPT_MEANWHILE_S: Final = 10.0


class SoundInput(NamedTuple):
    """A source of sound, its thread, and what reads it there."""

    source: SampleSource
    device: DeviceThread
    grabber: SoundGrabber


class DeviceSet:
    """`choose`, `open` and `begin` in this order, then `close`; each may take as long as a device does.

    `tell` takes the kind and the text of what happens to a source, `end` is called with the reason when one has come to
    its end and nothing more is to be recorded. `listener` makes what is given every block of one
    source; None where nobody listens and no take begins by what was heard.
    """

    def __init__(
        self,
        settings: RecordSettings,
        clock: Clock,
        *,
        tell: Callable[[EventKind, str], None],
        on_failure: Callable[[str, BaseException], None],
        end: Callable[[str], None] = lambda reason: None,
        listener: Callable[[], Callable[[Samples], None]] | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self._on_failure = on_failure
        self._end = end
        self._listener = listener
        self._sources: list[list[SampleSource]] = []
        self._devices: list[DeviceThread] = []
        self._begun = False
        #: The picture's source and its thread, None where none is recorded.
        self.frames: FrameSource | None = None
        self.screen: DeviceThread | None = None
        #: The inputs of each audio track.
        self.sounds: list[list[SoundInput]] = []
        #: What had to be done to the picture's size, to be said.
        self.said = ""

    def choose(self) -> None:
        """Find the devices. Raises `UsageError` for one that is not there, `NotReadyError` where none can be."""
        self.frames, self.said = choose_frames(self._settings, self._clock, self._tell, self._end)
        self._sources = choose_sounds(self._settings.audio, self._settings, self._clock, self._tell)

    def open(self) -> None:
        """Open every device at once; raises the first failure."""
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
        keep_s = (KEPT_MEANWHILE_S if self._settings.each else KEPT_S) if self._settings.waits else 0.0
        watch = self._listener() if self._listener is not None else lambda samples: None
        return SoundInput(source, device, SoundGrabber(source, self._clock, keep_s=keep_s, watch=watch))

    def begin(self, epoch_s: float) -> None:
        """Let the sound be read; a source that makes its own content starts it at `epoch_s`. Once is enough."""
        if not self._begun:
            self._begun = True
            for track in self.sounds:
                for sound in track:
                    sound.device.begin(epoch_s, sound.grabber)

    def close(self) -> None:
        """Give the devices back; may be called twice."""
        for track in self.sounds:
            for sound in track:
                sound.grabber.close()
        for device in self._devices:
            device.close()
        for device in self._devices:
            device.join(DEVICE_END_S)
