"""Sound devices and playing applications, and which of them a name selects. Nothing is ever guessed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from capture.errors import NotReadyError, UsageError
from capture.media import Attenuation

__all__ = ["OWN_NAME", "PlayingApplication", "SoundDevice", "choose_device", "is_program", "playing_applications"]

#: The name this program gives itself on the sound server.
OWN_NAME: Final = "capture"

#: The stream properties that name an application, best-known name first. The last two are the names that a sandbox and
#: a desktop use.
_NAMES: Final = (
    "application.name",
    "application.process.binary",
    "application.id",
    "pipewire.access.portal.app_id",
)


#: What may be meant by a name that no device has, and how alike they must be.
_WORDS: Final = ("internal", "mic", "microphone", "system", "desktop")
_ALIKE: Final = 0.6


class SoundDevice(NamedTuple):
    """A source of sound: the internal audio of an output, or a microphone.

    `id` is exact and unique; `default` marks the devices that `internal` and `mic` select now. `volume_percent` is what
    a mixer shows, None if the system does not say; `attenuation` is what mute switches and volumes do to a recording.
    """

    id: str
    name: str
    kind: Literal["internal", "mic"]
    default: bool
    channels: int
    volume_percent: int | None = None
    attenuation: Attenuation = Attenuation()


class PlayingApplication(NamedTuple):
    """An application that is playing sound now; `pid` is 0 if unknown.

    `muted` and `volume_percent` are those of the loudest of its streams, None if unknown.
    """

    name: str
    binary: str
    pid: int
    muted: bool = False
    volume_percent: int | None = None


class Playing(Protocol):
    """A stream of an application; a `corked` stream is paused."""

    @property
    def corked(self) -> bool: ...

    @property
    def properties(self) -> Mapping[str, str]: ...


def is_program(properties: Mapping[str, str], name: str) -> bool:
    """Whether a stream with these properties belongs to the application `name`, ignoring case.

    Streams of this program match its own name alone, whatever interpreter runs it.
    """
    names = [properties[key].casefold() for key in _NAMES if key in properties]
    if OWN_NAME in names:
        return name.casefold() == OWN_NAME
    return name.casefold() in names


def playing_applications(streams: Iterable[Playing]) -> list[PlayingApplication]:
    """Return the applications that play these streams, each once, under a name that `is_program` accepts."""
    found: dict[str, PlayingApplication] = {}
    for stream in streams:
        properties = stream.properties
        name = next((properties[key] for key in _NAMES if properties.get(key)), "")
        if name and not stream.corked:
            pid = properties.get("application.process.id", "")
            binary = properties.get("application.process.binary", "")
            found.setdefault(name.casefold(), PlayingApplication(name, binary, int(pid) if pid.isdecimal() else 0))
    return list(found.values())


def choose_device(devices: Sequence[SoundDevice], name: str) -> SoundDevice:
    """Return the device that `internal`, `mic` or an id selects.

    Raises `NotReadyError` if there is no default device, `UsageError` if no device has this id.
    """
    if name in ("internal", "mic"):
        for device in devices:
            if device.kind == name and device.default:
                return device
        what = "output to record" if name == "internal" else "microphone"
        raise NotReadyError(f"there is no {what}", _remedy_for_missing(name))
    for device in devices:
        if device.id == name:
            return device
    # Imported here: most names are right.
    import difflib

    ids = [device.id for device in devices]
    wanted = name.casefold()
    begun = [each for each in ids if wanted and each.casefold().startswith(wanted)]
    near = list(dict.fromkeys([*begun, *difflib.get_close_matches(wanted, (*_WORDS, *ids), 3, _ALIKE)]))[:3]
    remedy = f"did you mean {' or '.join(near)}?" if near else f"use {', '.join(('internal, mic', *ids))}"
    raise UsageError(f"there is no sound device {name!r}", remedy)


def _remedy_for_missing(name: str) -> str:
    if sys.platform == "darwin" and name == "internal":
        return "macOS needs a loopback device: install BlackHole, or use --audio mic or --audio none"
    return "see capture devices, or use --audio none"
