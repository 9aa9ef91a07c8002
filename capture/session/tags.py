"""The tags of a new recording: its title, when it was made, and what was recorded.

They name nothing of the user or the machine: no window, no device, no host.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from capture.output.tags import Tags
from capture.settings.audio_tracks import APPLICATION
from capture.settings.record_settings import RecordSettings

__all__ = ["tags_of"]

#: Formats with a field for the moment at which a file was made.
_WITH_CREATION_TIME: Final = frozenset({"mp4", "mov", "ipod", "matroska", "webm"})

#: What the names of sources are to the reader of a tag; any other is a device, whose name may be personal.
_SOURCES: Final = {"internal": "internal audio", "mic": "microphone"}
_DEVICE: Final = "sound device"


def tags_of(settings: RecordSettings, begun: datetime) -> Tags:
    """Return the tags of a recording that began then, a local time. A voice note has none, as those of messengers."""
    title = {"title": settings.title} if settings.title else {}
    if settings.voice:
        return Tags(title)
    sounds = [_sound(track.sources) for track in settings.audio]
    picture = [] if not settings.wants_video else ["window" if settings.window is not None else "screen"]
    test = "test picture and tone" if picture else "test tone"
    what = test if settings.pattern else ", ".join(picture + sounds)
    made = {"date": begun.strftime("%Y-%m-%dT%H:%M:%S"), "comment": f"Recorded with capture: {what}"}
    if settings.container.format in _WITH_CREATION_TIME:
        made["creation_time"] = begun.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Tags({**title, **made}, (*("" for _ in picture), *sounds))


def _sound(sources: tuple[str, ...]) -> str:
    return " + ".join(_source(source) for source in sources)


def _source(source: str) -> str:
    return source.removeprefix(APPLICATION) if source.startswith(APPLICATION) else _SOURCES.get(source, _DEVICE)
