"""The audio tracks of a recording, and the sources that are mixed into each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from capture.errors import UsageError

__all__ = ["APPLICATION", "AudioTrack", "tracks_of"]

#: Other words for the sources that have a name of their own.
_NAMES: Final = {
    "internal": "internal",
    "system": "internal",
    "desktop": "internal",
    "mic": "mic",
    "microphone": "mic",
    "none": "none",
}

#: The prefix of an audio source that is one application; the application's name follows.
APPLICATION: Final = "app:"


class AudioTrack(NamedTuple):
    """One track of the file and the sources mixed into it: `internal`, `mic`, `app:NAME`, or a device's id."""

    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        return "+".join(self.sources)


def tracks_of(audio: object) -> tuple[AudioTrack, ...]:
    """Return the tracks that a caller asks for: `"internal+mic"` is one mixed track, `["internal", "mic"]` are two.

    `None`, `"none"` and an empty sequence mean no sound. Case and blanks do not matter in the names of sources, as in
    `"Internal + Microphone"`; `system` and `desktop` mean `internal`. Raises `UsageError`.
    """
    if audio is None:
        return ()
    given = [audio] if isinstance(audio, str | AudioTrack) else audio
    if not isinstance(given, Sequence) or not all(isinstance(each, str | AudioTrack) for each in given):
        raise UsageError(f"audio={audio!r} is not an audio source", "write it like 'internal' or ['internal', 'mic']")
    if any(isinstance(each, str) and _named(each) == "none" for each in given):
        if len(given) > 1:
            raise UsageError("the audio source none was given together with others", "give either none or sources")
        return ()
    tracks = tuple(AudioTrack(tuple(_sources(each))) for each in given)
    names = [track.name for track in tracks]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the audio track {name} was given twice", "name each track once")
    return tracks


def _sources(track: str | AudioTrack) -> Sequence[str]:
    parts = track.split("+") if isinstance(track, str) else track.sources
    if isinstance(parts, str) or not isinstance(parts, Sequence) or not all(isinstance(part, str) for part in parts):
        raise UsageError(f"{track!r} names no sources", "write it like 'internal+mic' or AudioTrack(('internal',))")
    value = "+".join(parts)
    parts = [_named(part) for part in parts]
    if not parts:
        raise UsageError("an audio track has no source", "write it like internal, mic or internal+mic")
    for part in parts:
        if not part or not part.isprintable():
            raise UsageError(
                f"the audio track {value!r} has an empty source", "write it like internal, mic or internal+mic"
            )
        if part.startswith(APPLICATION) and not part.removeprefix(APPLICATION).strip():
            raise UsageError(f"{value!r} names no application", "write it like app:firefox; devices lists them")
        if "," in part and not part.startswith(APPLICATION) and _named(part.partition(",")[0]) in _NAMES.values():
            raise UsageError(
                f"{part!r} is not an audio source", "mix with +, as in internal+mic, or give each track by itself"
            )
        if part == "none":
            raise UsageError(f"the audio track {value!r} mixes none with a source", "drop the none")
        if parts.count(part) > 1:
            raise UsageError(f"the audio track {value!r} mixes {part} with itself", "name each source once")
    return parts


def _named(part: str) -> str:
    """Return a source as it is called here: without blanks around it, and the names in `_NAMES` in any case."""
    bare = part.strip()
    return _NAMES.get(bare.lower(), bare)
