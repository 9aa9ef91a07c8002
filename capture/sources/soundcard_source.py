"""Sound on Windows and macOS, through the soundcard library.

On Windows each output has a loopback of its own. macOS has none: a virtual device such as BlackHole stands in for it
and appears among the microphones.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from capture.errors import NotReadyError, SourceLostError
from capture.media import SAMPLE_RATE, Samples
from capture.sources.sound_devices import SoundDevice

__all__ = ["SoundcardSource", "list_soundcard_devices"]

#: Samples handed on at once: 20 ms.
BLOCK_SAMPLES: Final = 960

#: The buffer behind it. Windows drops sound when a shorter one is not emptied in time.
BUFFER_SAMPLES: Final = 9_600

#: Virtual outputs that macOS users route their sound through.
_MAC_LOOPBACKS: Final = ("BlackHole", "Loopback", "Soundflower")


def list_soundcard_devices(library: Any = None) -> list[SoundDevice]:
    """Every device; `library` stands in for the soundcard module. Raises `NotReadyError` where it cannot be loaded."""
    library = library or _load()
    default_output, default_input = _id_of(library.default_speaker), _id_of(library.default_microphone)
    devices = []
    for microphone in _all_recordable(library):
        is_virtual = sys.platform == "darwin" and microphone.name.startswith(_MAC_LOOPBACKS)
        loopback = microphone.isloopback or is_virtual
        default = default_output if microphone.isloopback else default_input
        devices.append(
            SoundDevice(
                str(microphone.id),
                str(microphone.name),
                "internal" if loopback else "mic",
                is_virtual or str(microphone.id) == default,
                2,
            )
        )
    return sorted(devices, key=lambda device: device.kind)


def _id_of(find: Callable[[], Any]) -> str | None:
    """The id of a default device; None where there is none, which the library answers with an error."""
    try:
        device = find()
    except (RuntimeError, OSError, ValueError):
        return None
    return None if device is None else str(device.id)


def _all_recordable(library: Any) -> list[Any]:
    """Microphones and, but on macOS which has none and where asking for them gives a warning, loopbacks of outputs."""
    try:
        return list(library.all_microphones(include_loopback=sys.platform != "darwin"))
    except (RuntimeError, OSError) as error:
        raise NotReadyError(f"the sound devices cannot be listed ({error})", "use --audio none") from error


class SoundcardSource:
    """One device by its exact id. The library gives no timestamps: a block is stamped when it has arrived."""

    def __init__(self, name: str, device_id: str, device: str, channels: int, library: Any = None) -> None:
        self.name = name
        self.device = device
        self.channels = channels
        self._device_id = device_id
        self._library = library
        self._recorder: Any = None

    def open(self) -> None:
        library = self._library or _load()
        if sys.platform == "win32":
            # Windows wants COM initialised in every thread that touches a device.
            import ctypes

            ctypes.windll.ole32.CoInitializeEx(None, 0)
        # get_microphone falls back to names that merely resemble; only the very id will do.
        found = [item for item in _all_recordable(library) if str(item.id) == self._device_id]
        if not found:
            raise NotReadyError(f"{self.device} is no longer there", "see capture devices")
        try:
            self._recorder = found[0].recorder(SAMPLE_RATE, channels=self.channels, blocksize=BUFFER_SAMPLES)
            self._recorder.__enter__()
        except (RuntimeError, OSError, AssertionError) as error:
            raise NotReadyError(f"{self.device} cannot be recorded ({error})", "see capture doctor") from error

    def begin(self, epoch_s: float) -> None:
        """Nothing to do: the timeline leaves out what was heard before."""

    def read(self, until_s: float) -> Samples | None:
        try:
            data = np.asarray(self._recorder.record(BLOCK_SAMPLES), np.float32)
        except (RuntimeError, OSError, AssertionError, TypeError, ValueError) as error:
            raise SourceLostError(f"{self.device} is gone ({error})") from error
        return Samples(data, time.monotonic() - len(data) / SAMPLE_RATE) if len(data) else None

    def wake(self) -> None:
        """Nothing to do: these systems deliver all the time, silence included."""

    def close(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.__exit__(None, None, None)


def _load() -> Any:
    try:
        import soundcard
    except (ImportError, OSError, AssertionError) as error:
        raise NotReadyError(f"the sound system cannot be reached ({error})", "use --audio none") from error
    return soundcard
