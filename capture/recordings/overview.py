"""What is known about a saved recording at a glance, and its form in the index. Loads no library."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NamedTuple

from capture.formats import CONTAINERS

__all__ = ["ANIMATIONS", "ENDINGS", "KINDS", "Glance", "State", "TrackGlance", "glance_of_json", "kind_of", "unread"]

#: Clips without sound, by extension.
ANIMATIONS: Final = ("gif", "webp")

#: The extensions of what capture saves.
ENDINGS: Final = frozenset({*CONTAINERS, *ANIMATIONS})

#: What a recording is: with a picture, sound alone, sound alone as messengers send it, or a clip without sound.
KINDS: Final = ("video", "sound", "voice", "animation")


class State(StrEnum):
    """Whether a recording is complete, by its headers."""

    WHOLE = "ok"
    #: A recorder is writing it.
    RECORDING = "recording"
    #: Cut off, as by a crash; `repair` helps.
    UNFINISHED = "unfinished"
    DAMAGED = "damaged"
    #: The system does not let us read it.
    UNREADABLE = "unreadable"


class TrackGlance(NamedTuple):
    """One track. Only video has a width and a height, only audio a sample rate and channels; the others are 0."""

    #: `video` or `audio`.
    kind: str
    codec: str
    width: int = 0
    height: int = 0
    sample_rate: int = 0
    channels: int = 0

    def as_json(self) -> dict[str, Any]:
        own = ("width", "height") if self.kind == "video" else ("sample_rate", "channels")
        return {"kind": self.kind, "codec": self.codec} | {name: getattr(self, name) for name in own}


class Glance(NamedTuple):
    """What the headers of a recording say. `problem` says what is wrong, or is ""."""

    state: State
    problem: str
    #: None where only reading the whole file would tell.
    duration_s: float | None
    title: str
    tracks: tuple[TrackGlance, ...]


def unread(path: Path, state: State, problem: str) -> Glance:
    """Return what is known of a file whose tracks could not be read."""
    return Glance(state, problem, None, "", ())


def kind_of(path: Path, tracks: tuple[TrackGlance, ...]) -> str:
    """Return which of `KINDS` a recording is; one whose tracks are unknown is what its extension says."""
    ending = path.suffix[1:].lower()
    if ending in ANIMATIONS:
        return "animation"
    if any(track.kind == "video" for track in tracks):
        return "video"
    if not tracks:
        return "video" if ending in CONTAINERS and CONTAINERS[ending].holds_video else "sound"
    return "voice" if [(track.codec, track.channels) for track in tracks] == [("opus", 1)] else "sound"


def glance_of_json(value: Any) -> Glance:
    """Return the glance that was written as JSON, as a list of its fields.

    Raises `ValueError`, `TypeError` or `KeyError` for anything else.
    """
    state, problem, duration_s, title, tracks = value
    if not (isinstance(problem, str) and isinstance(title, str) and isinstance(duration_s, float | int | None)):
        raise TypeError("not a glance")
    return Glance(State(state), problem, duration_s, title, tuple(_track_of_json(track) for track in tracks))


def _track_of_json(value: Any) -> TrackGlance:
    track = TrackGlance(*value)
    if track.kind not in ("video", "audio") or not isinstance(track.codec, str):
        raise ValueError("not a track")
    if not all(type(number) is int for number in track[2:]):
        raise TypeError("not a number")
    return track
