"""The one place that knows which adapter serves which system. Each is imported only when it is chosen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from capture.clock import Clock
from capture.errors import NotReadyError, UsageError
from capture.interfaces import FrameSource, SampleSource
from capture.media import Rectangle
from capture.settings import APPLICATION, AudioTrack, RecordSettings

if TYPE_CHECKING:
    from capture.sources.sound_devices import Player, SoundDevice

__all__ = ["choose_frames", "choose_sounds", "list_players", "list_sound_devices"]

#: How much sound is sent at once: beside a picture little, since a program's sound can be taken up that much later than
#: it was meant to be; alone as much as is handed on at once, for the fewest wake-ups.
FRAGMENT_WITH_PICTURE_S: Final = 0.025
FRAGMENT_ALONE_S: Final = 0.1

#: Takes the kind and the detail of an event.
Tell = Callable[[str, str], None]


def choose_frames(settings: RecordSettings, clock: Clock) -> tuple[FrameSource | None, str]:
    """The source of the picture, not yet opened, and what had to be done to its size, to be said ("" for nothing).

    Raises `UsageError` for a screen or region that is not there and `NotReadyError` without a display.
    """
    if settings.screen is None:
        return None, ""
    if settings.pattern:
        from capture.sources.pattern import PATTERN_SIZE, PatternFrames

        if settings.region is not None:
            whole = Rectangle(0, 0, *PATTERN_SIZE)
            raise UsageError(
                "--region means the screen, and the pattern was asked for", f"drop it; the pattern is {whole}"
            )
        return PatternFrames(clock), ""
    from capture.sources.screen import ScreenSource, choose_area, list_screens

    area = choose_area(list_screens(), settings.screen, settings.region)
    even = area.made_even()
    said = (
        "" if even == area else f"{area.width}x{area.height} cropped to {even.width}x{even.height}: sizes must be even"
    )
    return ScreenSource(even, cursor=settings.cursor), said


def choose_sounds(
    tracks: Sequence[AudioTrack],
    settings: RecordSettings,
    clock: Clock,
    tell: Tell = lambda kind, detail: None,
) -> list[list[SampleSource]]:
    """The sources of each track, not yet opened.

    `tell` is called by the threads that open and read them: `device_changed` when a source goes to another device,
    `waiting` when an application does not play yet, `application` when it begins to. Raises `UsageError` for a device
    that is not there, `NotReadyError` where an application's sound cannot be had.
    """
    if not tracks:
        return []
    if settings.pattern:
        return [[_pattern_tone(name, clock) for name in track.sources] for track in tracks]
    from capture.sources.sound_devices import choose_device

    fragment_s = FRAGMENT_WITH_PICTURE_S if settings.wants_video else FRAGMENT_ALONE_S
    devices: list[SoundDevice] | None = None

    def source(name: str) -> SampleSource:
        nonlocal devices
        if name.startswith(APPLICATION):
            return _application_later(name, fragment_s, tell)
        devices = list_sound_devices() if devices is None else devices
        return _open_later(name, choose_device(devices, name), fragment_s, tell)

    return [[source(name) for name in track.sources] for track in tracks]


def list_sound_devices() -> list[SoundDevice]:
    """Every sound device there is, outputs first. Raises `NotReadyError` where there is no sound server."""
    if sys.platform == "linux":
        from capture.sources.pulse_devices import list_pulse_devices

        return list_pulse_devices()
    from capture.sources.soundcard_source import list_soundcard_devices

    return list_soundcard_devices()


def list_players() -> list[Player]:
    """The programs that play sound now; none where the system does not tell."""
    if sys.platform != "linux":
        return []
    from capture.sources.pulse_devices import list_pulse_players

    return list_pulse_players()


def _pattern_tone(name: str, clock: Clock) -> SampleSource:
    from capture.sources.pattern import PatternTone

    if name != "internal":
        raise UsageError(f"the pattern has no {name!r}", "with --source pattern use --audio internal or none")
    return PatternTone(name, clock)


def _application_later(name: str, fragment_s: float, tell: Tell) -> SampleSource:
    application = name.removeprefix(APPLICATION).strip()
    if sys.platform == "linux":
        from capture.sources.application import ApplicationSource

        return ApplicationSource(name, application, fragment_s, tell)
    system = "macOS" if sys.platform == "darwin" else "Windows"
    raise NotReadyError(
        f"the sound of {application} alone cannot be recorded on {system}",
        "use --audio internal, which is everything that is heard, or the id of an output that only it plays to",
    )


def _open_later(name: str, device: SoundDevice, fragment_s: float, tell: Tell) -> SampleSource:
    if sys.platform == "linux":
        from capture.sources.following import FollowingSource
        from capture.sources.pulse import PulseSource

        if name == "internal":
            return FollowingSource(name, device.name, device.channels, fragment_s, tell)
        return PulseSource(name, device.id, device.name, device.channels, fragment_s)
    from capture.sources.soundcard_source import SoundcardSource

    return SoundcardSource(name, device.id, device.name, device.channels)
