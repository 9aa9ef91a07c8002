"""Chooses the sources of a recording: the adapter for this system, or the test pattern.

This is the only module that knows which adapter serves which system. An adapter is imported when it is chosen.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from capture.clock import Clock
from capture.errors import NotReadyError, SettingError, UsageError
from capture.events import EventKind
from capture.media import Rectangle
from capture.settings.audio_tracks import APPLICATION
from capture.settings.record_settings import RecordSettings
from capture.sources.protocols import FrameSource, SampleSource
from capture.system.priority import raise_own_priority

if TYPE_CHECKING:
    from capture.sources.overlays.overlays import Overlays
    from capture.sources.sound_devices import PlayingApplication, SoundDevice
    from capture.sources.wayland.windows import Window as WaylandWindow
    from capture.sources.x11.countdown import Countdown
    from capture.sources.x11.window_list import Window

__all__ = [
    "DeviceSources",
    "GivenSources",
    "Report",
    "Sources",
    "begin_countdown",
    "choose_frames",
    "choose_samples",
    "list_applications",
    "list_audio_devices",
    "list_windows",
    "pick",
]

#: How much sound the server sends at once. With a picture little, because a program's sound may be captured later by up
#: to this much; without one as much as the pipeline passes on at once, for the fewest wake-ups.
FRAGMENT_WITH_PICTURE_S: Final = 0.025
FRAGMENT_ALONE_S: Final = 0.1

#: Takes the kind and the detail of an event.
Report = Callable[[EventKind, str], None]


class Sources(Protocol):
    """Chooses what a session records. Both methods are called once, by one thread, before anything is opened."""

    def choose_frames(
        self, settings: RecordSettings, clock: Clock, report: Report, end: Callable[[str], None]
    ) -> tuple[FrameSource | None, str]:
        """As the function `choose_frames`."""
        ...

    def choose_samples(self, settings: RecordSettings, clock: Clock, report: Report) -> list[list[SampleSource]]:
        """As the function `choose_samples`."""
        ...


class DeviceSources:
    """Chooses the devices that the settings name; the default of a session."""

    def choose_frames(
        self, settings: RecordSettings, clock: Clock, report: Report, end: Callable[[str], None]
    ) -> tuple[FrameSource | None, str]:
        return choose_frames(settings, clock, report, end)

    def choose_samples(self, settings: RecordSettings, clock: Clock, report: Report) -> list[list[SampleSource]]:
        return choose_samples(settings, clock, report)


class GivenSources:
    """The caller's own sources in place of the devices.

    `frames` is the picture. Each item of `samples` is one audio track: a source, or several that are mixed. They must
    match the settings: `screen` is None exactly when `frames` is, and `audio` has as many tracks as `samples`.
    """

    def __init__(
        self, frames: FrameSource | None = None, samples: Sequence[SampleSource | Sequence[SampleSource]] = ()
    ) -> None:
        self._frames = frames
        self._samples = [list(track) if isinstance(track, Sequence) else [track] for track in samples]

    def choose_frames(
        self, settings: RecordSettings, clock: Clock, report: Report, end: Callable[[str], None]
    ) -> tuple[FrameSource | None, str]:
        """Return the given frames. Raises `UsageError` when the settings disagree about whether there is a picture."""
        if (self._frames is None) == settings.wants_video:
            found = "no frame source was given" if self._frames is None else "a frame source was given"
            raise UsageError(f"screen is {settings.screen!r}, but {found}", "make them agree")
        return self._frames, ""

    def choose_samples(self, settings: RecordSettings, clock: Clock, report: Report) -> list[list[SampleSource]]:
        """Return the given tracks. Raises `UsageError` when the settings ask for more or fewer."""
        if len(self._samples) != len(settings.audio):
            raise UsageError(
                f"audio asks for {len(settings.audio)} tracks, but {len(self._samples)} were given", "make them agree"
            )
        return [list(track) for track in self._samples]


def choose_frames(
    settings: RecordSettings,
    clock: Clock,
    report: Report = lambda kind, detail: None,
    end: Callable[[str], None] = lambda reason: None,
) -> tuple[FrameSource | None, str]:
    """Return the frame source, not yet opened, and how its size differs from the requested one ("" if it does not).

    The source is None when no picture is recorded. The thread that grabs calls `report` with events about the window or
    the screen, and `end` with the reason when the recorded window is closed. Where a Wayland desktop gives screens only
    in its dialog, this waits for the user, who chooses there; meanwhile it calls `report` with `waiting`, several times
    a second, and what that raises ends the wait. Raises `UsageError` for a screen, region or window that does not
    exist, and `NotReadyError` without a display or a permission.
    """
    if settings.screen is None:
        return None, ""
    if settings.show_clicks or settings.show_keys:
        _refuse_overlays(settings)
    if settings.pattern:
        from capture.sources.pattern import PATTERN_SIZE, PatternFrames

        if settings.region is not None:
            whole = Rectangle(0, 0, *PATTERN_SIZE)
            raise SettingError(
                "{region} is a part of the screen, not of the pattern",
                f"drop it; the pattern is {whole}",
                region=settings.region,
            )
        if settings.window is not None:
            raise SettingError(
                "{window} is a window on the screen, not in the pattern", "drop it", window=settings.window
            )
        return PatternFrames(clock), ""
    from capture.sources.screens import choose_area, follow_area, is_wayland, list_screens

    if is_wayland():
        from capture.sources.wayland.chooser import choose_on_wayland

        return choose_on_wayland(settings, report, end), ""
    if settings.window is not None:
        return _window(settings.window, settings, report, end), ""
    from capture.sources.screen_source import ScreenSource

    screens = list_screens()
    area = choose_area(screens, settings.screen, settings.region)
    where = follow_area(screens, settings.screen, settings.region)
    even = area.trimmed_to_even()
    note = (
        "" if even == area else f"{area.width}x{area.height} cropped to {even.width}x{even.height}: sizes must be even"
    )
    if sys.platform != "linux":
        from capture.sources.polling_screen import PollingScreenSource

        if settings.cursor:
            report(EventKind.NO_CURSOR, f"the mouse cursor cannot be recorded on {_system()} yet")
        return PollingScreenSource(even, where=where, report=report), note
    overlays = _overlays(settings, report)
    source = ScreenSource(
        even,
        cursor=settings.cursor,
        cursor_once_moved=settings.cursor_once_moved,
        outlined=_is_outlined(settings),
        where=where,
        report=report,
        overlays=overlays,
        in_strips=True,
    )
    return source, note


def _is_outlined(settings: RecordSettings) -> bool:
    # Standby may wait all day: an outline on the screen all that time would be in the way.
    return settings.region is not None and not settings.standby


def _refuse_overlays(settings: RecordSettings) -> None:
    field = "show_keys" if settings.show_keys else "show_clicks"
    if settings.pattern:
        raise SettingError(
            f"{{{field}}} needs the screen and cannot be used with the pattern", "drop it", **{field: True}
        )
    if sys.platform != "linux":
        what = "pressed keys" if settings.show_keys else "clicks"
        raise NotReadyError(f"{what} cannot be shown on {_system()} yet", "record without them")


def _overlays(settings: RecordSettings, report: Report) -> Overlays:
    from capture.sources.overlays.overlays import Overlays

    return Overlays(clicks=settings.show_clicks, keys=settings.show_keys, report=report)


def _window(wanted: str, settings: RecordSettings, report: Report, end: Callable[[str], None]) -> FrameSource:
    if sys.platform != "linux":
        raise NotReadyError(
            f"a single window cannot be recorded on {_system()} yet",
            "record the region where it is, or the screen",
        )
    from capture.sources.screens import list_screens
    from capture.sources.window_source import WindowSource
    from capture.sources.x11.window_list import active_window, find_window

    # A server whose screen cannot be read may list no windows.
    list_screens()
    overlays = _overlays(settings, report)
    if wanted == "active":
        # Found when the source opens: `--delay` gives the user time to switch to the window.
        return WindowSource(active_window, cursor=settings.cursor, report=report, end=end, overlays=overlays)
    window = find_window(wanted)
    return WindowSource(lambda: window, cursor=settings.cursor, report=report, end=end, overlays=overlays)


def begin_countdown(settings: RecordSettings) -> Countdown | None:
    """Show a countdown of `settings.delay_s` on the screen, and the outline of a region that is to be recorded.

    Return None if there is no delay or no X11 screen.
    """
    if sys.platform != "linux" or not settings.delay_s or not settings.wants_video or settings.pattern:
        return None
    from capture.sources.screens import choose_area, list_screens
    from capture.sources.x11.countdown import Countdown

    def where() -> Rectangle:
        return choose_area(list_screens(), settings.screen or "primary", settings.region).trimmed_to_even()

    return Countdown(where, settings.delay_s, outlined=_is_outlined(settings))


def pick(settings: RecordSettings, what: str, say: Callable[[str], None]) -> RecordSettings:
    """Let the user select the `region` or the `window` with the mouse, and return the settings with it.

    `what` is `region` or `window`; `say` prints the instructions. Raises `UsageError` when the user cancels,
    `NotReadyError` when selecting is not possible here.
    """
    if not settings.wants_video or settings.pattern:
        raise UsageError(f"--{what} select needs a screen", "drop it, or record a screen")
    if sys.platform != "linux":
        raise NotReadyError(f"selecting with the mouse does not work on {_system()} yet", "use --region WxH+X+Y")
    from capture.sources.screens import is_wayland

    if is_wayland():
        from capture.sources.wayland.chooser import pick_on_wayland

        return replace(settings, region=pick_on_wayland(what, say))
    from capture.sources.x11.picker import pick_region, pick_window

    if what == "window":
        return replace(settings, window=pick_window(say).id)
    return replace(settings, region=pick_region(say))


def choose_samples(
    settings: RecordSettings,
    clock: Clock,
    report: Report = lambda kind, detail: None,
) -> list[list[SampleSource]]:
    """Return the sources of each audio track, not yet opened.

    The threads that open and read them call `report`: with `device_changed` when a source moves to another device,
    `device_lost` and `device_back` when it has none for a while, `waiting` when an application is not playing yet,
    `application` when it starts to. Raises `UsageError` for a device that does not exist, and `NotReadyError` when an
    application's sound cannot be recorded here.
    """
    tracks = settings.audio
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
            return _application_later(name, fragment_s, clock, report)
        devices = list_audio_devices() if devices is None else devices
        return _open_later(name, choose_device(devices, name), fragment_s, clock, report)

    return [[source(name) for name in track.sources] for track in tracks]


def list_audio_devices() -> list[SoundDevice]:
    """Return all sound devices, outputs first. Raises `NotReadyError` without a sound server."""
    if sys.platform == "linux":
        from capture.sources.pulse.devices import list_pulse_devices

        return list_pulse_devices()
    from capture.sources.soundcard_source import list_soundcard_devices

    return list_soundcard_devices()


def list_windows() -> Sequence[Window | WaylandWindow]:
    """Return the windows of the desktop; none outside Linux.

    Raises `NotReadyError` without a display, and on a Wayland desktop that shows programs no windows.
    """
    if sys.platform != "linux":
        return []
    from capture.sources.screens import is_wayland

    if is_wayland():
        from capture.sources.wayland.chooser import list_windows_to_choose

        return list_windows_to_choose()
    from capture.sources.x11 import window_list

    return window_list.list_windows()


def list_applications() -> list[PlayingApplication]:
    """Return the programs that play sound now; none outside Linux."""
    if sys.platform != "linux":
        return []
    from capture.sources.pulse.devices import list_pulse_applications

    return list_pulse_applications()


def _pattern_tone(name: str, clock: Clock) -> SampleSource:
    from capture.sources.pattern import PatternTone

    if name != "internal":
        raise UsageError(f"the pattern has no {name!r}", "with the pattern, record internal audio or none")
    return PatternTone(name, clock)


def _application_later(name: str, fragment_s: float, clock: Clock, report: Report) -> SampleSource:
    application = name.removeprefix(APPLICATION).strip()
    if sys.platform == "linux":
        from capture.sources.pulse.application_source import ApplicationSource
        from capture.sources.reconnecting import ReconnectingSource

        return ReconnectingSource(
            lambda hear: ApplicationSource(name, application, fragment_s, hear), clock, report, raise_own_priority
        )
    raise NotReadyError(
        f"the sound of {application} alone cannot be recorded on {_system()}",
        "record internal, which is everything you hear, or the id of an output that only this program plays to",
    )


def _system() -> str:
    """Return the name of this system, for messages."""
    return {"linux": "Linux", "darwin": "macOS"}.get(sys.platform, "Windows")


def _open_later(name: str, device: SoundDevice, fragment_s: float, clock: Clock, report: Report) -> SampleSource:
    from capture.sources.reconnecting import ReconnectingSource

    if sys.platform == "linux":
        from capture.sources.pulse.device_source import PulseSource

        # The default output may be another one soon, and a file cannot change its number of channels.
        channels = 2 if name == "internal" else device.channels
        return ReconnectingSource(
            lambda hear: PulseSource(name, device.name, channels, fragment_s, hear),
            clock,
            report,
            raise_own_priority,
        )
    from capture.sources.sound_devices import choose_device
    from capture.sources.soundcard_source import SoundcardSource

    chosen: SoundDevice | None = device

    def make(hear: Report) -> SampleSource:
        # Once the first device is gone, `internal` and `mic` may be another one: choose again.
        nonlocal chosen
        now, chosen = chosen or choose_device(list_audio_devices(), name), None
        return SoundcardSource(name, now.id, now.name, now.channels)

    return ReconnectingSource(make, clock, report)
