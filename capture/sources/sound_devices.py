"""What is known of a sound device, and which of them a name means. Names are exact: nothing is ever guessed."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from capture.errors import NotReadyError, UsageError

__all__ = ["Player", "SoundDevice", "choose_device"]


@dataclass(frozen=True, slots=True)
class SoundDevice:
    """Something to listen to: the internal audio of an output, or a microphone.

    `id` is exact and unique; `default` marks what `internal` and `mic` mean now. `muted` outputs give silence.
    """

    id: str
    name: str
    kind: Literal["internal", "mic"]
    default: bool
    channels: int
    muted: bool = False


@dataclass(frozen=True, slots=True)
class Player:
    """A program that is playing sound now."""

    name: str
    pid: int


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
