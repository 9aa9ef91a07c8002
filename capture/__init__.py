"""Record the screen and what the computer is playing.

Importing this package needs no screen and no sound server, and is fast: the module of a public name is imported when
the name is first used. A recording from Python::

    import capture

    summary = capture.record("talk.mp4", duration_s=60)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from capture.clock import MonotonicClock, SteppedClock
    from capture.errors import (
        CaptureError,
        DiskFullError,
        DisplayLostError,
        EncoderError,
        FileGoneError,
        FileTooLargeError,
        NoRoomError,
        NotReadyError,
        OutputError,
        RecordingError,
        SettingError,
        SourceLostError,
        UsageError,
    )
    from capture.events import Command, Event, EventKind, Progress, State, Summary
    from capture.media import Frame, Rectangle, Samples
    from capture.recorder import Recorder, record
    from capture.recordings.check import CheckReport, check
    from capture.recordings.repair import repair
    from capture.session.session import Session
    from capture.settings.audio_tracks import AudioTrack
    from capture.settings.record_settings import RecordSettings
    from capture.sources.chooser import GivenSources, Sources, list_applications, list_audio_devices, list_windows
    from capture.sources.pattern import PatternFrames, PatternTone, read_clock
    from capture.sources.protocols import FrameSource, SampleSource
    from capture.sources.screens import list_screens
    from capture.sources.scripted import ScriptedBlock, ScriptedFrames, ScriptedSamples
    from capture.virtual.desk import VirtualDesk

#: Read by the build, which does not run this module.
__version__ = "0.1.0"

__all__ = [
    "AudioTrack",
    "CaptureError",
    "CheckReport",
    "Command",
    "DiskFullError",
    "DisplayLostError",
    "EncoderError",
    "Event",
    "EventKind",
    "FileGoneError",
    "FileTooLargeError",
    "Frame",
    "FrameSource",
    "GivenSources",
    "MonotonicClock",
    "NoRoomError",
    "NotReadyError",
    "OutputError",
    "PatternFrames",
    "PatternTone",
    "Progress",
    "RecordSettings",
    "Recorder",
    "RecordingError",
    "Rectangle",
    "SampleSource",
    "Samples",
    "ScriptedBlock",
    "ScriptedFrames",
    "ScriptedSamples",
    "Session",
    "SettingError",
    "SourceLostError",
    "Sources",
    "State",
    "SteppedClock",
    "Summary",
    "UsageError",
    "VirtualDesk",
    "__version__",
    "check",
    "list_applications",
    "list_audio_devices",
    "list_screens",
    "list_windows",
    "read_clock",
    "record",
    "repair",
]

_HOME = {
    "capture.clock": (
        "MonotonicClock",
        "SteppedClock",
    ),
    "capture.errors": (
        "CaptureError",
        "DiskFullError",
        "DisplayLostError",
        "EncoderError",
        "FileGoneError",
        "FileTooLargeError",
        "NoRoomError",
        "NotReadyError",
        "OutputError",
        "RecordingError",
        "SettingError",
        "SourceLostError",
        "UsageError",
    ),
    "capture.events": ("Command", "Event", "EventKind", "Progress", "State", "Summary"),
    "capture.media": (
        "Frame",
        "Rectangle",
        "Samples",
    ),
    "capture.recorder": (
        "Recorder",
        "record",
    ),
    "capture.recordings.check": (
        "CheckReport",
        "check",
    ),
    "capture.recordings.repair": ("repair",),
    "capture.session.session": ("Session",),
    "capture.settings.record_settings": (
        "AudioTrack",
        "RecordSettings",
    ),
    "capture.sources.chooser": (
        "GivenSources",
        "Sources",
        "list_applications",
        "list_audio_devices",
        "list_windows",
    ),
    "capture.sources.pattern": (
        "PatternFrames",
        "PatternTone",
        "read_clock",
    ),
    "capture.sources.protocols": (
        "FrameSource",
        "SampleSource",
    ),
    "capture.sources.screens": ("list_screens",),
    "capture.sources.scripted": (
        "ScriptedBlock",
        "ScriptedFrames",
        "ScriptedSamples",
    ),
    "capture.virtual.desk": ("VirtualDesk",),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
