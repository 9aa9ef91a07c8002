"""What the sound server has: outputs, inputs and streams, with their mute switches and volumes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from capture.media import Attenuation
from capture.sources.pulse.libpulse import (
    CENTRE_POSITIONS,
    DEVICE_HARDWARE_VOLUME,
    LEFT_POSITIONS,
    MONO,
    NO_INDEX,
    RIGHT_POSITIONS,
    SINK_FLAT_VOLUME,
    SOURCE_FLAT_VOLUME,
    VOLUME_FULL,
    ChannelMap,
    SinkInfo,
    SourceInfo,
)

__all__ = [
    "PROPERTIES",
    "Input",
    "Output",
    "PlayingStream",
    "RecordingStream",
    "VolumeControl",
    "attenuation_of",
    "device_controls",
    "stereo_map",
]

#: The properties that identify a stream's owner. The last one tells sandboxed programs apart.
PROPERTIES: Final = (
    "application.name",
    "application.process.binary",
    "application.process.id",
    "application.id",
    "pipewire.access.portal.app_id",
)

#: Properties of a PipeWire node: every node has the first. The second says that the monitor follows the output's volume
#: and mute switch, as pactl's null sinks do; by default the monitor takes the sound in front of both.
NODE_PROPERTY: Final = "object.id"
MONITOR_PROPERTY: Final = "monitor.channel-volumes"


class VolumeControl(NamedTuple):
    """A mute switch and a volume: `level` is that of the loudest channel as a mixer shows it, 1 at 100 %.

    `full_level` is the level that neither amplifies nor attenuates.
    """

    muted: bool
    level: float
    full_level: float = 1.0

    @property
    def gain(self) -> float:
        """The factor that samples are multiplied by. The server's volumes are cubic."""
        return 0.0 if self.muted else (self.level / self.full_level) ** 3

    def relative_to(self, device: VolumeControl) -> VolumeControl:
        """Return the control of a stream without its device's share, which a flat volume includes."""
        return VolumeControl(self.muted, self.level / device.level if device.level > 0.0 else 1.0)


@dataclass(frozen=True, slots=True)
class Output:
    """A sink. `monitor` is the exact name of the source that records what it plays, "" if there is none.

    `positions` are those of its channels, as the server numbers them. `is_recorded_at_volume` says that the monitor
    follows `control`, and `is_flat` that the volumes of its streams include its own.
    """

    index: int
    name: str
    description: str
    monitor: str
    positions: tuple[int, ...]
    control: VolumeControl
    is_recorded_at_volume: bool
    is_flat: bool

    @property
    def channels(self) -> int:
        return len(self.positions)


@dataclass(frozen=True, slots=True)
class Input:
    """A source, by its exact name: a microphone, or the monitor of the output with the index `monitor_of`."""

    index: int
    name: str
    description: str
    monitor_of: int | None
    positions: tuple[int, ...]
    control: VolumeControl
    is_flat: bool

    @property
    def is_monitor(self) -> bool:
        return self.monitor_of is not None

    @property
    def channels(self) -> int:
        return len(self.positions)


class RecordingStream(NamedTuple):
    """A source output: a stream that records the source with the index `source`."""

    source: int
    control: VolumeControl


@dataclass(frozen=True, slots=True)
class PlayingStream:
    """A sink input: a stream that a program plays to the output with the index `output`.

    `properties` holds those of `PROPERTIES` that the program, or the server for it, has set. A `corked` stream is
    paused.
    """

    index: int
    output: int
    corked: bool
    properties: Mapping[str, str]
    control: VolumeControl


def output_of(info: SinkInfo, properties: Mapping[str, str]) -> Output:
    """Return an answer as an output. `properties` has the PipeWire properties above that are set."""
    if NODE_PROPERTY in properties:
        is_recorded_at_volume = properties.get(MONITOR_PROPERTY) == "true"
    else:
        # PulseAudio mutes every monitor in software too. Only the volume may be the hardware's.
        is_recorded_at_volume = not info.flags & DEVICE_HARDWARE_VOLUME or bool(info.mute)
    return Output(
        index=int(info.index),
        name=text_of(info.name),
        description=text_of(info.description) or text_of(info.name),
        monitor=text_of(info.monitor_source_name),
        positions=_positions(info.channel_map),
        control=control_of(info),
        is_recorded_at_volume=is_recorded_at_volume,
        is_flat=bool(info.flags & SINK_FLAT_VOLUME),
    )


def input_of(info: SourceInfo) -> Input:
    """Return an answer as an input."""
    return Input(
        index=int(info.index),
        name=text_of(info.name),
        description=text_of(info.description) or text_of(info.name),
        monitor_of=None if int(info.monitor_of_sink) == NO_INDEX else int(info.monitor_of_sink),
        positions=_positions(info.channel_map),
        control=control_of(info),
        is_flat=bool(info.flags & SOURCE_FLAT_VOLUME),
    )


def control_of(info: Any) -> VolumeControl:
    """Return the mute switch and the volume in any of the server's answers that has them."""
    loudest = max(info.volume.values[: info.volume.channels], default=VOLUME_FULL)
    base = getattr(info, "base_volume", 0) or VOLUME_FULL
    return VolumeControl(bool(info.mute), loudest / VOLUME_FULL, base / VOLUME_FULL)


def text_of(value: bytes | None) -> str:
    return value.decode(errors="replace") if value else ""


def attenuation_of(controls: Iterable[tuple[str, VolumeControl]]) -> Attenuation:
    """Return what these controls, each with the name of what it belongs to, do together to a sound.

    Amplification counts as full volume.
    """
    gain, muted, turned_down = 1.0, [], []
    for name, control in controls:
        gain *= control.gain
        if control.gain <= 0.0:
            muted.append(f"{name} is muted")
        elif control.gain < 1.0:
            turned_down.append(f"{name} is at {100 * control.level:.0f} %")
    return Attenuation(min(1.0, gain), " and ".join(muted or turned_down))


def device_controls(source: Input, output: Output | None) -> list[tuple[str, VolumeControl]]:
    """Return every control that a recording of `source` goes through, each with its owner's name for people.

    `output` is the one whose monitor the source is; None for a microphone.
    """
    if output is None:
        return [(source.description, source.control)]
    monitor = (f"the monitor of {output.description}", source.control)
    return [(output.description, output.control), monitor] if output.is_recorded_at_volume else [monitor]


def stereo_map(positions: tuple[int, ...]) -> ChannelMap | None:
    """Return the channels of a device to record as left and right; None where the server mixes both by itself.

    The server mixes by position. It would leave a side empty that the device has no channel for, as with AUX0 and AUX1,
    and put a single channel into its own side only. Then the first two channels are left and right, or the only one is
    both.
    """
    found = frozenset(positions)
    if positions == (MONO,) or (
        len(positions) > 1 and (found & CENTRE_POSITIONS or (found & LEFT_POSITIONS and found & RIGHT_POSITIONS))
    ):
        return None
    chosen = ChannelMap(2)
    chosen.map[0], chosen.map[1] = (*positions, *positions)[:2]
    return chosen


def _positions(channel_map: ChannelMap) -> tuple[int, ...]:
    return tuple(channel_map.map[: channel_map.channels])
