"""What is known of sound devices and of programs that play, and which of them a name means. Nothing is ever guessed."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, Protocol

from capture.errors import NotReadyError, UsageError

__all__ = ["OWN_NAME", "PlayingApplication", "SoundDevice", "choose_device", "is_program", "playing_applications"]

#: What this program calls itself to the sound server.
OWN_NAME: Final = "capture"

#: The properties of a stream that name the program, as its user knows it first: the last two are what a sandbox and a
#: desktop know it by.
_NAMES: Final = (
    "application.name",
    "application.process.binary",
    "application.id",
    "pipewire.access.portal.app_id",
)


class SoundDevice(NamedTuple):
    """Something to listen to: the internal audio of an output, or a microphone.

    `id` is exact and unique; `default` marks what `internal` and `mic` mean now. `muted` outputs give silence.
    """

    id: str
    name: str
    kind: Literal["internal", "mic"]
    default: bool
    channels: int
    muted: bool = False


class PlayingApplication(NamedTuple):
    """A program that is playing sound now; `pid` is 0 where it is not known."""

    name: str
    binary: str
    pid: int


class Playing(Protocol):
    """A stream of a program; one that is `corked` stands still."""

    @property
    def corked(self) -> bool: ...

    @property
    def properties(self) -> Mapping[str, str]: ...


def is_program(properties: Mapping[str, str], name: str) -> bool:
    """Whether a stream with these properties is of the program called `name`, in upper or lower case.

    What this program plays itself is meant by its own name alone, whatever runs it.
    """
    names = [properties[key].casefold() for key in _NAMES if key in properties]
    if OWN_NAME in names:
        return name.casefold() == OWN_NAME
    return name.casefold() in names


def playing_applications(streams: Iterable[Playing]) -> list[PlayingApplication]:
    """The programs that play these streams, each once, by a name that `is_program` knows it by."""
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
    """The device that `internal`, `mic` or an id means; `UsageError` for an id that is not there."""
    if name in ("internal", "mic"):
        for device in devices:
            if device.kind == name and device.default:
                return device
        what = "output whose sound could be recorded" if name == "internal" else "microphone"
        raise NotReadyError(f"there is no {what}", _remedy_for_missing(name))
    for device in devices:
        if device.id == name:
            return device
    ids = [device.id for device in devices]
    near = difflib.get_close_matches(name, ids, 3, 0.0)
    raise UsageError(
        f"there is no sound device {name!r}", f"the nearest are {', '.join(near)}" if near else "see devices"
    )


def _remedy_for_missing(name: str) -> str:
    if sys.platform == "darwin" and name == "internal":
        return "macOS needs a loopback device: install BlackHole, or use --audio mic or --audio none"
    return "see capture devices, or use --audio none"
