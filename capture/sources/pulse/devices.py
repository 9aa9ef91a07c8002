"""The devices of PulseAudio or PipeWire, and who is playing on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from capture.errors import NotReadyError
from capture.sources.pulse.loop import Loop
from capture.sources.sound_devices import PlayingApplication, SoundDevice, playing_applications

__all__ = ["list_pulse_devices", "list_pulse_players"]

_NO_SERVER: Final = "start PulseAudio or PipeWire, or use --audio none"
_STUCK: Final = "restart it, or use --audio none"

#: A server answers within milliseconds; one that is stuck accepts and never does.
_CONNECT_LIMIT_S: Final = 3.0

Answer = TypeVar("Answer")


def list_pulse_players() -> list[PlayingApplication]:
    """The programs that play sound now, each once. Raises `NotReadyError` where there is no sound server."""
    return _asked(lambda loop: playing_applications(loop.playing()))


def list_pulse_devices() -> list[SoundDevice]:
    """Every device, outputs first. Raises `NotReadyError` where there is no sound server."""
    return _asked(_devices)


def _devices(loop: Loop) -> list[SoundDevice]:
    default_output, default_microphone = loop.default_output(), loop.default_microphone()
    outputs = [
        SoundDevice(
            output.monitor,
            output.description,
            "internal",
            default_output is not None and output.name == default_output.name,
            min(2, output.channels),
            output.muted,
        )
        for output in loop.outputs().values()
        if output.monitor
    ]
    microphones = [
        SoundDevice(
            found.name,
            found.description,
            "mic",
            default_microphone is not None and found.name == default_microphone.name,
            min(2, found.channels),
            found.muted,
        )
        for found in loop.inputs()
        # What an output plays is listed as the output's, whatever the server's default source is.
        if not found.is_monitor
    ]
    return outputs + microphones


def _asked(question: Callable[[Loop], Answer]) -> Answer:
    """What `question` finds out from the server, which has a limited time to answer."""
    loop = Loop("capture devices")
    try:
        deadline_s = time.monotonic() + _CONNECT_LIMIT_S
        while not loop.connected:
            if loop.failed:
                raise NotReadyError(f"no sound server answers ({loop.error()})", _NO_SERVER)
            if time.monotonic() > deadline_s:
                raise TimeoutError("the sound server does not answer")
            loop.serve(0.1)
        answer = question(loop)
        if loop.failed:
            # It went while it was asked: then there is no answer, which looks like no devices.
            raise NotReadyError(f"no sound server answers ({loop.error()})", _NO_SERVER)
        return answer
    except TimeoutError as error:
        raise NotReadyError(str(error), _STUCK) from error
    finally:
        loop.close()
