"""Plays to the default output of Windows or macOS, through the soundcard library."""

from __future__ import annotations

import sys
import threading
from typing import Any, Final

from capture.errors import NotReadyError, SourceLostError
from capture.media import SAMPLE_RATE, SampleArray
from capture.recordings.sound_file import CHANNELS

__all__ = ["SoundcardPlayer"]

#: How much to hand over at once, 0.1 s: `wake` cannot interrupt the library while it takes a block.
BLOCK_SAMPLES: Final = 4_800

#: The length of the buffer on Windows, which glitches with a shorter one. macOS chooses a few milliseconds itself.
BUFFER_SAMPLES: Final = 9_600

#: How long a stopped output stays audible: two periods of 10 ms that Windows mixes ahead, and what the driver holds.
#: The library does not say.
TAIL_S: Final = 0.05


class SoundcardPlayer:
    """Plays to the default speaker; `library` replaces the soundcard module in tests."""

    def __init__(self, library: Any = None) -> None:
        self._library = library
        self._player: Any = None
        self._played = False
        self._taken = 0
        self._woken = threading.Event()

    def open(self) -> None:
        try:
            library = self._library or _load()
            if sys.platform == "win32":
                # Windows needs COM initialised in every thread that touches a device.
                import ctypes

                ctypes.windll.ole32.CoInitializeEx(None, 0)
            buffer = BUFFER_SAMPLES if sys.platform == "win32" else None
            player = library.default_speaker().player(SAMPLE_RATE, channels=CHANNELS, blocksize=buffer)
            player.__enter__()
        except (ImportError, RuntimeError, OSError, AssertionError, AttributeError, TypeError, ValueError) as error:
            raise NotReadyError(f"cannot play to the default output ({error})", "see capture doctor") from error
        self._player = player

    def play(self, samples: SampleArray) -> None:
        if self._player is None:
            raise ValueError("play before open")
        for start in range(0, len(samples), BLOCK_SAMPLES):
            if self._woken.is_set():
                return
            try:
                self._player.play(samples[start : start + BLOCK_SAMPLES])
            except (RuntimeError, OSError, AssertionError, TypeError, ValueError) as error:
                raise SourceLostError(f"the output is gone ({error})") from error
            self._played = True
            self._taken += len(samples[start : start + BLOCK_SAMPLES])

    def drain(self) -> None:
        # The library has taken the last block, but the buffer may still be full.
        if self._played:
            self._woken.wait(BUFFER_SAMPLES / SAMPLE_RATE + TAIL_S)

    def wake(self) -> None:
        self._woken.set()

    def stop(self) -> float:
        if self._player is None:
            return 0.0
        self.close()
        return TAIL_S if self._played else 0.0

    def heard_s(self) -> float:
        # The library does not say how much of its buffer was played.
        return max(0.0, self._taken / SAMPLE_RATE - TAIL_S)

    def close(self) -> None:
        player, self._player = self._player, None
        if player is not None:
            try:
                player.__exit__(None, None, None)
            except (RuntimeError, OSError, AssertionError, TypeError, ValueError):
                # It was unplugged; there is nothing to release.
                return


def _load() -> Any:
    import soundcard

    return soundcard
