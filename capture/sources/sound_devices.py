"""Which sound devices there are, and which of them a name means. Names are exact: nothing is ever guessed."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from capture.errors import NotReadyError, UsageError

__all__ = ["Player", "SoundDevice", "choose_device", "list_players", "list_sound_devices"]

_NO_SERVER = "start PulseAudio or PipeWire, or use --audio none"


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


def list_sound_devices() -> list[SoundDevice]:
    """Every device, outputs first. Raises `NotReadyError` where there is no sound server."""
    if sys.platform == "linux":
        return _pulse_devices()
    from capture.sources.soundcard_source import list_soundcard_devices

    return list_soundcard_devices()


def list_players() -> list[Player]:
    """The programs that play sound now; none where the system does not tell."""
    if sys.platform != "linux":
        return []
    with _pulse() as pulse:
        found = {}
        for stream in pulse.sink_input_list():
            about = stream.proplist
            name = about.get("application.process.binary") or about.get("application.name") or stream.name
            pid = about.get("application.process.id", "0")
            found[name, pid] = Player(name, int(pid) if pid.isdigit() else 0)
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


@contextmanager
def _pulse() -> Iterator[Any]:
    try:
        import pulsectl
    except OSError as error:
        raise NotReadyError(
            "the sound library libpulse is not installed", "install libpulse0, or use --audio none"
        ) from error
    try:
        with pulsectl.Pulse("capture devices", connect=False) as pulse:
            pulse.connect(autospawn=False)
            yield pulse
    except pulsectl.PulseError as error:
        raise NotReadyError(f"no sound server answers ({error})", _NO_SERVER) from error


def _pulse_devices() -> list[SoundDevice]:
    with _pulse() as pulse:
        server = pulse.server_info()
        outputs = [
            SoundDevice(
                sink.monitor_source_name,
                sink.description,
                "internal",
                sink.name == server.default_sink_name,
                min(2, sink.channel_count),
                bool(sink.mute) or sink.volume.value_flat == 0.0,
            )
            for sink in pulse.sink_list()
        ]
        microphones = [
            SoundDevice(
                source.name,
                source.description,
                "mic",
                source.name == server.default_source_name,
                min(2, source.channel_count),
                bool(source.mute),
            )
            for source in pulse.source_list()
            # A monitor is an output's sound, whatever the server's default source says.
            if source.monitor_of_sink == _NO_SINK
        ]
    return outputs + microphones


#: What PulseAudio writes for "of no sink".
_NO_SINK = 0xFFFFFFFF
