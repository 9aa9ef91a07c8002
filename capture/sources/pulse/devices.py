"""Lists the devices of PulseAudio or PipeWire, and the applications that play on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from capture.errors import NotReadyError
from capture.sources.pulse.loop import Loop
from capture.sources.pulse.server_objects import PlayingStream, VolumeControl, attenuation_of, device_controls
from capture.sources.sound_devices import PlayingApplication, SoundDevice, is_program, playing_applications

__all__ = ["list_pulse_applications", "list_pulse_devices"]

_NO_SERVER: Final = "start PulseAudio or PipeWire, or use --audio none"
_STUCK: Final = "restart it, or use --audio none"

#: A server answers within milliseconds; one that is stuck accepts the connection and never answers.
_CONNECT_LIMIT_S: Final = 3.0

Answer = TypeVar("Answer")


def list_pulse_applications() -> list[PlayingApplication]:
    """Return the applications that play sound now, each once. Raises `NotReadyError` if there is no sound server."""
    return _asked(_applications)


def _applications(loop: Loop) -> list[PlayingApplication]:
    streams = [stream for stream in loop.playing() if not stream.corked]
    outputs = loop.outputs() if streams else {}

    def own_control(stream: PlayingStream) -> VolumeControl:
        output = outputs.get(stream.output)
        return stream.control.relative_to(output.control) if output is not None and output.is_flat else stream.control

    def with_volume(application: PlayingApplication) -> PlayingApplication:
        own = [own_control(stream) for stream in streams if is_program(stream.properties, application.name)]
        loudest = max(own, key=lambda control: control.gain)
        return application._replace(muted=loudest.gain <= 0.0, volume_percent=round(100 * loudest.level))

    return [with_volume(application) for application in playing_applications(streams)]


def list_pulse_devices() -> list[SoundDevice]:
    """Return every device, outputs first. Raises `NotReadyError` if there is no sound server."""
    return _asked(_devices)


def _devices(loop: Loop) -> list[SoundDevice]:
    default_output, default_microphone = loop.default_output(), loop.default_microphone()
    inputs = {found.name: found for found in loop.inputs()}
    outputs = [
        SoundDevice(
            output.monitor,
            output.description,
            "internal",
            default_output is not None and output.name == default_output.name,
            min(2, output.channels),
            round(100 * output.control.level),
            attenuation_of(device_controls(inputs[output.monitor], output)),
        )
        for output in loop.outputs().values()
        if output.monitor in inputs
    ]
    microphones = [
        SoundDevice(
            found.name,
            found.description,
            "mic",
            default_microphone is not None and found.name == default_microphone.name,
            min(2, found.channels),
            round(100 * found.control.level),
            attenuation_of(device_controls(found, None)),
        )
        for found in inputs.values()
        # Monitors are listed as their outputs, whatever the server's default source is.
        if not found.is_monitor
    ]
    return outputs + microphones


def _asked(question: Callable[[Loop], Answer]) -> Answer:
    """Return what `question` learns from the server. Raises `NotReadyError` if the server does not answer in time."""
    loop = Loop("capture devices")
    try:
        deadline_s = time.monotonic() + _CONNECT_LIMIT_S
        while not loop.connected:
            if loop.failed:
                raise NotReadyError(loop.absence(), _NO_SERVER)
            if time.monotonic() > deadline_s:
                raise TimeoutError("the sound server does not answer")
            loop.serve(0.1)
        answer = question(loop)
        if loop.failed:
            # The server died during the question, and the empty answer would look like no devices.
            raise NotReadyError(loop.absence(), _NO_SERVER)
        return answer
    except TimeoutError as error:
        raise NotReadyError(str(error), _STUCK) from error
    finally:
        loop.close()
