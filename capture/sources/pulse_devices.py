"""The devices of PulseAudio or PipeWire, and who is playing on them, through pulsectl."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from capture.errors import NotReadyError
from capture.sources.sound_devices import Player, SoundDevice

__all__ = ["list_pulse_devices", "list_pulse_players"]

_NO_SERVER: Final = "start PulseAudio or PipeWire, or use --audio none"

#: What PulseAudio writes for "of no sink".
_NO_SINK: Final = 0xFFFFFFFF


def list_pulse_players() -> list[Player]:
    """The programs that play sound now, each once. Raises `NotReadyError` where there is no sound server."""
    with _pulse() as pulse:
        found = {}
        for stream in pulse.sink_input_list():
            about = stream.proplist
            name = about.get("application.process.binary") or about.get("application.name") or stream.name
            pid = about.get("application.process.id", "0")
            found[name, pid] = Player(name, int(pid) if pid.isdigit() else 0)
        return list(found.values())


def list_pulse_devices() -> list[SoundDevice]:
    """Every device, outputs first. Raises `NotReadyError` where there is no sound server."""
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
