"""The one place that knows which adapter serves which system. Each is imported only when it is chosen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from capture.clock import Clock
from capture.errors import UsageError
from capture.interfaces import FrameSource, SampleSource
from capture.media import Rectangle
from capture.settings import AudioTrack, RecordSettings

if TYPE_CHECKING:
    from capture.sources.sound_devices import Player, SoundDevice

__all__ = ["choose_frames", "choose_sounds", "list_players", "list_sound_devices"]


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


def choose_sounds(tracks: Sequence[AudioTrack], settings: RecordSettings, clock: Clock) -> list[list[SampleSource]]:
    """The sources of each track, not yet opened. Raises `UsageError` for a device that is not there."""
    if not tracks:
        return []
    if settings.pattern:
        return [[_pattern_tone(name, clock) for name in track.sources] for track in tracks]
    from capture.sources.sound_devices import choose_device

    devices = list_sound_devices()
    return [[_open_later(name, choose_device(devices, name)) for name in track.sources] for track in tracks]


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


def _open_later(name: str, device: SoundDevice) -> SampleSource:
    if sys.platform == "linux":
        from capture.sources.pulse import PulseSource

        return PulseSource(name, device.id, device.name, device.channels)
    from capture.sources.soundcard_source import SoundcardSource

    return SoundcardSource(name, device.id, device.name, device.channels)
