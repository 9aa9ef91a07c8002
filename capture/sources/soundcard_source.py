"""Sound on Windows and macOS, through the soundcard library.

On Windows each output has its own loopback. macOS has none: a virtual device such as BlackHole replaces it and is
listed among the microphones.
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

#: Samples per block: 20 ms.
BLOCK_SAMPLES: Final = 960

#: The library's buffer. Windows drops sound if a shorter one is not emptied in time.
BUFFER_SAMPLES: Final = 9_600

#: Virtual outputs that macOS users route their sound through.
_MAC_LOOPBACKS: Final = ("BlackHole", "Loopback", "Soundflower")


def list_soundcard_devices(library: Any = None) -> list[SoundDevice]:
    """Return every device; `library` replaces the soundcard module. Raises `NotReadyError` if it fails to load."""
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
    """Return the id of a default device; None if there is none, in which case the library raises."""
    try:
        device = find()
    except (RuntimeError, OSError, ValueError):
        return None
    return None if device is None else str(device.id)


def _all_recordable(library: Any) -> list[Any]:
    """Return microphones and the loopbacks of outputs, but no loopbacks on macOS: asking for them only warns there."""
    try:
        return list(library.all_microphones(include_loopback=sys.platform != "darwin"))
    except (RuntimeError, OSError) as error:
        raise NotReadyError(f"the sound devices cannot be listed ({error})", "use --audio none") from error


class SoundcardSource:
    """Records one device by its exact id. The library gives no timestamps, so a block is stamped on arrival."""

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
            # Windows needs COM initialised in every thread that touches a device.
            import ctypes

            ctypes.windll.ole32.CoInitializeEx(None, 0)
        # get_microphone also accepts names that merely resemble the id: only the exact id may match.
        found = [item for item in _all_recordable(library) if str(item.id) == self._device_id]
        if not found:
            raise NotReadyError(f"{self.device} is gone", "see capture devices")
        try:
            self._recorder = found[0].recorder(SAMPLE_RATE, channels=self.channels, blocksize=BUFFER_SAMPLES)
            self._recorder.__enter__()
        except (RuntimeError, OSError, AssertionError) as error:
            raise NotReadyError(f"{self.device} cannot be recorded ({error})", "see capture doctor") from error

    def begin(self, epoch_s: float) -> None:
        """Do nothing: the timeline drops what was heard before."""

    def read(self, until_s: float) -> Samples | None:
        try:
            data = np.asarray(self._recorder.record(BLOCK_SAMPLES), np.float32)
        except (RuntimeError, OSError, AssertionError, TypeError, ValueError) as error:
            raise SourceLostError(f"{self.device} is gone ({error})") from error
        return Samples(data, time.monotonic() - len(data) / SAMPLE_RATE) if len(data) else None

    def wake(self) -> None:
        """Do nothing: these systems deliver all the time, silence included."""

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
