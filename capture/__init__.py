"""Record the screen and what the computer is playing.

Importing this package needs no screen and no sound server, and loads nothing heavy: each public name is fetched from
its module when it is first used. A recording from Python::

    from pathlib import Path
    from capture import RecordSettings, Session

    summary = Session(RecordSettings(Path("talk.mp4"), duration_s=60)).run()
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
        NotReadyError,
        OutputError,
        RecordingError,
        SourceLostError,
        UsageError,
    )
    from capture.events import Command, Event, Progress, State, Summary
    from capture.media import Frame, Rectangle, Samples
    from capture.recordings.check import CheckReport, check
    from capture.session.session import Session
    from capture.settings import AudioTrack, RecordSettings
    from capture.sources.pattern import PatternFrames, PatternTone, read_clock
    from capture.sources.scripted import ScriptedBlock, ScriptedFrames, ScriptedSamples
    from capture.virtual.desk import VirtualDesk

__all__ = [
    "AudioTrack",
    "CaptureError",
    "CheckReport",
    "Command",
    "DiskFullError",
    "DisplayLostError",
    "EncoderError",
    "Event",
    "FileGoneError",
    "Frame",
    "MonotonicClock",
    "NotReadyError",
    "OutputError",
    "PatternFrames",
    "PatternTone",
    "Progress",
    "RecordSettings",
    "RecordingError",
    "Rectangle",
    "Samples",
    "ScriptedBlock",
    "ScriptedFrames",
    "ScriptedSamples",
    "Session",
    "SourceLostError",
    "State",
    "SteppedClock",
    "Summary",
    "UsageError",
    "VirtualDesk",
    "check",
    "read_clock",
]

_HOME = {
    "capture.clock": ("MonotonicClock", "SteppedClock"),
    "capture.virtual.desk": ("VirtualDesk",),
    "capture.errors": (
        "CaptureError",
        "DiskFullError",
        "DisplayLostError",
        "EncoderError",
        "FileGoneError",
        "NotReadyError",
        "OutputError",
        "RecordingError",
        "SourceLostError",
        "UsageError",
    ),
    "capture.events": ("Command", "Event", "Progress", "State", "Summary"),
    "capture.media": ("Frame", "Rectangle", "Samples"),
    "capture.recordings.check": ("CheckReport", "check"),
    "capture.session.session": ("Session",),
    "capture.settings": ("AudioTrack", "RecordSettings"),
    "capture.sources.pattern": ("PatternFrames", "PatternTone", "read_clock"),
    "capture.sources.scripted": ("ScriptedBlock", "ScriptedFrames", "ScriptedSamples"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
