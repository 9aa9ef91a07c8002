"""The devices of PulseAudio or PipeWire, through pulsectl, and who is playing on them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import Any, Final, TypeVar

from capture.errors import NotReadyError
from capture.sources.libpulse import Loop
from capture.sources.sound_devices import Player, SoundDevice, players_of

__all__ = ["list_pulse_devices", "list_pulse_players"]

_NO_SERVER: Final = "start PulseAudio or PipeWire, or use --audio none"
_STUCK: Final = "restart it, or use --audio none"

#: A server answers within milliseconds; one that is stuck accepts and never does.
_ANSWER_LIMIT_S: Final = 3.0

#: What PulseAudio writes for "of no sink".
_NO_SINK: Final = 0xFFFFFFFF

Answer = TypeVar("Answer")


def list_pulse_players() -> list[Player]:
    """The programs that play sound now, each once. Raises `NotReadyError` where there is no sound server."""
    loop = Loop("capture devices")
    try:
        deadline_s = time.monotonic() + _ANSWER_LIMIT_S
        while not loop.connected:
            if loop.failed:
                raise NotReadyError(f"no sound server answers ({loop.error()})", _NO_SERVER)
            if time.monotonic() > deadline_s:
                raise TimeoutError("the sound server does not answer")
            loop.serve(0.1)
        return players_of(loop.playing())
    except TimeoutError as error:
        raise NotReadyError(str(error), _STUCK) from error
    finally:
        loop.close()


def list_pulse_devices() -> list[SoundDevice]:
    """Every device, outputs first. Raises `NotReadyError` where there is no sound server."""
    return _asked(_devices)


def _devices(pulse: Any) -> list[SoundDevice]:
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


def _asked(question: Callable[[Any], Answer]) -> Answer:
    """What `question` finds out from the server, which has a limited time to answer."""
    try:
        import pulsectl
    except OSError as error:
        raise NotReadyError(
            "the sound library libpulse is not installed", "install libpulse0, or use --audio none"
        ) from error
    answer: Future[Answer] = Future()

    def ask() -> None:
        try:
            with pulsectl.Pulse("capture devices", connect=False) as pulse:
                pulse.connect(autospawn=False)
                found = question(pulse)
        except Exception as error:
            answer.set_exception(error)
        else:
            answer.set_result(found)

    # pulsectl limits only the time to connect, and then takes all of it for every connection. A thread that still
    # waits is left to end with the process.
    Thread(target=ask, name="sound server", daemon=True).start()
    try:
        return answer.result(_ANSWER_LIMIT_S)
    except TimeoutError as error:
        raise NotReadyError("the sound server does not answer", _STUCK) from error
    except pulsectl.PulseError as error:
        raise NotReadyError(f"no sound server answers ({error})", _NO_SERVER) from error
